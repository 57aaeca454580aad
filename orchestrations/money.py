"""Money: US cents as Decimal, exact from the request to the sum of a year.

Stored as whole nanocents (10^-9 cent) in integer columns, which both engines add up
exactly; SQLite would make a float of a decimal. The finest catalogue price of one
token, $0.001 for a million, is 100 of them.
"""

import re
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models

from lucid.api.parsing import FromJSON
from lucid.api.strict_json import Literal

if TYPE_CHECKING:
    from django.db.models.expressions import Combinable

    _BigIntegerField = models.BigIntegerField[Any, Any]
else:  # it takes no type arguments at run time
    _BigIntegerField = models.BigIntegerField

PLACES = Decimal("1E-9")
SCALE = Decimal(10**9)

# $10,000: no call costs as much, and 9,000 such calls a day can still be added up.
MAX_CENTS = Decimal(10**6)
MAX_CLAIMED_PLACES = 6

_PLAIN_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


class InvalidAmount(ValueError):
    """Not an amount of money that a caller may claim; the text says why."""


def to_nanocents(cents: Decimal) -> int:
    """Return whole nanocents, half-way cases to the even neighbour."""
    return int(quantize(cents) * SCALE)


def from_nanocents(nanocents: int) -> Decimal:
    return Decimal(nanocents).scaleb(-9)


def quantize(cents: Decimal) -> Decimal:
    return cents.quantize(PLACES, ROUND_HALF_EVEN)


class Cents(Decimal, FromJSON):
    """An amount in a request: a JSON number, read from its own digits."""

    JSON_SCHEMA = {"type": "number", "minimum": 0, "maximum": 10**6}

    @classmethod
    def from_json(cls, value: Any) -> "Cents":
        match value:
            case bool():
                pass
            case int():
                return cls(parse_cents(str(value)))
            case Literal():
                return cls(parse_cents(value.text))
        raise InvalidAmount("Expected a number.")


def parse_cents(literal: str) -> Decimal:
    """Return the amount that a JSON number says, read from its own digits.

    Raises InvalidAmount for a sign, an exponent, more than six decimals, or too much.
    """
    if not _PLAIN_NUMBER.fullmatch(literal):
        raise InvalidAmount("Expected a number >= 0 without an exponent.")
    _, _, fraction = literal.partition(".")
    if len(fraction) > MAX_CLAIMED_PLACES:
        raise InvalidAmount(f"Expected at most {MAX_CLAIMED_PLACES} decimals.")
    cents = Decimal(literal)
    if cents > MAX_CENTS:
        raise InvalidAmount(f"Expected at most {MAX_CENTS:f} cents.")
    return cents


def plain(cents: Decimal) -> str:
    """Write an amount as receipts carry it: no exponent, no zeros at the end."""
    text = f"{cents:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def in_dollars(cents: Decimal | None) -> str:
    """Write an amount for a file: every decimal, no sign of the currency."""
    return "" if cents is None else plain(cents / 100)


def shown(cents: Decimal | None) -> Decimal | None:
    """Return the amount without zeros at its end, for a JSON number in an answer."""
    return None if cents is None else Decimal(plain(cents))


class CentsField(_BigIntegerField):
    """Cents as Decimal in Python, nanocents in the database."""

    description = "US cents"

    if TYPE_CHECKING:
        _pyi_private_set_type: Decimal | int | str | Combinable | None  # type: ignore[assignment]
        _pyi_private_get_type: Decimal  # type: ignore[assignment]
        _pyi_lookup_exact_type: Decimal  # type: ignore[assignment]

    def from_db_value(
        self, value: int | None, expression: Any, connection: Any
    ) -> Decimal | None:
        return None if value is None else from_nanocents(int(value))

    def to_python(self, value: Any) -> Decimal | None:
        if value is None or isinstance(value, Decimal):
            return value
        try:
            return Decimal(str(value))
        except ArithmeticError:
            raise ValidationError("Expected an amount in cents.") from None

    def get_prep_value(self, value: Any) -> int | None:
        cents = self.to_python(value)
        return None if cents is None else to_nanocents(cents)

    def formfield(self, **options: Any) -> Any:
        return models.Field.formfield(
            self, form_class=forms.DecimalField, decimal_places=9, **options
        )
