"""The parameters of a single prompt, as one API takes them for all providers."""

from collections.abc import Callable, Mapping
from typing import Any

# What decides the shape of the call is not the caller's to set.
OURS = frozenset({"model", "messages", "stream", "stream_options", "n", "prompt"})


class BadParameter(ValueError):
    """A parameter that cannot be sent; `name` and `complaint` are for the caller."""

    def __init__(self, name: str, complaint: str) -> None:
        super().__init__(f"{name}: {complaint}")
        self.name = name
        self.complaint = complaint


def sort_out(
    parameters: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters that all providers have, checked, and those left over.

    null is the same as not given. Raises BadParameter.
    """
    known: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, value in parameters.items():
        if name in OURS:
            raise BadParameter(name, "This is not a parameter of a single prompt.")
        if name not in _KNOWN:
            others[name] = value
        elif value is not None:
            known[name] = _checked(name, value)
    return known, others


def rename(known: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters under a provider's names; raises for one without a name."""
    for name in known:
        if name not in names:
            raise BadParameter(name, "The provider does not know it.")
    return {names[name]: value for name, value in known.items()}


def join(body: dict[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body with what was left over, none of which may replace a member."""
    for name in others:
        if name in body:
            raise BadParameter(name, "Another parameter says this already.")
    return {**body, **others}


def stop_sequences(known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with `stop` as a list, for those who take no string."""
    stop = known.get("stop")
    return {**known, "stop": [stop]} if isinstance(stop, str) else dict(known)


def count_in(value: Any, least: int = 1) -> int | None:
    """Return an integer that is a count; None for anything else."""
    return value if type(value) is int and value >= least else None


def _checked(name: str, value: Any) -> Any:
    fits, kind = _KNOWN[name]
    if not fits(value):
        raise BadParameter(name, f"This is not {kind}.")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_stop(value: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    return all(isinstance(item, str) for item in items)


_Check = tuple[Callable[[Any], bool], str]

_KNOWN: dict[str, _Check] = {
    "temperature": (_is_number, "a number"),
    "top_p": (_is_number, "a number"),
    "max_tokens": (lambda value: count_in(value) is not None, "a count from 1 on"),
    "seed": (lambda value: type(value) is int, "an integer"),
    "stop": (_is_stop, "a string or a list of strings"),
    "system": (lambda value: isinstance(value, str), "a string"),
}
