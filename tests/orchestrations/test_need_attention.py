"""What the first page says needs attention, and what it says where nothing does."""

import html
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from orchestrations import attention
from orchestrations.models import Budget
from tenants.models import ApiKey, Tenant
from tests.orchestrations.runs import post, record, start
from tests.orchestrations.usage_rows import Ledger
from tests.receipts.auditor import grow
from tests.receipts.key_operator import active_kid, revoke, rotate
from tests.receipts.tampering import change_entry
from tests.tenants.people import Person, new_person

DAY = timedelta(days=1)


@pytest.fixture
def admin(acme) -> Person:
    return new_person(acme, "admin")


@pytest.fixture
def logged(alice) -> None:
    grow(alice, 1)


def notes(person: Person, path: str = "/") -> list[str]:
    page = person.get(path).content.decode()
    found = page.partition('<ul class="notes"')[2].partition("</ul>")[0]
    items = re.findall(r'<span class="verdict \w+">(.*?)</span>', found, re.S)
    return [html.unescape(item) for item in items]


def now() -> datetime:
    return timezone.now()


def test_nothing_is_said_where_nothing_does(acme, alice, admin, logged):
    record(alice, start(alice))
    page = admin.get("/").content.decode()
    assert "Nothing needs attention" in page
    assert notes(admin) == []


class TestRuns:
    def ended(self, alice: Any, *sequence: int | None) -> str:
        run = start(alice)
        for number in sequence:
            record(alice, run, sequence=number)
        assert post(alice, run, "complete", {}).status_code == 200
        return run

    @pytest.mark.parametrize("sequence", [(1, 2, 4), (0, 2), (2, 3), (1, 1, 3)])
    def test_one_with_a_gap(self, alice, admin, sequence):
        self.ended(alice, 1, 2, 3)
        self.ended(alice, *sequence)
        assert notes(admin) == [
            "1 of the newest 2 ended runs lacks calls that the agent has counted."
        ]

    @pytest.mark.parametrize("sequence", [(0, 1, 2), (2, 1), (None, None), (1, 1, 2)])
    def test_those_without_gaps(self, alice, admin, sequence):
        self.ended(alice, *sequence)
        assert notes(admin) == []

    def test_one_that_goes_on_may_yet_report(self, alice, admin):
        run = start(alice)
        for number in (1, 3):
            record(alice, run, sequence=number)
        assert notes(admin) == []

    def test_they_are_found_among_few_calls(self, acme, alice, monkeypatch):
        first, second = self.ended(alice, 1, 3), self.ended(alice, 1, 3)
        whose = (acme.pk, "live")
        assert attention.sequence_gaps(whose).runs == [second, first]
        monkeypatch.setattr(attention, "MOST_CALLS", 3)
        gaps = attention.sequence_gaps(whose)
        assert (gaps.looked_at, gaps.runs) == (1, [second])
        monkeypatch.setattr(attention, "NEWEST_RUNS", 0)
        assert attention.sequence_gaps(whose).runs == []


class TestPrices:
    def test_models_without_one(self, alice, admin):
        run = start(alice)
        for model in ("mine <b>", "mine <b>", "yours"):
            record(alice, run, provider="custom", model=model, cost_cents=None)
        assert notes(admin) == ["2 models have no price, in 3 calls: mine <b>, yours."]
        page = admin.get("/").content.decode()
        assert "/settings/prices" in page
        assert "<b>" not in page

    def test_many_are_not_all_named(self, alice, admin):
        run = start(alice)
        for number in range(5):
            name = f"m{number}"
            record(alice, run, provider="custom", model=name, cost_cents=None)
        (note,) = notes(admin)
        assert note.endswith("m0, m1, m2 and 2 more.")

    def test_those_of_another_time_do_not_count(self, alice, admin, logged):
        ledger = Ledger(alice)
        ledger.call(now() - 40 * DAY, None)
        ledger.write()
        assert notes(admin) == []
        assert len(notes(admin, "/?days=90")) == 1

    def test_those_priced_later_do_not_count(self, alice, admin, logged):
        ledger = Ledger(alice)
        ledger.adjust(ledger.call(now(), None), 5, now())
        ledger.write()
        assert notes(admin) == []


class TestBudgets:
    @pytest.fixture
    def spend(self, acme, alice) -> Any:
        def run(cents: str, mode: str = "live") -> None:
            Budget(tenant=acme, mode=mode, limit=Decimal(100)).save()
            record(alice, start(alice), cost_cents=Decimal(cents))

        return run

    @pytest.mark.parametrize(
        ("cents", "said"),
        [
            ("79.999", []),
            ("80", ["80 % of this month's budget is spent: $0.80 of $1.00."]),
            ("99.99", ["99 % of this month's budget is spent: $1.00 of $1.00."]),
            ("100", ["This month's budget is used up: $1.00 of $1.00."]),
            ("250", ["This month's budget is used up: $2.50 of $1.00."]),
        ],
    )
    def test_one_near_its_end(self, admin, spend, cents, said):
        spend(cents)
        assert notes(admin) == said

    def test_one_of_nothing_is_used_up(self, acme, admin, logged):
        Budget(tenant=acme, limit=Decimal(0)).save()
        assert notes(admin) == ["This month's budget is used up: $0.00 of $0.00."]

    def test_one_of_test_calls_is_another(self, admin, spend):
        spend("100", mode="test")
        assert notes(admin) == []


class TestSigningKeys:
    def test_a_checkpoint_key_that_is_replaced(self, alice, admin, logged):
        rotate(alice, "checkpoint", overlap=timedelta(days=14))
        (note,) = notes(admin)
        assert "whoever pinned it needs its successor by then" in note

    def test_not_where_there_is_time(self, alice, admin, logged):
        rotate(alice, "checkpoint", overlap=timedelta(days=15))
        assert notes(admin) == []

    def test_those_that_are_revoked(self, alice, admin, logged):
        revoke(alice, active_kid(alice), 0)
        assert notes(admin) == ["1 signing key is revoked."]

    def test_a_log_that_is_wrong(self, acme, alice, admin):
        grow(alice, 2)
        change_entry(alice, 1, runtime="sglang")
        with pytest.raises(SystemExit):
            call_command("verify_log", acme.slug, stdout=StringIO())
        assert notes(admin) == ["The log is INVALID at entry 1."]
        page = admin.get("/").content.decode()
        assert "action=log.verified" in page
        assert "Verified in full" not in page


class TestApiKeys:
    def issue(self, acme: Tenant, **terms: Any) -> ApiKey:
        key, _ = ApiKey.objects.issue(acme, "key", ["*"], **terms)
        return key

    def test_those_that_end_soon(self, acme, admin, logged):
        for days in (-1, 13, 15):
            self.issue(acme, expires_at=now() + days * DAY)
        self.issue(acme, expires_at=now() + DAY, mode="test")
        self.issue(acme).rotate(DAY)
        assert notes(admin) == ["2 API keys end within 14 days."]

    def test_those_that_were_revoked_in_the_period(self, acme, admin, logged):
        for ago in (0, 31):
            key = self.issue(acme)
            key.revoke()
            ApiKey.objects.filter(pk=key.pk).update(revoked_at=now() - ago * DAY)
        assert notes(admin) == ["1 API key was revoked in this time."]
        assert notes(admin, "/?days=90") == ["2 API keys were revoked in this time."]

    def test_who_manages_none_is_told_of_none(self, acme, logged):
        self.issue(acme, expires_at=now() + DAY)
        assert notes(new_person(acme, "auditor")) == []


def test_calls_whose_outcome_nobody_knows(alice, admin, logged, monkeypatch):
    ledger = Ledger(alice)
    for outcome in ("unknown", "unknown", "failed"):
        ledger.call(now(), 1, outcome=outcome)
    ledger.call(now() - 31 * DAY, 1, outcome="unknown")
    ledger.write()
    (note,) = notes(admin)
    assert note.startswith("2 gateway calls have an unknown outcome")
    page = admin.get("/").content.decode()
    (url,) = re.findall(r'href="([^"]+)">These calls<', page)
    table = admin.get(html.unescape(url)).content.decode().partition("<tbody>")[2]
    assert table.count("<tr>") == 2
    monkeypatch.setattr(attention, "MOST_COUNTED", 2)
    (note,) = notes(admin)
    assert note.startswith("At least 2 gateway calls")


def test_an_analyst_is_told_of_costs_and_runs_and_not_of_keys(acme, alice, logged):
    revoke(alice, active_kid(alice), 0)
    rotate(alice, "checkpoint")
    Budget(tenant=acme, limit=Decimal(0)).save()
    analyst = new_person(acme, "analyst")
    assert notes(analyst) == ["This month's budget is used up: $0.00 of $0.00."]
    assert "/settings" not in analyst.get("/").content.decode()


def test_periods_begin_in_utc(alice, admin, logged):
    begin = datetime.combine(now().date() - 29 * DAY, datetime.min.time(), UTC)
    ledger = Ledger(alice)
    for at in (begin, begin - timedelta(microseconds=1)):
        ledger.call(at, 1, outcome="unknown")
    ledger.write()
    (note,) = notes(admin)
    assert note.startswith("1 gateway call has")
