"""What the books wrote is what an independent recount of the records makes of it."""

import json
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from orchestrations.models import Orchestration, RunDay
from orchestrations.settling import settle_all
from tests.orchestrations.runs import post, record, start

PATHS = {"complete": {}, "fail": {"code": "NO"}, "cancel": {}}
CALLS: list[dict[str, Any]] = [
    {"cost_cents": Decimal("0.333333"), "latency_ms": 10},
    {"model": "gpt-4o", "provider": "openai", "cost_cents": None, "agent_id": "b"},
    {"model": "house-7b", "provider": "custom", "cost_cents": None, "latency_ms": None},
    {"usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 9}},
]


def check_rollups(tenant):
    out = StringIO()
    call_command("check_rollups", tenant.slug, "--json", stdout=out)
    return json.loads(out.getvalue())


@pytest.fixture
def ended(alice):
    """A run of each ending and one that goes on, with calls and steps of all kinds."""
    for number, (how, body) in enumerate(PATHS.items()):
        run = start(alice, workflow_id="claims" if number else "")
        for call in CALLS[number:]:
            record(alice, run, **call)
        post(alice, run, "steps", {"action": "tool_call", "cost_cents": number})
        post(alice, run, "steps", {"action": "llm_inference", "cost_cents": 7})
        assert post(alice, run, how, body).status_code == 200
    late = start(alice)
    record(alice, late, cost_cents=3)
    over = timezone.now() - timedelta(seconds=1)
    Orchestration.objects.filter(pk=late).update(expires_at=over)
    settle_all()
    many = {"inferences": [{"model": "gpt-4o", "provider": "openai"}] * 5}
    assert post(alice, start(alice), "inferences/batch", many).status_code == 200


def test_they_agree(alice, ended):
    found = check_rollups(alice.tenant)
    counted = (found["inferences"], found["steps"], found["orchestrations"])
    assert counted == (4 + 3 + 2 + 1 + 5, 6, 5)


def test_each_ending_is_counted_once(alice, ended):
    whole = RunDay.objects.filter(tenant=alice.tenant, dimension="")
    counted = {row.status: row.runs for row in whole}
    endings = ("completed", "failed", "cancelled", "timeout")
    assert counted == dict.fromkeys(endings, 1)


def test_a_run_counts_once_for_each_model_of_its_calls(alice, ended):
    rows = RunDay.objects.filter(tenant=alice.tenant, dimension="model")
    by_model: dict[str, int] = {}
    for row in rows:
        by_model[row.value] = by_model.get(row.value, 0) + row.runs
    assert by_model == {"claude-sonnet-4-5": 4, "gpt-4o": 2, "house-7b": 3}
