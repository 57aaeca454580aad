"""Canonical JSON: RFC 8785, the JSON Canonicalization Scheme (JCS)."""

from __future__ import annotations

from collections.abc import Callable
from json.encoder import encode_basestring
from math import isfinite
from typing import Any

# RFC 8785 section 3.2.2.3 by way of RFC 7493: integers a double holds exactly.
MAX_INTEGER = 2**53 - 1


class CanonicalError(ValueError):
    """The value has no canonical JSON form."""


def dumps(value: Any) -> bytes:
    """Return the canonical UTF-8 bytes of a JSON value.

    Takes dict (with str names), list, str, int, float, bool and None, by exact
    type: an enum member or a tuple is refused, as JSON has no such thing.
    Raises CanonicalError for anything else, for NaN and infinities, for integers
    beyond 2^53-1, lone surrogates, and nesting beyond the recursion limit.
    """
    return _encode(_write(value))


def fragments(members: dict[str, Any]) -> dict[str, str]:
    """Return each member's value written, for `assemble`; raises as `dumps` does.

    Two objects that share members are written at the cost of one:
    assemble(fragments(a)) == dumps(a), and
    assemble(fragments(a) | fragments(b)) == dumps(a | b).
    """
    return {name: _write(value) for name, value in members.items()}


def assemble(fragments: dict[str, str]) -> bytes:
    return _encode(_join(fragments))


def _write(value: Any) -> str:
    try:
        return _WRITERS[type(value)](value)
    except KeyError as error:
        raise CanonicalError(f"{error.args[0].__name__} is not a JSON type") from None
    except UnicodeEncodeError:
        raise CanonicalError(_LONE_SURROGATE) from None
    except RecursionError:
        raise CanonicalError("nested too deeply") from None


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise CanonicalError(_LONE_SURROGATE) from None


_LONE_SURROGATE = "a lone surrogate is not a character"


def _write_object(members: dict[Any, Any]) -> str:
    if not _STR.issuperset(map(type, members)):
        raise CanonicalError("a member name is not a string")
    return _join({name: _WRITERS[type(v)](v) for name, v in members.items()})


def _join(fragments: dict[str, str]) -> str:
    names = sorted(fragments)
    joined = "".join(names)
    if joined.isascii() and joined.isidentifier():
        # Letters, digits and underscores need no escapes: a quarter faster.
        pairs = [f'"{name}":{fragments[name]}' for name in names]
    else:
        # Section 3.2.3: names sort by their UTF-16 code units, not code points.
        names.sort(key=lambda name: name.encode("utf-16-be"))
        pairs = [f"{_write_string(name)}:{fragments[name]}" for name in names]
    return f"{{{','.join(pairs)}}}"


def _write_array(items: list[Any]) -> str:
    return f"[{','.join([_WRITERS[type(item)](item) for item in items])}]"


# Escapes exactly what section 3.2.2.2 escapes, in the same spelling.
_write_string = encode_basestring


def _write_integer(number: int) -> str:
    if not -MAX_INTEGER <= number <= MAX_INTEGER:
        raise CanonicalError("an integer beyond 2^53-1 has no exact double")
    return str(number)


def _write_float(number: float) -> str:
    """ECMA-262 Number::toString, as section 3.2.2.3 asks.

    repr() gives the shortest digits that read back as the same double, which are
    the digits ECMAScript asks for; only the layout differs.
    """
    if not isfinite(number):
        raise CanonicalError(f"{number} is not a JSON number")
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    digits, point = _shortest_digits(abs(number))
    if len(digits) <= point <= 21:
        return sign + digits.ljust(point, "0")
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{fraction}e{point - 1:+d}"


def _shortest_digits(number: float) -> tuple[str, int]:
    """Return (digits, n) with number = 0.digits * 10^n and no 0 at either end."""
    mantissa, _, exponent = repr(number).partition("e")
    whole, _, fraction = mantissa.partition(".")
    padded = whole + fraction
    digits = padded.lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(padded) - len(digits))
    return digits.rstrip("0"), point


_STR = {str}

_WRITERS: dict[type, Callable[[Any], str]] = {
    dict: _write_object,
    list: _write_array,
    str: _write_string,
    int: _write_integer,
    float: _write_float,
    bool: lambda value: "true" if value else "false",
    type(None): lambda value: "null",
}
