"""`manage.py set_price`: what a tenant pays, set from a shell."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from orchestrations.models import Price
from tests.orchestrations.runs import record, start

CALL = {"provider": "custom", "model": "smollm2-135m", "cost_cents": None}


@pytest.fixture
def set_price(acme):
    def run(*arguments: str) -> str:
        out = StringIO()
        call_command("set_price", acme.slug, *arguments, stdout=out)
        return out.getvalue().strip()

    return run


def test_calls_are_priced_by_it_from_now_on(alice, set_price):
    run = start(alice)
    assert record(alice, run, **CALL)["cost_source"] == "unpriced"
    set_price("custom", "smollm2-135m", "--input", "0.5", "--output", "2")
    told = record(alice, run, **CALL, prompt_tokens=100, completion_tokens=50)
    assert told["cost_cents"] == Decimal("0.015")
    assert told["cost_source"] == "tenant_price"


def test_it_says_what_it_set(set_price):
    told = set_price("custom", "m", "--input=1", "--output=2", "--from=2026-11-01")
    price = Price.objects.latest("pk")
    assert told == f"Price {price.pk}: custom m from 2026-11-01 00:00 UTC."


def test_as_json(acme, set_price):
    options = ["--input=0.1", "--output=0.4", "--cache-read=0.01", "--factor=0.85"]
    period = ["--from=2026-11-01T12:00:00+02:00", "--to=2026-12-01"]
    told = json.loads(set_price("openai", "gpt-*", *options, *period, "--json"))
    assert told == {
        "id": Price.objects.latest("pk").pk,
        "tenant": acme.slug,
        "provider": "openai",
        "model": "gpt-*",
        "input_rate": "0.1",
        "output_rate": "0.4",
        "cache_read_rate": "0.01",
        "factor": "0.85",
        "valid_from": "2026-11-01T12:00:00+02:00",
        "valid_to": "2026-12-01T00:00:00+00:00",
    }
    price = Price.objects.get(pk=told["id"])
    assert price.valid_from == datetime(2026, 11, 1, 10, tzinfo=UTC)
    assert price.cache_read_rate == Decimal("0.01")


def test_a_factor_alone_is_a_discount(set_price):
    set_price("openai", "gpt-4o", "--factor", "0.9")
    price = Price.objects.latest("pk")
    assert (price.input_rate, price.factor) == (None, Decimal("0.9"))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["custom", "m", "--input=1"], "output_rate"),
        (["custom", "m", "--factor=0.5"], "input_rate"),
        (["custom", "m", "--input=-1", "--output=1"], "input_rate"),
        (["custom", "m", "--input=x", "--output=1"], "no decimal number"),
        (["custom", "m", "--input=NaN", "--output=1"], "input_rate"),
        (["custom", "a*b", "--input=1", "--output=1"], "model"),
        (["openai", "m", "--factor=10"], "factor"),
        (["google", "m", "--input=1", "--output=1"], "invalid choice"),
        (["openai", "m", "--from=tomorrow"], "no date"),
        (["openai", "m", "--from=2026-11-02", "--to=2026-11-01"], "valid_to"),
    ],
)
def test_what_is_no_price_is_refused(set_price, arguments, complaint):
    before = Price.objects.count()
    with pytest.raises(CommandError, match=complaint):
        set_price(*arguments)
    assert Price.objects.count() == before


def test_a_tenant_that_is_not_there(database):
    with pytest.raises(CommandError, match="There is no tenant 'nobody'"):
        call_command("set_price", "nobody", "openai", "m")
