"""The page of calls: the records behind the numbers of costs."""

import csv
import io
import random
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestrations import call_search
from orchestrations.call_filter import CallFilter
from orchestrations.call_search import add_up, find_calls
from orchestrations.models import NOBODY, Inference
from tests.conftest import new_caller
from tests.orchestrations.runs import record, start
from tests.orchestrations.usage_rows import Ledger
from tests.tenants.people import after, events_of, new_person

PATH = "/costs/calls"


def at(day: int, hour: int = 12, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


@pytest.fixture
def ledger(alice):
    return Ledger(alice)


@pytest.fixture
def analyst(acme):
    return new_person(acme, "analyst")


@pytest.fixture
def auditor(acme):
    return new_person(acme, "auditor")


def page(person: Any, **query: Any) -> str:
    answer = person.get(PATH, data=query)
    assert answer.status_code == 200
    text: str = answer.content.decode()
    return text


def exported(person: Any, **query: Any) -> list[dict[str, str]]:
    answer = person.get(PATH, data={"format": "csv"} | query)
    assert answer.status_code == 200
    text = b"".join(answer.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text)))


def ids(person: Any, **query: Any) -> list[str]:
    """The receipts of all calls, from page to page."""
    found = []
    for _ in range(200):
        found += [row["receipt_id"] for row in exported(person, **query)]
        text = page(person, **query)
        older = re.findall(r'rel="next" href="([^"]+)"', text)
        if not older:
            return found
        (query["cursor"],) = re.findall(r"cursor=([^&]+)", unescape(older[0]))
        query["cursor"] = query["cursor"].replace("%3D", "=")
    raise AssertionError("The pages have no end.")


def cells(text: str) -> list[list[str]]:
    body = text.partition("<tbody>")[2].partition("</tbody>")[0]
    rows = re.findall(r"<tr>.*?</tr>", body, re.DOTALL)
    return [
        [
            " ".join(unescape(re.sub("<[^>]+>", "", cell)).split())
            for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)
        ]
        for row in rows
    ]


def said(text: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", "", text)).split())


class TestACall:
    def test_is_told_with_what_it_cost_and_by_whom(self, alice, auditor, ledger):
        run = ledger.run(at(1), "claims desk", "nightly")
        call = ledger.call(
            at(2),
            "0.0012",
            run,
            model="claude-sonnet-4-5",
            provider="anthropic",
            list_price=Decimal("0.0015"),
            cost_source="catalogue",
            outcome="completed",
            cache_read_tokens=1000,
            latency_ms=1850,
        )
        ledger.write()
        columns = "time model provider agent workflow key tokens cost source"
        columns += " list_price latency outcome run receipt"
        text = page(auditor, columns=columns.split())
        assert cells(text) == [
            [
                "2 Nov 2026 12:00 UTC",
                "claude-sonnet-4-5",
                "anthropic",
                "claims desk",
                "nightly",
                "test",
                "1,110",
                "$0.000012",
                "by the list price",
                "$0.000015",
                "1,850",
                "Completed",
                f"…{run.pk[-8:]}",
                f"…{str(call.pk)[-8:]}",
            ]
        ]
        assert f"/orchestrations/{run.pk}" in unescape(text)

    def test_without_a_price_has_a_word_and_what_it_counts_since(self, analyst, ledger):
        never = ledger.call(at(3), None, model="x", cost_source="unpriced")
        since = ledger.call(at(2), None, model="x", cost_source="unpriced")
        ledger.adjust(since, "0.25", at(4))
        ledger.adjust(since, "0.5", at(5))
        ledger.write()
        costs = [row[4] for row in cells(page(analyst))]
        assert costs == ["unpriced", "unpriced now $0.005"]
        assert ids(analyst, unpriced="yes") == [str(never.pk)]

    def test_links_no_receipt_for_whoever_may_not_read_it(self, analyst, ledger):
        call = ledger.call(at(2))
        ledger.write()
        assert f"/receipts/{call.pk}" not in page(analyst)

    def test_is_text_and_no_markup(self, analyst, ledger):
        hostile = "<script>alert(1)</script>\"'><b>" + "x" * 150
        run = ledger.run(at(2), hostile, hostile)
        call = ledger.call(at(2), 1, run, model=hostile)
        ledger.write()
        text = page(analyst, model=hostile, agent_id=hostile)
        assert "<script>" not in text
        assert "<b>" not in text
        assert ids(analyst, model=hostile, workflow_id=hostile) == [str(call.pk)]


class TestTheSums:
    def test_are_of_what_is_shown(self, analyst, ledger):
        for number in range(60):
            ledger.call(
                at(2, 1, number), "0.000000001", input_tokens=1, output_tokens=0
            )
        ledger.call(at(3), None, input_tokens=5, output_tokens=0)
        ledger.write()
        text = said(page(analyst))
        assert "50 calls on this page: 54 tokens, $0.00000000049 and 1 without" in text
        assert "61 calls cost $0.0000000006; 1 of them has no price." in text

    def test_of_the_filter_are_the_rollups(self, analyst, ledger):
        for day, cost, model in (
            (1, 5, "a"),
            (2, 7, "a"),
            (3, 11, "b"),
            (4, None, "c"),
        ):
            ledger.call(at(day), cost and cost * 100, model=model)
        ledger.write()
        assert "2 calls cost $12.00." in said(page(analyst, model="a"))
        two = page(analyst, **{"from": "2026-11-02", "to": "2026-11-03"})
        assert "2 calls cost $18.00." in said(two)
        assert "1 call cost what nobody knows" in said(page(analyst, model="c"))
        assert "No call passes these filters" in said(page(analyst, model="d"))

    def test_of_filters_that_rollups_do_not_know_are_not_told(self, analyst, ledger):
        ledger.call(at(2), 100)
        ledger.write()
        text = page(analyst, cost_source="agent_reported")
        assert 'class="answer"' not in text
        assert "1 call on this page" in said(text)


class TestFilters:
    @pytest.fixture
    def recorded(self, alice, acme, ledger):
        other = new_caller(acme).key.pk
        source = random.Random(8)
        for number in range(140):
            run = ledger.run(at(1), f"a{number % 3}", ("", "w")[number % 2])
            cost = None if number % 7 == 3 else Decimal(number)
            call = ledger.call(
                at(1 + source.randrange(28), source.randrange(24), number % 60),
                cost,
                run if number % 5 else None,
                model=("common", "common", "common", f"rare-{number}")[number % 4],
                provider=("openai", "custom")[number % 2],
                agent_id=("", f"a{number % 3}")[number % 4 > 0],
                api_key_id=(alice.key.pk, other, NOBODY)[number % 3],
                outcome=("", "completed", "failed", "cut", "unknown")[number % 5],
            )
            if number % 14 == 3:
                ledger.adjust(call, 1, at(29))
        ledger.write()
        return ledger

    @pytest.mark.parametrize(
        ("query", "passes"),
        [
            ({}, lambda c: True),
            ({"model": "common"}, lambda c: c.model == "common"),
            ({"model": "rare-99"}, lambda c: c.model == "rare-99"),
            ({"model": "none"}, lambda c: False),
            ({"provider": "custom"}, lambda c: c.provider == "custom"),
            ({"agent_id": "a1"}, lambda c: c.agent_id == "a1"),
            ({"workflow_id": "w"}, lambda c: c.workflow_id == "w"),
            ({"without": "agent_id"}, lambda c: c.agent_id == ""),
            ({"without": "workflow_id"}, lambda c: c.workflow_id == ""),
            ({"without": "api_key"}, lambda c: c.api_key_id == NOBODY),
            ({"failed": "yes"}, lambda c: c.outcome in ("failed", "cut", "unknown")),
            ({"failed": "unknown"}, lambda c: c.outcome == "unknown"),
            (
                {"failed": "unknown", "model": "common", "to": "2026-11-14"},
                lambda c: (
                    (c.outcome, c.model) == ("unknown", "common")
                    and c.recorded_at.day <= 14
                ),
            ),
            ({"cost_source": "unpriced"}, lambda c: c.cost is None),
            ({"unpriced": "yes"}, lambda c: c.cost is None),
            (
                {"failed": "yes", "model": "common", "provider": "openai"},
                lambda c: (
                    c.outcome in ("failed", "cut", "unknown")
                    and (c.model, c.provider) == ("common", "openai")
                ),
            ),
            (
                {"from": "2026-11-07", "to": "2026-11-08", "model": "common"},
                lambda c: c.recorded_at.day in (7, 8) and c.model == "common",
            ),
            ({"to": "2026-11-03"}, lambda c: c.recorded_at.day <= 3),
        ],
    )
    @pytest.mark.parametrize("small", [False, True])
    def test_leave_what_passes_the_newest_first(
        self, acme, analyst, recorded, monkeypatch, query, passes, small
    ):
        if small:  # so that a page ends before it is full
            monkeypatch.setattr(call_search, "MAX_DAYS", 3)
            monkeypatch.setattr(call_search, "MAX_HOURS", 4)
            monkeypatch.setattr(call_search, "MAX_READ", 5)
        if "unpriced" in query:
            later = {row.inference_id for row in recorded.adjustments}
            passes = lambda c: c.cost is None and c.pk not in later  # noqa: E731
        wanted = sorted(
            (call for call in recorded.calls if passes(call)),
            key=lambda call: (call.recorded_at, call.pk.int),
            reverse=True,
        )
        assert ids(analyst, **query) == [str(call.pk) for call in wanted]

    def test_of_a_key_take_its_id_or_its_prefix(self, alice, analyst, recorded):
        wanted = {str(c.pk) for c in recorded.calls if c.api_key_id == alice.key.pk}
        assert set(ids(analyst, api_key=str(alice.key.pk))) == wanted
        assert set(ids(analyst, api_key=alice.key.prefix)) == wanted
        assert '<span class="quiet">API key</span> test' in page(
            analyst, api_key=alice.key.prefix
        )

    def test_of_a_run_find_its_calls(self, analyst, recorded):
        call = next(call for call in recorded.calls if call.orchestration_id)
        assert ids(analyst, orchestration_id=call.orchestration_id) == [str(call.pk)]

    def test_of_several_sums_agree_with_the_rows(self, acme, recorded):
        for asked in (
            CallFilter(model="common"),
            CallFilter(agent_id="a1", first=date(2026, 11, 4), last=date(2026, 11, 9)),
            CallFilter(workflow_id="", provider="openai"),
        ):
            totals = add_up(acme.pk, "live", asked)
            found = find_calls(acme.pk, "live", asked, None, 1000).calls
            place = (found[-1].recorded_at, found[-1].pk) if found else None
            while place:
                more = find_calls(acme.pk, "live", asked, place, 1000)
                found += more.calls
                place = more.next_place
            assert totals.calls == len(found) > 0
            assert totals.cost == sum(c.cost for c in found if c.cost is not None)

    def test_are_chips_that_remove_them(self, analyst, ledger):
        text = page(analyst, model="m", cost_source="catalogue", failed="yes")
        chips = text.partition('class="chips"')[2].partition("</ul>")[0]
        assert "by the list price" in chips
        assert 'href="?model=m&amp;cost_source=catalogue"' in chips

    @pytest.mark.parametrize(
        "query",
        [
            {"from": "yesterday"},
            {"to": "2026-13-01"},
            {"from": "2026-11-02", "to": "2026-11-01"},
            {"to": "9999-12-31"},
            {"provider": "nobody"},
            {"cost_source": "a-friend"},
            {"api_key": "lk_live_nothing"},
            {"api_key": "x" * 61},
            {"model": "a\0b"},
            {"model": "x" * 201},
            {"unpriced": "perhaps"},
            {"without": "a-model"},
            {"without": "agent_id", "agent_id": "a"},
            {"cursor": "nonsense"},
            {"cursor": "Yzc"},
            {"format": "pdf"},
        ],
    )
    def test_that_cannot_be_read_are_told(self, analyst, ledger, query):
        ledger.call(at(2), 100)
        ledger.write()
        answer = analyst.get(PATH, data=query)
        assert answer.status_code == 400
        text = answer.content.decode()
        assert 'role="alert"' in text
        assert cells(text) == []


class TestManyCalls:
    def test_of_one_moment_are_all_shown_once(self, analyst, ledger):
        for _ in range(120):
            ledger.call(at(2))
        ledger.write()
        found = ids(analyst)
        assert (len(found), len(set(found))) == (120, 120)
        assert ids(analyst, model="gpt-5") == found

    def test_of_an_hour_are_read_a_part_at_a_time(self, analyst, ledger, monkeypatch):
        monkeypatch.setattr(call_search, "MAX_READ", 20)
        rare = [
            ledger.call(at(2, 5, n % 60), model=("common", "rare")[n % 40 == 7]).pk
            for n in range(240)
        ]
        ledger.write()
        text = page(analyst, model="rare")
        assert "No call passes these filters so far" in said(text) or cells(text)
        assert "Looked through the calls back to" in said(text)
        assert len(ids(analyst, model="rare")) == 6
        assert len(rare) == 240

    def test_with_a_gap_between_are_not_read_through(self, acme, ledger):
        for day in (2, 3, 20):
            ledger.call(at(day), model="rare")
            ledger.call(at(day), model="common")
        for number in range(50):
            ledger.call(at(10, 3, number), model="common")
        ledger.write()
        asked = CallFilter(model="rare")
        with CaptureQueriesContext(
            connection,
        ) as queries:
            found = find_calls(acme.pk, "live", asked, None, 50)
        assert [call.recorded_at.day for call in found.calls] == [20, 3, 2]
        last = queries.captured_queries[-1]["sql"]
        assert last.count("2026-11-10") == 0

    def test_are_asked_for_with_few_queries(
        self, analyst, ledger, django_assert_max_num_queries
    ):
        for number in range(80):
            run = ledger.run(at(1))
            ledger.call(at(1 + number % 20), number, run, model="m")
        ledger.write()
        with django_assert_max_num_queries(10):
            page(analyst, model="m")


def test_it_has_one_mode_of_one_tenant(acme, analyst, alice, charlie):
    calls = {}
    for name, caller in (
        ("live", alice),
        ("test", new_caller(acme, mode="test")),
        ("theirs", charlie),
    ):
        ledger = Ledger(caller)
        calls[name] = str(ledger.call(at(2), model="m").pk)
        ledger.write()
    assert ids(analyst) == ids(analyst, model="m") == [calls["live"]]
    assert ids(analyst, mode="test") == [calls["test"]]


def test_a_run_of_others_has_no_calls_here(analyst, charlie):
    ledger = Ledger(charlie)
    run = ledger.run(at(1))
    ledger.call(at(1), 5, run)
    ledger.write()
    assert ids(analyst, orchestration_id=run.pk) == []


def test_without_calls_it_says_what_would_make_some(analyst):
    assert "No call was recorded yet" in said(page(analyst))
    assert "No call passes these filters" in said(page(analyst, model="m"))


def test_a_download_has_what_is_shown_exactly_and_is_noted(acme, analyst, ledger):
    ledger.call(at(2), "0.000000001", model="=m", latency_ms=None)
    ledger.call(at(3), 5, model="other")
    ledger.write()
    (row,) = exported(analyst, model="=m")
    assert row["recorded_at"] == "2026-11-02T12:00:00+00:00"
    assert row["model"] == "'=m"
    assert row["cost_cents"] == row["list_price_cents"] == "0.000000001"
    assert row["latency_ms"] == ""
    (event,) = events_of(acme)
    assert event.action == "costs.exported"
    assert after(event) == {"table": "calls", "query": "model=%3Dm", "rows": 1}


def test_a_call_that_was_just_recorded_is_found(alice, analyst):
    run = start(alice)
    inference = record(alice, run, model="brand-new", provider="custom")
    assert ids(analyst, model="brand-new") == [inference["receipt_id"]]
    today = timezone.now().date()
    found = ids(analyst, model="brand-new", **{"from": today - timedelta(days=1)})
    assert found == [inference["receipt_id"]]
    assert Inference.objects.get(pk=found[0]).orchestration_id == run


class TestTheExport:
    def test_is_offered_with_the_filters(self, auditor, ledger):
        ledger.call(at(2), "1", model="gpt-4o")
        ledger.write()
        text = unescape(page(auditor, model="gpt-4o"))
        assert "/exports?what=inferences&model=gpt-4o" in text

    def test_is_not_where_it_would_be_of_other_calls(self, auditor, ledger):
        ledger.call(at(2), None, cost_source="unpriced")
        ledger.write()
        assert "Export all" not in page(auditor, unpriced="yes")

    def test_is_not_for_who_may_not_export(self, analyst, ledger):
        ledger.call(at(2), "1")
        ledger.write()
        assert "Export all" not in page(analyst)
