"""How the docs page puts parts of the OpenAPI document into words."""

import json
from typing import Any

from django import template

register = template.Library()

BOUNDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "pattern": "matching {}",
}


@register.filter
def in_words(schema: dict[str, Any]) -> str:
    """Say what a schema allows, as `integer, at least 0`."""
    if "anyOf" in schema:
        return " or ".join(in_words(option) for option in schema["anyOf"])
    kind = schema.get("type", "any value")
    bounds = [
        words.format(schema[key]) for key, words in BOUNDS.items() if key in schema
    ]
    return ", ".join([str(kind), *bounds])


@register.filter
def body_members(operation: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the members of an operation's JSON body."""
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    required = schema.get("required", [])
    return [
        {"name": name, "schema": member, "required": name in required}
        for name, member in schema.get("properties", {}).items()
    ]


@register.filter
def examples(response: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the examples of a response, by name, as readable JSON."""
    return [
        (name, _as_text(example["value"]))
        for content in response.get("content", {}).values()
        for name, example in content.get("examples", {}).items()
    ]


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, indent=2, ensure_ascii=False)
