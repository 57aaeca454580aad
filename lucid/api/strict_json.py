"""JSON as I-JSON (RFC 7493) allows it: one reading, the same for every parser.

What two parsers could read differently is refused before anything is hashed:
duplicate member names, numbers a double cannot hold, lone surrogates.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import isinf
from typing import Any, NoReturn

MAX_DEPTH = 32
MAX_INTEGER = 2**53 - 1

# From here on RFC 8785 writes an exponent, so the number is read back as a float.
EXPONENT_FROM = 1e21


class InvalidJSON(ValueError):
    """Refused JSON; `field` is the dotted path of the member, where known."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        # A name may be what is wrong: a lone surrogate could not be answered with.
        self.field = field and field.encode(errors="backslashreplace").decode()


class Literal(float):
    """A number with a fraction or an exponent, and the text that says it."""

    text: str

    def __new__(cls, text: str) -> Literal:
        number = super().__new__(cls, text)
        number.text = text
        return number


def loads(data: bytes, *, literal: bool = False) -> Any:
    """Parse one JSON document (RFC 8259), UTF-8 without a byte order mark.

    With `literal`, floats are Literals: money must not become binary on its way.
    Raises InvalidJSON, and nothing else, for any bytes.
    """
    value = _parse(_decode(data), _literal_decoder if literal else _decoder)
    _check(value, 1)
    return value


def without_literals(value: Any) -> Any:
    """Return the value with plain floats for its Literals."""
    match value:
        case Literal():
            return float(value)
        case dict():
            return {name: without_literals(member) for name, member in value.items()}
        case list():
            return [without_literals(member) for member in value]
    return value


def _decode(data: bytes) -> str:
    if not data:
        raise InvalidJSON("The document is empty.")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InvalidJSON(f"Not valid UTF-8 at byte {error.start}.") from None
    if text.startswith("\ufeff"):
        raise InvalidJSON("A byte order mark is not allowed.")
    return text


def _parse(text: str, decoder: json.JSONDecoder) -> Any:
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise InvalidJSON(f"Malformed JSON: {error.msg} at {where}.") from None
    except InvalidJSON:
        raise
    except RecursionError:
        raise InvalidJSON(_TOO_DEEP) from None
    except ValueError:
        # int() refuses more than sys.get_int_max_str_digits() digits.
        raise InvalidJSON(_TOO_LARGE) from None


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise InvalidJSON(f"Duplicate member name {name!a}.", name)
            seen.add(name)
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidJSON(f"{name} is not a JSON number.")


_decoder = json.JSONDecoder(
    object_pairs_hook=_unique_members, parse_constant=_refuse_constant
)
_literal_decoder = json.JSONDecoder(
    object_pairs_hook=_unique_members,
    parse_constant=_refuse_constant,
    parse_float=Literal,
)

_TOO_DEEP = f"Nested deeper than {MAX_DEPTH} levels."
_TOO_LARGE = "An integer beyond 2^53-1 cannot be represented exactly."


def _check(value: Any, depth: int) -> None:
    kind = type(value)
    if kind is str:
        if not value.isascii():
            _check_text(value)
    elif kind is int:
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise InvalidJSON(_TOO_LARGE)
    elif kind is float or kind is Literal:
        _check_float(value)
    elif kind is dict:
        _check_members(value.items(), depth)
    elif kind is list:
        _check_members(enumerate(value), depth)


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidJSON("A lone surrogate is not a character.") from None


def _check_float(number: float) -> None:
    if MAX_INTEGER < abs(number) < EXPONENT_FROM:
        raise InvalidJSON(_TOO_LARGE)
    if isinf(number):
        raise InvalidJSON("A number is beyond the range of a double.")


def _check_members(members: Iterable[tuple[str | int, Any]], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise InvalidJSON(_TOO_DEEP)
    name: str | int = ""
    try:
        for name, member in members:
            if type(name) is str and not name.isascii():
                _check_text(name)
            _check(member, depth + 1)
    except InvalidJSON as error:
        # The path grows on the way out: it costs nothing while all is well.
        field = f"{name}" if error.field is None else f"{name}.{error.field}"
        raise InvalidJSON(error.message, field) from None
