"""The page of steps that cost something: the records behind the costs of steps."""

import csv
import io
import re
from datetime import UTC, datetime
from decimal import Decimal
from html import unescape
from typing import Any

import pytest

from lucid.api.pagination import encode_pair
from orchestrations import step_search
from orchestrations.models import UsageDay
from tests.conftest import new_caller
from tests.orchestrations.runs import post, start
from tests.orchestrations.usage_rows import Ledger
from tests.tenants.people import after, events_of, new_person

PATH = "/costs/steps"


def at(day: int, hour: int = 12) -> datetime:
    return datetime(2026, 11, day, hour, tzinfo=UTC)


@pytest.fixture
def ledger(alice):
    return Ledger(alice)


@pytest.fixture
def analyst(acme):
    return new_person(acme, "analyst")


def page(person: Any, **query: Any) -> str:
    answer = person.get(PATH, data=query)
    assert answer.status_code == 200
    text: str = answer.content.decode()
    return text


def said(text: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", "", text)).split())


def walk(person: Any, **query: Any) -> list[dict[str, str]]:
    """The steps of a list from page to page, as CSV tells them."""
    found: list[dict[str, str]] = []
    for _ in range(100):
        answer = person.get(PATH, data=query | {"format": "csv"})
        text = b"".join(answer.streaming_content).decode()
        found += csv.DictReader(io.StringIO(text))
        text = page(person, **query)
        older = re.findall(r'rel="next" href="[^"]*cursor=([^"&]+)', text)
        if not older:
            return found
        query["cursor"] = unescape(older[0])
    raise AssertionError("The pages have no end.")


def spent(rows: list[dict[str, str]]) -> Decimal:
    return sum((Decimal(row["cost_cents"]) for row in rows), Decimal(0))


class TestAStep:
    def test_is_told_with_its_run_and_what_it_cost(self, alice, analyst):
        run = start(alice, name="Claim 4711", workflow_id="claims")
        post(alice, run, "steps", {"action": "decision"})
        claims = {"name": "search", "agent_id": "clerk", "cost_cents": 0.25}
        post(alice, run, "steps", {"action": "tool_call"} | claims)
        text = page(analyst)
        assert "These steps cost $0.0025." in said(text)
        assert "1 step on this page: $0.0025." in said(text)
        for told in ("Claim 4711", "Tool call", "search", "clerk"):
            assert f">{told}<" in text
        assert f"/orchestrations/{run}?steps_after=1#steps" in unescape(text)
        (row,) = walk(analyst, columns=["run", "number", "workflow", "cost"])
        assert row == {
            "orchestration_id": run,
            "step_number": "2",
            "workflow_id": "claims",
            "cost_cents": "0.25",
        }

    def test_is_one_that_cost_something_itself(self, alice, analyst):
        run = start(alice)
        for claims in (
            {"action": "tool_call"},
            {"action": "tool_call", "cost_cents": 0},
            {"action": "llm_inference", "cost_cents": 7},
        ):
            post(alice, run, "steps", claims)
        assert walk(analyst) == []
        assert "No step has cost anything yet" in page(analyst)

    def test_is_of_the_mode_and_the_tenant_of_its_run(
        self, acme, alice, charlie, analyst
    ):
        for caller, cost in (
            (alice, 1),
            (new_caller(acme, mode="test"), 2),
            (charlie, 4),
        ):
            run = start(caller)
            post(caller, run, "steps", {"action": "tool_call", "cost_cents": cost})
        assert spent(walk(analyst)) == 1
        assert spent(walk(analyst, mode="test")) == 2
        assert "These steps cost $0.02." in said(page(analyst, mode="test"))

    def test_is_text_and_no_markup(self, alice, analyst):
        hostile = "<script>alert(1)</script>" + "x" * 150
        run = start(alice, name=hostile, agent_id=hostile, workflow_id=hostile)
        step = {"action": "tool_call", "name": hostile, "cost_cents": 1}
        post(alice, run, "steps", step)
        columns = ["run", "number", "name", "agent", "workflow"]
        assert "<script>" not in page(analyst, columns=columns)


class TestTheList:
    @pytest.fixture
    def steps(self, ledger):
        for number in range(130):
            agent, flow = ("a", "b", "")[number % 3], ("", "flow")[number % 2]
            run = ledger.run(at(1), agent, flow)
            other = {"agent_id": "clerk"} if number % 10 == 0 else {}
            ledger.step(at(2 + number // 10), run, number + 1, **other)
            ledger.step(at(2), run, None)
        ledger.write()
        return ledger.steps[::2]

    def test_has_the_newest_first_from_page_to_page(self, analyst, steps):
        wanted = sorted(steps, key=lambda it: (it.recorded_at, it.pk), reverse=True)
        found = walk(analyst)
        assert [row["orchestration_id"] for row in found] == [
            step.orchestration_id for step in wanted
        ]

    @pytest.mark.parametrize("looked_through", [7, 5000])
    @pytest.mark.parametrize(
        "query",
        [
            {},
            {"agent_id": "a"},
            {"agent_id": "clerk"},
            {"agent_id": "nobody"},
            {"workflow_id": "flow"},
            {"without": "agent_id"},
            {"without": "workflow_id"},
            {"workflow_id": "flow", "agent_id": "b"},
            {"workflow_id": "flow", "without": "agent_id"},
            {"from": "2026-11-04"},
            {"from": "2026-11-04", "to": "2026-11-05", "agent_id": "clerk"},
        ],
    )
    def test_adds_up_to_what_rollups_say(
        self, acme, analyst, steps, query, looked_through, monkeypatch
    ):
        monkeypatch.setattr(step_search, "LOOKED_THROUGH", looked_through)
        named = {n: query[n] for n in ("agent_id", "workflow_id") if n in query}
        if "without" in query:
            named[query["without"]] = ""
        days = UsageDay.objects.filter(tenant=acme, **named)
        days = days.filter(day__gte=query.get("from", "2026-01-01"))
        days = days.filter(day__lte=query.get("to", "2026-12-31"))
        found = walk(analyst, **query)
        assert spent(found) == sum(it.step_cost for it in days)
        assert (len(found) > 0) == (query.get("agent_id") != "nobody")

    def test_says_how_far_it_looked_for_an_agent(self, analyst, ledger, monkeypatch):
        monkeypatch.setattr(step_search, "LOOKED_THROUGH", 3)
        run = ledger.run(at(1), "a")
        for hour in range(9):
            ledger.step(at(2, hour), run, 1, agent_id="rare" if not hour else "often")
        ledger.write()
        text = page(analyst, agent_id="rare")
        assert "Looked through the 3 steps back to 2 Nov 2026 06:00" in said(text)
        assert "none passes the filters. Look further back" in said(text)
        assert len(walk(analyst, agent_id="rare")) == 1

    def test_its_csv_is_noted(self, acme, analyst, steps):
        analyst.get(PATH, data={"format": "csv", "agent_id": "clerk"})
        (event,) = events_of(acme)
        assert event.action == "costs.exported"
        noted = {"table": "steps", "query": "agent_id=clerk", "rows": 13}
        assert after(event) == noted

    @pytest.mark.parametrize(
        ("query", "complaint"),
        [
            ({"from": "yesterday"}, "Enter a valid date"),
            ({"from": "2026-01-03", "to": "2026-01-01"}, "This is after the last day"),
            ({"agent_id": "a\0b"}, "Null characters are not allowed"),
            ({"without": "api_key"}, "Select a valid choice"),
            ({"without": "agent_id", "agent_id": "a"}, "No step is both of one and"),
            ({"cursor": "nonsense"}, "points at no place"),
            ({"cursor": "YzU"}, "points at no place"),  # of another list
        ],
    )
    def test_what_cannot_be_read_is_told(self, analyst, query, complaint):
        answer = analyst.get(PATH, data=query)
        assert answer.status_code == 400
        assert complaint in answer.content.decode()

    def test_a_cursor_beyond_all_times_is_of_no_step(self, analyst, steps):
        beyond = encode_pair((1 << 63) - 1, 0)
        assert walk(analyst, cursor=beyond) == []

    def test_its_queries_are_few(self, analyst, steps, django_assert_max_num_queries):
        with django_assert_max_num_queries(15):
            page(analyst, agent_id="a", workflow_id="flow")
