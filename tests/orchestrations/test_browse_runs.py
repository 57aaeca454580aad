"""The list of orchestrations: filters, columns, pages, and the same as CSV."""

import csv
import io
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from orchestrations import run_pages, run_search
from orchestrations.models import Orchestration
from receipts.ledger import LedgerUnavailable
from tests.conftest import new_caller
from tests.orchestrations.runs import AGENT, post, record, start, start_at
from tests.tenants.people import after, events_of, new_person

PATH = "/orchestrations"
ALL_COLUMNS = [
    "started",
    "ended",
    "run",
    "status",
    "workflow",
    "agent",
    "model",
    "calls",
    "steps",
    "tokens",
    "cost",
    "failures",
    "unpriced",
    "duration",
]


@pytest.fixture
def analyst(acme) -> Any:
    return new_person(acme, "analyst")


def text(person: Any, **query: Any) -> str:
    answer = person.get(PATH, data=query)
    assert answer.status_code == 200
    page: str = answer.content.decode()
    return page


def listed(page: str) -> list[str]:
    """The runs of a list, in their order."""
    found = re.findall(r'orchestrations/(maip-orch:\w+)(?:\?[^"#]*)?" title', page)
    return list(dict.fromkeys(found))


def newest_first(runs: Iterable[str]) -> list[str]:
    """Those of one millisecond have no order but that of their ids."""
    return sorted(runs, reverse=True)


def following(person: Any, page: str) -> str:
    (link,) = re.findall(r'rel="next" href="([^"]+)"', page)
    answer = person.get(PATH + link.replace("&amp;", "&"))
    assert answer.status_code == 200
    found: str = answer.content.decode()
    return found


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_the_newest_comes_first_with_what_it_cost(alice, analyst):
    first = start(alice, name="One", workflow_id="claims", budget_cents=1)
    record(alice, first, cost_cents=0.25)
    second = start(alice, name="Two")
    page = text(analyst)
    assert listed(page) == [second, first]
    assert "$0.0025 of $0.01" in words(page)
    for told in ("One", "claims", AGENT, "Running"):
        assert told in page


def test_each_state_is_a_word_and_a_mark(alice, analyst):
    ends = {"complete": {}, "fail": {"code": "E"}, "cancel": {}}
    for how, claims in ends.items():
        post(alice, start(alice), how, claims)
    start(alice)
    due = start(alice)
    Orchestration.objects.filter(pk=due).update(expires_at=timezone.now())
    page = text(analyst)
    for mark, word in (
        ("good", "Completed"),
        ("bad", "Failed"),
        ("off", "Cancelled"),
        ("open", "Running"),
        ("warn", "Timed out"),
    ):
        assert f'<span class="verdict {mark}">{word}</span>' in page


def test_a_run_past_its_time_is_ended_by_whoever_looks(alice, analyst):
    run = start(alice)
    Orchestration.objects.filter(pk=run).update(expires_at=timezone.now())
    assert listed(text(analyst, status="timeout")) == [run]
    assert Orchestration.objects.get(pk=run).receipt_id


def test_where_the_log_takes_nothing_the_list_is_shown_all_the_same(
    alice, analyst, monkeypatch
):
    run = start(alice)
    Orchestration.objects.filter(pk=run).update(expires_at=timezone.now())

    def refuse(*whose):
        raise LedgerUnavailable

    monkeypatch.setattr(run_pages, "settle_due", refuse)
    page = text(analyst)
    assert listed(page) == [run]
    assert "The log cannot be written now" in page
    assert "its time is over" in page


def test_it_has_nothing_of_others_nor_of_the_other_mode(alice, charlie, analyst):
    tester = new_caller(alice.tenant, mode="test")
    live, test = start(alice), start(tester)
    start(charlie)
    assert listed(text(analyst)) == [live]
    page = text(analyst, mode="test")
    assert listed(page) == [test]
    assert f"/orchestrations/{test}?mode=test" in page


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"status": "completed"}, ["dear"]),
        ({"status": "running"}, ["other", "cheap"]),
        ({"agent_id": "agent b"}, ["other"]),
        ({"agent_id": "agent"}, []),
        ({"workflow_id": "claims"}, ["dear", "cheap"]),
        ({"workflow_id": "claims", "agent_id": "agent b"}, []),
        ({"min_cost": "0.01"}, ["dear"]),
        ({"min_cost": "0.010001"}, []),
        ({"min_cost": "0"}, ["other", "dear", "cheap"]),
        ({"min_cost": "0.0001", "status": "running"}, ["cheap"]),
    ],
)
def test_each_filter_leaves_what_passes_it(alice, analyst, query, expected):
    names = {}
    for name, cost in (("cheap", 0.01), ("dear", 1)):
        run = start(alice, workflow_id="claims")
        record(alice, run, cost_cents=cost)
        names[run] = name
    post(alice, run, "complete", {})
    names[start(alice, agent_id="agent b")] = "other"
    assert [names[run] for run in listed(text(analyst, **query))] == expected


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        ("2026-01-02", "", [3, 2]),
        ("", "2026-01-02", [2, 1]),
        ("2026-01-02", "2026-01-02", [2]),
        ("2026-01-04", "", []),
        ("0001-01-01", "9999-12-31", [3, 2, 1]),
    ],
)
def test_days_bound_the_start_both_included(alice, analyst, since, until, expected):
    days = {}
    for day, hour in ((1, 23), (2, 0), (3, 12)):
        days[start_at(alice, datetime(2026, 1, day, hour, 59, 59, tzinfo=UTC))] = day
    page = text(analyst, **{"from": since, "to": until})
    assert [days[run] for run in listed(page)] == expected


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ({"status": "asleep"}, "Select a valid choice"),
        ({"from": "yesterday"}, "Enter a valid date"),
        ({"to": "2026-13-01"}, "Enter a valid date"),
        ({"from": "2026-01-03", "to": "2026-01-01"}, "This is after the last day"),
        ({"min_cost": "NaN"}, "Enter a number"),
        ({"min_cost": "-1"}, "greater than or equal to 0"),
        ({"min_cost": "0.000000001"}, "no more than 8 decimal places"),
        ({"min_cost": "1e30"}, "less than or equal to 10000"),
        ({"agent_id": "a\0b"}, "Null characters are not allowed"),
        ({"workflow_id": "x" * 201}, "at most 200 characters"),
        ({"cursor": "nonsense"}, "points at no place"),
        ({"cursor": "\0"}, "points at no place"),
        ({"cursor": "O" * 26}, "points at no place"),
    ],
)
def test_what_cannot_be_read_is_told(alice, analyst, query, complaint):
    start(alice)
    answer = analyst.get(PATH, data=query)
    page = answer.content.decode()
    assert answer.status_code == 400
    assert complaint in page
    assert 'role="alert"' in page
    assert listed(page) == []


def test_a_filter_is_a_chip_that_removes_it(alice, analyst):
    start(alice)
    page = text(analyst, status="running", agent_id=AGENT, cursor="")
    chips = page.partition('class="chips"')[2].partition("</ul>")[0]
    assert "Status Running × , remove" in words(chips)
    hrefs = re.findall(r'href="([^"]+)"', chips)
    assert hrefs == ["?agent_id=maip-agent%3Aclaims-desk", "?status=running"]


def test_it_goes_on_by_a_cursor_with_the_filters(alice, analyst):
    runs = newest_first(start(alice, agent_id="a") for _ in range(52))
    first = text(analyst, agent_id="a")
    assert listed(first) == runs[:50]
    second = following(analyst, first)
    assert listed(second) == runs[50:]
    assert 'rel="next"' not in second
    assert ">Newest</a>" in second


def test_a_rare_status_is_looked_for_so_far_and_then_further(
    alice, analyst, monkeypatch
):
    monkeypatch.setattr(run_search, "LOOKED_THROUGH", 3)
    oldest = start_at(alice, datetime(2026, 1, 1, tzinfo=UTC))
    post(alice, oldest, "complete", {})
    runs = newest_first(start(alice) for _ in range(4))
    nothing = text(analyst, status="completed")
    assert listed(nothing) == []
    assert "Looked through the 3 runs back to" in words(nothing)
    assert "none passes the filters. Look further back" in words(nothing)
    found = following(analyst, nothing)
    assert listed(found) == [oldest]
    assert "Look further back" not in found
    some = text(analyst, status="running")
    assert listed(some) == runs[:3]
    assert "3 pass the filters" in words(some)
    assert listed(following(analyst, some)) == runs[3:]


def test_what_an_index_knows_is_looked_for_without_an_end(alice, analyst, monkeypatch):
    monkeypatch.setattr(run_search, "LOOKED_THROUGH", 1)
    old = start_at(alice, datetime(2026, 1, 1, tzinfo=UTC), workflow_id="w")
    start(alice)
    assert listed(text(analyst, workflow_id="w")) == [old]
    both = text(analyst, workflow_id="w", agent_id=AGENT)
    assert "Looked through" in both
    assert listed(following(analyst, both)) == [old]


def table(page: str) -> list[str]:
    return re.findall(r'<th scope="col"[^>]*>(.*?)</th>', page)


def test_columns_are_as_the_reader_chose(alice, analyst):
    start(alice, model="gpt-4o")
    assert "Model" not in table(text(analyst))
    page = text(analyst, columns=["model", "steps"])
    assert table(page) == ["Model", "Steps"]
    assert "<td" in page
    assert page.count("<td") == 2


def csv_of(person: Any, **query: Any) -> list[dict[str, str]]:
    answer = person.get(PATH, data=query | {"format": "csv"})
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/csv"
    body = b"".join(answer.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(body, newline="")))


def test_csv_has_the_rows_and_columns_that_are_shown(alice, analyst):
    done = start(alice, name="=1+1", workflow_id="claims", budget_cents=2)
    record(alice, done, cost_cents=0.25, usage={"input_tokens": 7, "output_tokens": 3})
    post(alice, done, "complete", {})
    start(alice, name="other")
    query = {"status": "completed", "columns": ALL_COLUMNS}
    assert listed(text(analyst, **query)) == [done]
    (row,) = csv_of(analyst, **query)
    run = Orchestration.objects.get(pk=done)
    assert run.ended_at
    seconds = (run.ended_at - run.started_at).total_seconds()
    assert row == {
        "started_at": run.started_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "ended_at": run.ended_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "orchestration_id": done,
        "name": "'=1+1",
        "status": "completed",
        "workflow_id": "claims",
        "agent_id": AGENT,
        "model": "",
        "calls": "1",
        "steps": "0",
        "tokens": "10",
        "cost_usd": "0.0025",
        "budget_usd": "0.02",
        "failed_calls": "0",
        "unpriced_calls": "0",
        "duration_seconds": f"{seconds:.3f}",
    }
    assert list(csv_of(analyst, columns=["agent"])[0]) == ["agent_id"]


def test_csv_is_of_the_page_that_is_shown(alice, analyst):
    runs = newest_first(start(alice) for _ in range(51))
    rows = csv_of(analyst, columns="run")
    assert [row["orchestration_id"] for row in rows] == runs[:50]
    cursor = runs[49].removeprefix("maip-orch:")
    rows = csv_of(analyst, columns="run", cursor=cursor)
    assert [row["orchestration_id"] for row in rows] == runs[50:]


def test_a_download_is_an_access_event(alice, analyst):
    start(alice)
    csv_of(analyst, status="running")
    (event,) = events_of(alice.tenant)
    assert event.action == "orchestrations.exported"
    assert event.actor_name == analyst.user.email
    assert after(event) == {"rows": 1, "filters": "status=running", "mode": "live"}


def test_reading_is_none(alice, analyst):
    run = start(alice)
    text(analyst)
    assert analyst.get(f"{PATH}/{run}").status_code == 200
    assert events_of(alice.tenant) == []


def test_without_runs_it_says_what_makes_some(alice, analyst):
    empty = text(analyst)
    assert "There is no orchestration yet" in empty
    assert "curl -X POST http://testserver/v1/orchestrations" in empty
    assert "No orchestration passes these filters" in text(analyst, agent_id="nobody")


def test_names_are_text_and_no_markup(alice, analyst):
    hostile = "<b>\"&'</b> 😀" + "x" * 180
    start(alice, name=hostile, agent_id=hostile, workflow_id=hostile, model=hostile)
    page = text(analyst, columns=ALL_COLUMNS, agent_id=hostile)
    assert "<b>" not in page
    assert "😀" in page


def test_what_is_unpriced_is_beside_the_cost(alice, analyst):
    run = start(alice)
    record(alice, run, cost_cents=None, model="no-such-model", provider="custom")
    assert "$0.00 + 1 unpriced" in words(text(analyst))
    page = text(analyst, columns=["cost", "unpriced"])
    assert "+ 1 unpriced" not in words(page)
    assert f"/orchestrations/{run}?only=unpriced#calls" in page


def test_a_budget_that_is_spent_is_said_to_be(alice, analyst):
    record(alice, start(alice, budget_cents=1), cost_cents=2)
    assert "all of $0.01" in words(text(analyst))


def test_its_queries_do_not_grow(alice, analyst, django_assert_max_num_queries):
    for _ in range(5):
        record(alice, start(alice))
    with django_assert_max_num_queries(7):
        text(analyst, status="running", min_cost="0.001", to="2030-01-01")


def test_an_id_of_any_time_passes_its_own_days(alice, analyst):
    """The clock's day ends while a run gets its id."""
    midnight = datetime(2026, 1, 2, tzinfo=UTC)
    run = start_at(alice, midnight - timedelta(milliseconds=5))
    Orchestration.objects.filter(pk=run).update(started_at=midnight)
    assert listed(text(analyst, **{"from": "2026-01-02"})) == [run]
    assert listed(text(analyst, to="2026-01-01")) == []
