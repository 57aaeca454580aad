from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrations.money import (
    InvalidAmount,
    from_nanocents,
    parse_cents,
    plain,
    to_nanocents,
)


@pytest.mark.parametrize("literal", ["0", "0.0", "0.000001", "5.4399", "1000000"])
def test_a_claim_is_kept_to_the_last_decimal(literal):
    assert from_nanocents(to_nanocents(parse_cents(literal))) == Decimal(literal)


@pytest.mark.parametrize(
    "literal",
    ["-1", "-0.1", "1e-3", "1E3", "0.0000001", "1000000.1", "NaN", "", "1.", "٣"],
)
def test_what_is_no_amount_is_refused(literal):
    with pytest.raises(InvalidAmount):
        parse_cents(literal)


@given(st.integers(0, 2**63 - 1))
def test_nanocents_survive(nanocents):
    assert to_nanocents(from_nanocents(nanocents)) == nanocents


def test_half_a_nanocent_goes_to_the_even_neighbour():
    assert to_nanocents(Decimal("0.0000000005")) == 0
    assert to_nanocents(Decimal("0.0000000015")) == 2


@pytest.mark.parametrize(
    ("cents", "text"),
    [("0E-9", "0"), ("5.439900000", "5.4399"), ("100", "100"), ("1E+2", "100")],
)
def test_it_is_written_without_exponent_or_idle_zeros(cents, text):
    assert plain(Decimal(cents)) == text
