"""The OpenAPI 3.1 document, and the page that makes it readable.

Views say in `describe` what a reader needs; shapes of requests come from the types
that check them, shapes of answers from an example, which a test compares with a
real answer.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeVar

import msgspec
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
)

from lucid.api.errors import STATUS, ApiError, Code
from lucid.api.parsing import FromJSON
from lucid.api.rendering import Answer

ViewMethod = TypeVar("ViewMethod", bound=Callable[..., Any])

ANY = (
    Code.UNAUTHORIZED,
    Code.TOKEN_INVALID,
    Code.KEY_REVOKED,
    Code.KEY_EXPIRED,
    Code.KEY_ROTATED,
    Code.TENANT_MISMATCH,
)
ALWAYS = (
    *ANY,
    Code.TENANT_SUSPENDED,
    Code.ADDRESS_NOT_ALLOWED,
    Code.INSUFFICIENT_SCOPE,
    Code.UNAVAILABLE,
)
IDEMPOTENCY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="Repeat a request with the same key and body, and the first answer"
    " comes again, marked `Idempotent-Replayed: true`.",
)
TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


class Operation(AutoSchema):
    """Names operations after their method and path."""

    def get_operation_id(self) -> str:
        return f"{self.method.lower()}_{self.path.strip('/').replace('/', '_')}"

    def get_tags(self) -> list[str]:
        return [self.path.strip("/").split("/")[0 if self.path[1] == "l" else 1]]


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "tenants.authentication.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "`Authorization: Bearer lk_live_…`, `Authorization: ApiKey"
            " lk_live_…` or `X-API-Key: lk_live_…`; or, where the operator has set it"
            " up, `Authorization: Bearer <JWT>`.",
        }


def shape_of(example: Any) -> dict[str, Any]:
    """Return the JSON Schema that an example is an instance of."""
    match example:
        case dict():
            properties = {name: shape_of(value) for name, value in example.items()}
            return {"type": "object", "properties": properties}
        case list():
            return {"type": "array", "items": shape_of(example[0]) if example else {}}
        case None:
            return {"type": "null"}
    return {"type": TYPES[type(example)]}


def describe(
    summary: str,
    *,
    answer: Any,
    body: type[msgspec.Struct] | dict[str, Any] | None = None,
    query: type[msgspec.Struct] | None = None,
    errors: Iterable[Code] = (),
    idempotent: bool = False,
    status: int = 200,
    media_type: str = "application/json",
    others: dict[str, Any] | None = None,
) -> Callable[[ViewMethod], ViewMethod]:
    """Describe a view's method; `answer` is an example of its success.

    `others` are examples in other media types, where the query chooses one.
    """
    responses: dict[Any, Any] = {
        (status, kind): OpenApiResponse(
            shape_of(example), "Success.", [OpenApiExample("Success", example)]
        )
        for kind, example in ({media_type: answer} | (others or {})).items()
    }
    for error, codes in _by_status([*ALWAYS, *errors]).items():
        responses[error] = _error_response(error, codes)
    parameters = _parameters(query) if query else []
    if idempotent:
        parameters.append(IDEMPOTENCY)
    return extend_schema(
        summary=summary,
        request={"application/json": shape_of_body(body)} if body else None,
        responses=responses,
        parameters=parameters,
    )


def _by_status(codes: Iterable[Code]) -> dict[int, list[Code]]:
    grouped: dict[int, list[Code]] = {}
    for code in dict.fromkeys(codes):
        grouped.setdefault(STATUS[code], []).append(code)
    return dict(sorted(grouped.items()))


def _error_response(status: int, codes: list[Code]) -> OpenApiResponse:
    examples = [
        OpenApiExample(code.value, _error_example(code), response_only=True)
        for code in codes
    ]
    shape = {"$ref": "#/components/schemas/Error"}
    return OpenApiResponse(shape, ", ".join(codes), examples)


def _error_example(code: Code) -> dict[str, Any]:
    details = {"tokens_in": ["Expected `int` >= 0"]}
    error = ApiError(
        code,
        "What is wrong, in words.",
        details=details if code == Code.INVALID_REQUEST else None,
    )
    body = error.body("req_0af7651916cd43dd8448eb211c80319c")
    return body | {"error_code": code.value, "code": code.value}


def shape_of_body(body: type[msgspec.Struct] | dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a type that checks requests."""
    if isinstance(body, dict):
        return body
    _, components = msgspec.json.schema_components([body], schema_hook=_own_schema)
    shape: dict[str, Any] = components[body.__name__]
    return shape


def _own_schema(kind: type[FromJSON]) -> dict[str, Any]:
    return kind.JSON_SCHEMA


def _parameters(query: type[msgspec.Struct]) -> list[OpenApiParameter]:
    properties = shape_of_body(query)["properties"]
    return [
        OpenApiParameter(name, schema, OpenApiParameter.QUERY)
        for name, schema in properties.items()
    ]


def add_error_shape(
    result: dict[str, Any], generator: Any, request: Any, public: bool
) -> dict[str, Any]:
    """Add the error body that every operation refers to (a postprocessing hook)."""
    example = _error_example(Code.INVALID_REQUEST)
    shape = shape_of(example)
    shape["properties"]["details"] = {
        "type": ["object", "null"],
        "additionalProperties": {"type": "array", "items": {"type": "string"}},
    }
    result.setdefault("components", {}).setdefault("schemas", {})["Error"] = shape
    return result


@cache
def document() -> dict[str, Any]:
    schema: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return schema


def openapi_json(request: HttpRequest) -> HttpResponse:
    return Answer(document())


def docs_page(request: HttpRequest) -> HttpResponse:
    operations = [
        {"path": path, "method": method.upper(), **operation}
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    ]
    # What a newcomer does first comes first.
    operations.sort(key=lambda operation: operation["path"].startswith("/log"))
    return render(request, "api/docs.html", {"operations": operations})
