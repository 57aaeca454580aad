"""The first page of a tenant: figures of a period beside those of the one before."""

import csv
import html
import io
import json
import random
import re
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from orchestrations.models import Budget
from receipts.keyring import log_of
from receipts.models import Log, Receipt
from tenants.models import ApiKey, Tenant
from tenants.templatetags.pages import count, total
from tests.caller import Caller
from tests.conftest import new_caller
from tests.orchestrations.usage_rows import Ledger
from tests.receipts.auditor import grow
from tests.receipts.tampering import unguarded
from tests.tenants.people import Person, new_person

DAY = timedelta(days=1)
MOST_QUERIES = 15


@pytest.fixture
def admin(acme) -> Person:
    return new_person(acme, "admin")


@pytest.fixture
def analyst(acme) -> Person:
    return new_person(acme, "analyst")


def today() -> date:
    return timezone.now().date()


def noon(days_ago: int) -> datetime:
    return datetime.combine(today() - days_ago * DAY, time(12), UTC)


def text_of(answer: Any) -> str:
    plain = re.sub(r"<[^>]+>", " ", answer.content.decode())
    return html.unescape(re.sub(r"\s+", " ", plain))


def figures(person: Person, path: str = "/") -> dict[str, tuple[str, str]]:
    """Each figure of the page with what is said of the period before."""
    answer = person.get(path)
    assert answer.status_code == 200
    parts = re.findall(r"<dt>(.*?)</dt>(.*?)</dd>", answer.content.decode(), re.S)
    found = {}
    for label, rest in parts:
        number, _, before = rest.partition("</strong>")
        texts = [re.sub(r"<[^>]+>|\s+", " ", part) for part in (number, before)]
        now, then = (" ".join(text.split()) for text in texts)
        found[label] = (now, html.unescape(then))
    return found


def fill_log(tenant: Tenant, moments: list[datetime], mode: str = "live") -> None:
    """A log whose entries were issued then: nothing of it would verify."""
    log = log_of(tenant.pk, mode)
    Receipt.objects.bulk_create(
        Receipt(
            id=uuid.uuid4(),
            tenant=tenant,
            log=log,
            leaf_index=index,
            entry=b"",
            leaf_hash=b"",
            receipt_hash=b"",
            run_id=f"run-{index}",
            receipt_type="compute",
            timestamp=0,
            issued_at=int(moment.timestamp()),
        )
        for index, moment in enumerate(moments)
    )
    with unguarded(Log):
        Log.objects.filter(pk=log.pk).update(size=len(moments))


@pytest.mark.parametrize("days", [7, 30, 90])
def test_figures_are_what_adding_up_says(acme, alice, admin, days):
    chance = random.Random(days)
    ledger, issued = Ledger(alice), []
    for _ in range(60):
        at = noon(chance.randrange(0, 2 * days + 9))
        issued.append(at)
        run = ledger.run(at)
        for _ in range(chance.randrange(4)):
            price = chance.choice([None, Decimal(chance.randrange(9999)) / 100])
            outcome = chance.choice(["", "completed", "failed", "cut", "unknown"])
            ledger.call(at, price, run, outcome=outcome)
        ledger.step(at, run, cost=3)
        ledger.end(run, at)
    ledger.write()
    fill_log(acme, sorted(issued))
    found = figures(admin, f"/?days={days}")

    def both(value: Any, show: Any = count) -> tuple[str, str]:
        now, before = (value(*span) for span in ((0, days), (days, 2 * days)))
        return show(now), show(before)

    def between(first: int, last: int, moment: Any) -> bool:
        return first <= (today() - moment.date()).days < last

    def calls(first: int, last: int) -> list[Any]:
        return [c for c in ledger.calls if between(first, last, c.recorded_at)]

    def cost(first: int, last: int) -> Decimal:
        steps = [s for s in ledger.steps if between(first, last, s.recorded_at)]
        parts = [it.cost or Decimal(0) for it in [*calls(first, last), *steps]]
        return sum(parts, Decimal(0))

    bad = {"failed", "cut", "unknown"}
    expected = {
        "Receipts": both(
            lambda first, last: sum(between(first, last, at) for at in issued)
        ),
        "Tokens": both(lambda *span: 110 * len(calls(*span))),
        "Cost": both(cost, total),
        "Calls that failed": both(
            lambda *span: sum(c.outcome in bad for c in calls(*span))
        ),
        "Calls without a price": both(
            lambda *span: sum(c.cost is None for c in calls(*span))
        ),
        "Runs that ended": both(
            lambda first, last: sum(
                between(first, last, run.ended_at) for run in ledger.runs
            )
        ),
    }
    assert found.keys() == expected.keys()
    for label, (now, before) in expected.items():
        assert found[label][0] == now, label
        assert before in found[label][1] or before == "0", label


@pytest.mark.parametrize(("ago", "now", "before"), [(29, 1, 0), (30, 0, 1), (59, 0, 1)])
def test_a_period_is_of_whole_days_of_utc_up_to_today(
    acme, alice, admin, ago, now, before
):
    day = today() - ago * DAY
    ledger = Ledger(alice)
    for moment in (time.min, time.max):
        at = datetime.combine(day, moment, UTC)
        ledger.call(at, 50)
    ledger.write()
    fill_log(acme, [datetime.combine(day, time.min, UTC)])
    found = figures(admin)
    assert found["Receipts"][0] == str(now)
    assert found["Cost"][0] == ("$1.00" if now else "$0.00")
    said = "$1.00 in the 30 days before" if before else "none in the 30 days before"
    assert found["Cost"][1] == said


def test_what_is_older_is_in_neither(acme, alice, admin):
    ledger = Ledger(alice)
    ledger.call(noon(60), 50)
    ledger.write()
    fill_log(acme, [noon(60)])
    found = figures(admin)
    assert found["Cost"] == ("$0.00", "none in the 30 days before")
    assert found["Receipts"] == ("0", "none in the 30 days before")


def test_the_change_is_in_words(acme, alice, admin):
    ledger = Ledger(alice)
    for ago, cents in ((1, 150), (31, 100)):
        ledger.call(noon(ago), cents)
    ledger.write()
    fill_log(acme, [noon(31), noon(1)])
    found = figures(admin)
    assert found["Cost"] == ("$1.50", "50 % more than the 30 days before: $1.00")
    assert found["Receipts"] == ("1", "as much as the 30 days before: 1")


def test_where_no_call_has_a_price_the_cost_is_a_word(acme, alice, admin):
    ledger = Ledger(alice)
    ledger.call(noon(1), None)
    ledger.write()
    fill_log(acme, [noon(1)])
    assert figures(admin)["Cost"][0] == "unpriced"


def test_test_data_is_apart(acme, alice, admin):
    test = new_caller(acme, mode="test")
    for caller, cents in ((alice, 100), (test, 700)):
        ledger = Ledger(caller)
        ledger.call(noon(1), cents)
        ledger.write()
        fill_log(acme, [noon(1)], caller.key.mode)
    assert figures(admin)["Cost"][0] == "$1.00"
    assert figures(admin, "/?mode=test")["Cost"][0] == "$7.00"


def test_the_charts_have_a_value_for_each_day(acme, alice, admin):
    ledger = Ledger(alice)
    for ago in (0, 6, 7):
        ledger.call(noon(ago), 100 + ago)
    ledger.write()
    fill_log(acme, [noon(1)])
    page = admin.get("/?days=7").content.decode()
    costs, calls = re.findall(r'data-values="([^"]+)"', page)
    assert costs.split() == ["106", "0", "0", "0", "0", "0", "100"]
    assert calls.split() == ["1", "0", "0", "0", "0", "0", "1"]


@pytest.mark.parametrize("days", ["8", "x", "-7", "9" * 40])
def test_another_period_is_refused(acme, alice, admin, days):
    grow(alice, 1)
    answer = admin.get(f"/?days={days}")
    assert answer.status_code == 400
    assert "A period has 7, 30 or 90 days" in text_of(answer)


def doors(person: Person, path: str = "/") -> dict[str, list[str]]:
    """Where each figure leads to, and that of the period before."""
    page = person.get(path).content.decode()
    parts = re.findall(r"<dt>(.*?)</dt>(.*?)</dd>", page, re.S)
    return {
        label: [html.unescape(url) for url in re.findall('href="([^"]+)"', rest)]
        for label, rest in parts
    }


def listed(person: Person, address: str) -> list[dict[str, str]]:
    """The rows of a list of one page, as CSV."""
    answer = person.get(f"{address}&format=csv")
    assert answer.status_code == 200
    text = b"".join(answer.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text)))


class TestDoors:
    def test_each_figure_leads_to_the_records_it_counts(self, acme, alice, admin):
        ledger = Ledger(alice)
        for ago, calls in ((29, 3), (30, 5), (59, 1), (60, 7)):
            # It began before its period.
            run = ledger.run(noon(ago + 1))
            for number in range(calls):
                outcome = ("failed", "")[number % 2]
                ledger.call(noon(ago), None if number == 1 else 5, run, outcome=outcome)
            ledger.end(run, noon(ago))
        ledger.write()
        fill_log(acme, [noon(70)])
        found = doors(admin)
        said = {
            label: [now, re.split(r"[: ]", before)[-1]]
            for label, (now, before) in figures(admin).items()
        }
        for label, counts in {
            "Calls that failed": [2, 4],
            "Calls without a price": [1, 1],
            "Runs that ended": [1, 2],
        }.items():
            assert [len(listed(admin, url)) for url in found[label]] == counts
            assert said[label][0] == str(counts[0])
        tokens = [listed(admin, url) for url in found["Tokens"]]
        assert [len(rows) for rows in tokens] == [3, 6]
        assert figures(admin)["Tokens"][0] == "330"
        pages = [text_of(admin.get(url)) for url in found["Cost"]]
        assert "$0.10 from" in pages[0]
        assert "$0.25 from" in pages[1]
        assert found["Receipts"] == []  # none, in either

    def test_receipts_lead_to_the_entries_of_the_days(self, acme, alice, admin):
        grow(alice, 7)
        issued = {0: 80, 1: 50, 2: 50, 3: 31}
        with unguarded(Receipt):
            for entry, ago in issued.items():
                at = int(noon(ago).timestamp())
                rows = Receipt.objects.filter(tenant=acme, leaf_index=entry)
                rows.update(issued_at=at)
        now, before = doors(admin)["Receipts"]
        assert figures(admin)["Receipts"][0] == "3"
        assert [row["leaf_index"] for row in listed(admin, now)] == ["6", "5", "4"]
        assert [row["leaf_index"] for row in listed(admin, before)] == ["3", "2", "1"]

    def test_what_the_check_says_leads_to_entries(self, acme, alice, admin):
        grow(alice, 3)
        call_command("verify_log", acme.slug, stdout=StringIO())
        grow(alice, 2)
        page = admin.get("/").content.decode().partition('<h2 id="log">')[2]
        urls = re.findall(r'href="([^"]+/receipts\?[^"]+)"', page)
        found = [[row["leaf_index"] for row in listed(admin, url)] for url in urls]
        assert found == [["2", "1", "0"], ["4", "3"]]

    def test_who_may_not_read_receipts_has_no_way_to_them(self, acme, alice, analyst):
        grow(alice, 1)
        found = doors(analyst)
        assert "Receipts" not in found
        assert all("/receipts" not in url for urls in found.values() for url in urls)


class TestTheLog:
    def test_it_says_how_large_it_is_and_by_whom_it_was_checked(
        self, acme, alice, admin
    ):
        grow(alice, 3)
        assert "3 entries , the newest from" in text_of(admin.get("/"))
        assert "Not verified in full yet" in text_of(admin.get("/"))
        assert f"manage.py verify_log {acme.slug}" in text_of(admin.get("/"))
        call_command("verify_log", acme.slug, stdout=StringIO())
        grow(alice, 1)
        told = text_of(admin.get("/"))
        assert "Verified in full up to entry 2 ," in told
        assert "1 entry has come since" in told

    def test_an_analyst_sees_none_of_it(self, acme, alice, analyst):
        grow(alice, 1)
        call_command("verify_log", acme.slug, stdout=StringIO())
        page = analyst.get("/").content.decode()
        assert "Receipts" not in figures(analyst)
        for hidden in ('id="log"', "Verified", "/keys", "/receipts"):
            assert hidden not in page
        assert "Cost" in figures(analyst)


class TestFirstUse:
    @pytest.mark.parametrize("role", ["admin", "auditor", "analyst"])
    def test_it_tells_how_to_send_the_first_receipt(self, acme, role):
        told = text_of(new_person(acme, role).get("/"))
        assert "Nothing was recorded yet in live data" in told
        assert ("Issue an API key" in told) == (role == "admin")
        assert "curl http://testserver/v1/receipts" in told

    def test_what_it_tells_works(self, acme, admin):
        told = text_of(admin.get("/"))
        (body,) = re.findall(r"-d '(.+?)'", told)
        key, text = ApiKey.objects.issue(acme, "first", ["receipts:write"])
        answer = Caller(acme, key, text).post("/v1/receipts", json.loads(body))
        assert answer.status_code == 200
        assert figures(admin)["Receipts"][0] == "1"
        assert "Nothing was recorded" in text_of(admin.get("/?mode=test"))

    def test_a_log_that_was_opened_and_is_empty_is_still_new(self, acme, admin):
        log_of(acme.pk, "live")
        assert "Nothing was recorded yet" in text_of(admin.get("/"))


def test_it_asks_few_queries(acme, alice, admin, django_assert_max_num_queries):
    ledger = Ledger(alice)
    for ago in (1, 40):
        run = ledger.run(noon(ago))
        for sequence in (1, 3):
            ledger.call(noon(ago), None, run, sequence=sequence, outcome="unknown")
        ledger.end(run, noon(ago))
    ledger.write()
    fill_log(acme, [noon(1)])
    Budget(tenant=acme, limit=Decimal(0)).save()
    with django_assert_max_num_queries(MOST_QUERIES):
        answer = admin.get("/?days=90")
    assert "4 things need attention" in text_of(answer)
