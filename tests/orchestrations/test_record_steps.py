"""POST .../steps: what may be said of a step, and where it counts."""

from decimal import Decimal

import pytest

from orchestrations.models import UsageDay
from tests.orchestrations.runs import AGENT, exact, get, post, start

STEP = {"action": "tool_call", "name": "look_up_policy"}
HASH = "AB" * 32


def refusal(answer):
    assert answer.status_code == 400, answer.content
    return answer.json()["details"]


def test_a_step_is_what_is_read_back(alice):
    run = start(alice)
    said = {"result": {"found": [1, 2.5, None]}, "duration_ms": 84, "agent_id": "b"}
    said |= {"cost_cents": Decimal("0.000001"), "input_hash": HASH, "output_hash": HASH}
    answer = post(alice, run, "steps", STEP | said)
    assert answer.status_code == 201
    step = exact(answer)
    (stored,) = get(alice, run)["steps"]
    assert stored == {n: v for n, v in step.items() if n in stored}
    assert stored["result"] == said["result"]
    assert (stored["cost_cents"], stored["agent_id"]) == (Decimal("0.000001"), "b")
    assert stored["input_hash"] == HASH.lower()


def test_steps_are_numbered_from_one(alice):
    run = start(alice)
    numbers = [post(alice, run, "steps", STEP).json()["step_number"] for _ in range(3)]
    assert numbers == [1, 2, 3]
    assert get(alice, run)["steps"][0]["agent_id"] == AGENT


def test_its_cost_counts_unless_it_is_a_call(alice):
    run = start(alice, workflow_id="claims")
    post(alice, run, "steps", STEP | {"cost_cents": 2})
    post(alice, run, "steps", {"action": "llm_inference", "cost_cents": 5})
    found = get(alice, run)
    assert (found["total_cost_cents"], found["step_cost_cents"]) == (2, 2)
    (day,) = UsageDay.objects.filter(tenant=alice.tenant)
    assert (day.steps, day.step_cost, day.workflow_id) == (2, 2, "claims")


@pytest.mark.parametrize(
    ("member", "literal"),
    [
        ("action", '"dance"'),
        ("action", "null"),
        ("name", f'"{"a" * 201}"'),
        ("agent_id", "7"),
        ("duration_ms", "-1"),
        ("duration_ms", "1.0"),
        ("duration_ms", '"1"'),
        ("duration_ms", "9007199254740991000"),
        ("cost_cents", "-1"),
        ("cost_cents", "1e-3"),
        ("cost_cents", "0.0000001"),
        ("cost_cents", '"1"'),
        ("cost_cents", "1000001"),
        ("input_hash", '"abc"'),
        ("output_hash", f'"{"g" * 64}"'),
        ("result", f'"{"a" * 5000}"'),
        ("result", '"\\u0000"'),
    ],
)
def test_a_bad_member_is_named(alice, member, literal):
    run = start(alice)
    action = '"tool_call"' if member != "action" else literal
    rest = "" if member == "action" else f', "{member}": {literal}'
    body = f'{{"action": {action}{rest}}}'.encode()
    assert [*refusal(post(alice, run, "steps", body))] == [member]
    assert get(alice, run)["step_count"] == 0


def test_an_action_is_asked_for(alice):
    assert [*refusal(post(alice, start(alice), "steps", {}))] == ["action"]


def test_a_repeat_with_the_same_key_is_one_step(alice):
    run = start(alice)
    path = f"/v1/orchestrations/{run}/steps"
    first, again = (alice.post(path, STEP, Idempotency_Key="k") for _ in range(2))
    assert again.content == first.content
    assert again["Idempotent-Replayed"] == "true"
    assert get(alice, run)["step_count"] == 1


def test_there_is_none_in_another_tenants_run_or_none_at_all(alice, charlie):
    run = start(alice)
    for caller, name in ((charlie, run), (alice, "maip-orch:nothing")):
        assert post(caller, name, "steps", STEP).status_code == 404
    assert get(alice, run)["step_count"] == 0


def test_there_is_none_after_the_end(alice):
    run = start(alice)
    post(alice, run, "complete", {})
    answer = post(alice, run, "steps", STEP)
    assert (answer.status_code, answer.json()["error_code"]) == (409, "NOT_RUNNING")
