"""Runs by the day of their end, and by the calls that they made."""

import csv
import io
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from html import unescape
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Value
from django.db.models.functions import Replace
from django.test.utils import CaptureQueriesContext

from lucid.isolation import NoTenant, working_for
from orchestrations import run_search
from orchestrations.models import NOBODY, Orchestration
from orchestrations.run_filter import RunFilter, newest_of
from orchestrations.run_search import RunSearch
from tests.admin.test_list_large_tables import TABLES, fill, plan_of
from tests.conftest import new_tenant
from tests.orchestrations.usage_rows import Ledger
from tests.tenants.people import new_person

PATH = "/orchestrations"


def at(day: int, hour: int = 12, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


@pytest.mark.parametrize("worked_for", [(), (NOBODY,)])
def test_the_newest_are_of_a_tenant_that_is_worked_for(alice, worked_for):
    with working_for(*worked_for), pytest.raises(NoTenant):
        newest_of(alice.tenant.pk, "live")


@pytest.fixture
def ledger(alice):
    return Ledger(alice)


@pytest.fixture
def analyst(acme):
    return new_person(acme, "analyst")


def walk(person: Any, **query: Any) -> list[str]:
    """The runs of a list from page to page, by its CSV; and how many pages it took."""
    found: list[str] = []
    for _ in range(100):
        answer = person.get(PATH, data=query | {"format": "csv"})
        assert answer.status_code == 200
        text = b"".join(answer.streaming_content).decode()
        rows = csv.DictReader(io.StringIO(text))
        found += [row["orchestration_id"] for row in rows]
        page = person.get(PATH, data=query).content.decode()
        older = re.findall(r'rel="next" href="[^"]*cursor=([^"&]+)', page)
        if not older:
            return found
        query["cursor"] = unescape(older[0])
    raise AssertionError("The pages have no end.")


def said(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


class TestByEnd:
    @pytest.fixture
    def runs(self, ledger):
        """Runs that started in one order and ended in another."""
        ends = [at(3), at(1, 0), at(2), at(2), at(2), at(31, 23, 10), None, at(4, 0)]
        runs = [ledger.run(at(1)) for _ in ends]
        for run, end in zip(runs, ends, strict=True):
            if end:
                ledger.end(run, end)
        ledger.write()
        return [run.pk for run in runs]

    def test_days_are_both_included_and_the_last_to_end_comes_first(
        self, analyst, runs
    ):
        third, first, *second = runs[:5]
        of_one_moment = sorted(second, reverse=True)
        found = walk(analyst, ended_from="2026-11-01", ended_to="2026-11-03")
        assert found == [third, *of_one_moment, first]
        assert walk(analyst, ended_to="2026-10-31") == [runs[5]]
        assert walk(analyst, ended_from="2026-11-04") == [runs[7]]
        assert len(walk(analyst, ended_from="0001-01-01", ended_to="9999-12-31")) == 7

    def test_the_page_says_in_which_order_it_is(self, analyst, runs):
        page = analyst.get(PATH, data={"ended_from": "2026-11-01"}).content.decode()
        assert "in the order in which they ended, the last first" in said(page)
        assert ">Ended</th>" in page
        page = analyst.get(PATH).content.decode()
        assert "newest first" in said(page)
        assert ">Ended</th>" not in page

    def test_it_says_how_many_there_are_where_rollups_know(self, analyst, runs):
        query = {"ended_from": "2026-11-01", "ended_to": "2026-11-03"}
        page = analyst.get(PATH, data=query).content.decode()
        assert "5 runs ended in these days and cost $0.00." in said(page)
        page = analyst.get(PATH, data={"ended_to": "2026-10-31"}).content.decode()
        assert "1 run ended in these days" in said(page)
        for other in ({"status": "failed"}, {"agent_id": "agent"}):
            page = analyst.get(PATH, data=query | other).content.decode()
            assert "ended in these days" not in said(page)

    def test_it_goes_on_by_a_cursor_through_runs_of_one_moment(self, analyst, ledger):
        runs = [ledger.run(at(1)) for _ in range(120)]
        for number, run in enumerate(runs):
            ledger.end(run, at(2 + number // 100))
        ledger.write()
        wanted = sorted(runs, key=lambda run: (run.ended_at, run.pk), reverse=True)
        found = walk(analyst, ended_from="2026-11-01")
        assert found == [run.pk for run in wanted]

    def test_other_filters_are_looked_for_on_the_way(
        self, analyst, ledger, monkeypatch
    ):
        monkeypatch.setattr(run_search, "LOOKED_THROUGH", 3)
        runs = [ledger.run(at(1), ("a", "b")[number % 2]) for number in range(10)]
        for number, run in enumerate(runs):
            # Three of one moment at a place where a page ends.
            ledger.end(run, at(2 + max(number, 7)), ("failed", "completed")[number > 3])
        ledger.write()
        wanted = {run.pk for run in runs[1:4:2]}
        query = {"ended_from": "2026-11-01", "agent_id": "b", "status": "failed"}
        page = analyst.get(PATH, data=query).content.decode()
        assert "Looked through the 3 runs back to" in said(page)
        assert set(walk(analyst, **query)) == wanted
        assert walk(analyst, ended_from="2026-11-01", **{"to": "2026-10-31"}) == []

    @pytest.mark.parametrize(
        ("query", "complaint"),
        [
            ({"ended_from": "soon"}, "Enter a valid date"),
            (
                {"ended_from": "2026-01-03", "ended_to": "2026-01-01"},
                "This is after the last day",
            ),
            # Cursors of the list by start, of another time, of no list.
            ({"ended_from": "2026-01-01", "cursor": "0" * 26}, "points at no place"),
            ({"ended_from": "2026-01-01", "cursor": "9" * 17 + "-"}, "at no place"),
            ({"ended_from": "2026-01-01", "cursor": "-5-"}, "points at no place"),
            ({"cursor": "5-"}, "points at no place"),
            ({"call_provider": "acme"}, "Select a valid choice"),
            ({"call_key": "lk_live_none"}, "No API key has this prefix"),
            ({"call_model": "a\0b"}, "Null characters are not allowed"),
            (
                {"call_agent": "a", "call_without": "agent_id"},
                "No call is both of one and without.",
            ),
        ],
    )
    def test_what_cannot_be_read_is_told(self, analyst, runs, query, complaint):
        answer = analyst.get(PATH, data=query)
        assert answer.status_code == 400
        assert complaint in answer.content.decode()

    def test_any_time_that_a_cursor_can_hold_is_a_place(self, analyst, runs):
        query = {"ended_from": "2026-01-01", "cursor": "9" * 16 + "-"}
        assert len(walk(analyst, **query)) == 7
        assert walk(analyst, ended_from="2026-01-01", cursor="0-" + "Z" * 26) == []


class TestByCall:
    @pytest.fixture
    def run(self, ledger):
        """A run of two agents and two models, beside two of others."""
        run = ledger.run(at(1), "boss", "claims")
        ledger.call(at(1), 1, run, model="gpt-5")
        ledger.call(
            at(2),
            1,
            run,
            model="claude",
            provider="anthropic",
            agent_id="clerk",
            workflow_id="",
            api_key_id=NOBODY,
        )
        for number in range(2):
            other = ledger.run(at(1), "clerk of another", "claims")
            ledger.call(at(1), 1, other, model="o3", provider="custom")
            ledger.end(other, at(2 + number))
        ledger.call(at(1), 1, model="claude", agent_id="clerk")  # of no run
        ledger.end(run, at(5))
        ledger.write()
        return run.pk

    @pytest.mark.parametrize("days", [{}, {"ended_from": "2026-11-01"}])
    @pytest.mark.parametrize(
        "query",
        [
            {"call_model": "gpt-5"},
            {"call_model": "claude"},
            {"call_provider": "anthropic"},
            {"call_agent": "clerk"},
            {"call_agent": "boss"},
            {"call_without": "workflow_id"},
            {"call_without": "api_key"},
            {"call_model": "claude", "call_agent": "clerk", "call_without": "api_key"},
        ],
    )
    def test_a_run_has_a_call_of_each(self, analyst, run, query, days):
        assert walk(analyst, **query, **days) == [run]

    @pytest.mark.parametrize("days", [{}, {"ended_from": "2026-11-01"}])
    @pytest.mark.parametrize(
        "query",
        [
            {"call_model": "gpt"},
            {"call_model": "gpt-5", "call_agent": "clerk"},  # not of one call
            {"call_without": "agent_id"},
            {"call_key": "00000000-0000-7000-8000-000000000000"},
            {"call_model": "gpt-5", "agent_id": "clerk"},
        ],
    )
    def test_and_not_of_what_no_call_is(self, analyst, run, query, days):
        assert walk(analyst, **query, **days) == []

    def test_a_key_is_named_by_its_prefix(self, alice, analyst, run):
        assert len(walk(analyst, call_key=alice.key.prefix)) == 3
        page = analyst.get(PATH, data={"call_key": alice.key.prefix}).content.decode()
        assert f"Has a call with the API key {alice.key.name}" in said(page)

    def test_calls_are_looked_for_in_so_many_runs(
        self, analyst, ledger, run, monkeypatch
    ):
        monkeypatch.setattr(run_search, "LOOKED_INTO", 2)
        page = analyst.get(PATH, data={"call_model": "gpt-5"}).content.decode()
        assert "Looked through the 2 runs back to" in said(page)
        assert walk(analyst, call_model="gpt-5") == [run]

    def test_days_without_such_a_call_are_passed_over(
        self, acme, analyst, ledger, monkeypatch
    ):
        rare = ledger.run(at(1))
        ledger.call(at(1), 1, rare, model="rare", agent_id="rare")
        ledger.end(rare, at(2))
        for day in range(1, 28):
            other = ledger.run(at(1))
            ledger.call(at(1), 1, other, agent_id="rare" if day == 9 else "often")
            ledger.end(other, at(day, 14))
        ledger.write()
        monkeypatch.setattr(run_search, "LOOKED_INTO", 2)
        call = {"model": "rare", "agent_id": "rare"}
        first, last = date(2026, 11, 1), date(2026, 11, 30)
        search = RunSearch(RunFilter(), first=first, last=last, call=call)
        found = search.page(acme.pk, "live")
        assert [run.pk for run in found.runs] == [rare.pk]
        assert found.next_cursor is None
        late = replace(search, first=date(2026, 11, 3))
        assert not late.page(acme.pk, "live").runs


def test_runs_of_a_quiet_tenant_are_found_behind_those_of_others(database):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no plans to read")
    with transaction.atomic():
        quiet, busy = new_tenant("quiet"), new_tenant("busy")
        for tenant in (quiet, busy):
            fill(Orchestration, {"tenant_id": tenant.pk})
            if tenant == quiet:
                older = Replace("id", Value(":7Z"), Value(":6Z"))
                Orchestration.objects.filter(tenant=quiet).update(id=older)
        filters = [RunSearch(RunFilter()), RunSearch(RunFilter(), "7" * 26)]
        with working_for(quiet.pk), CaptureQueriesContext(connection) as asked:
            for search in filters:
                assert len(search.page(quiet.pk, "live").runs) == 50
            assert RunFilter().newest(quiet.pk, "live")[0].tenant == quiet
        for query in asked.captured_queries[:3]:
            with working_for(quiet.pk):
                plan = list(plan_of(query["sql"].partition("; ")[2]))
            read = [it for it in plan if it.get("Relation Name") in TABLES]
            assert [it["Index Name"] for it in read] == ["orchestrations_by_age"]
        transaction.set_rollback(True)
