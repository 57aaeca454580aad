"""The page of costs: what was spent, on what, and the records behind each number."""

import csv
import gzip
import io
import random
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from orchestrations import dearest_runs as dearest
from orchestrations.bands import COSTS
from orchestrations.cost_forms import BY
from orchestrations.cost_periods import Asked, Preset
from orchestrations.cost_periods import said as spoken
from orchestrations.costs import GroupBy, Period, summarise
from orchestrations.models import NOBODY, Budget, MonthSpend
from orchestrations.money import to_nanocents
from tenants.templatetags.pages import total as dollars
from tests.conftest import new_caller
from tests.orchestrations.runs import post, record, start
from tests.orchestrations.usage_rows import Ledger
from tests.tenants.people import after, events_of, new_person

NOVEMBER = {"from": "2026-11-01", "to": "2026-11-30"}
PERIOD = Period(date(2026, 11, 1), date(2026, 11, 30))


def at(day: int, hour: int = 12, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


@pytest.fixture
def ledger(alice):
    return Ledger(alice)


@pytest.fixture
def analyst(acme):
    return new_person(acme, "analyst")


def page(person: Any, **query: Any) -> str:
    answer = person.get("/costs", data=NOVEMBER | query)
    assert answer.status_code == 200
    text: str = answer.content.decode()
    return text


def said(text: str) -> str:
    """What a page says, without its markup."""
    words = unescape(re.sub(r"<[^>]+>", "", text))
    return re.sub(r"\s+", " ", words)


def answered(text: str) -> str:
    return said(text.partition('<p class="answer">')[2].partition("</p>")[0]).strip()


def table(text: str, part: str = "groups") -> list[list[str]]:
    """The rows of a section's table, as text."""
    section = text.partition(f'<section aria-labelledby="{part}">')[2]
    rows = re.findall(r"<tr.*?</tr>", section.partition("</section>")[0], re.DOTALL)
    return [
        [
            said(cell).strip()
            for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)
        ]
        for row in rows
    ]


def links(text: str, page: str) -> list[str]:
    return [unescape(url) for url in re.findall(rf'href="([^"]*/{page}\?[^"]*)"', text)]


def exported(person: Any, **query: Any) -> list[dict[str, str]]:
    answer = person.get("/costs", data=NOVEMBER | {"format": "csv"} | query)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/csv"
    text = b"".join(answer.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text)))


def walk(person: Any, address: str) -> list[dict[str, str]]:
    """Follow a link to a list, and to all older rows; return what CSV says of them."""
    rows: list[dict[str, str]] = []
    for _ in range(100):
        answer = person.get(address + "&format=csv")
        assert answer.status_code == 200
        text = b"".join(answer.streaming_content).decode()
        rows += csv.DictReader(io.StringIO(text))
        following = person.get(address).content.decode()
        older = re.findall(r'rel="next" href="([^"]+)"', following)
        if not older:
            return rows
        address = address.partition("?")[0] + unescape(older[0])
    raise AssertionError("The pages have no end.")


def spent(rows: list[dict[str, str]]) -> Decimal:
    return sum((Decimal(row["cost_cents"] or 0) for row in rows), Decimal(0))


class TestTheAnswer:
    def test_says_what_was_spent_and_how_it_compares(self, analyst, ledger):
        ledger.call(at(2), 1000)
        ledger.call(at(3), 840)
        ledger.call(at(4, month=10), 2000)
        ledger.write()
        assert answered(page(analyst)) == (
            "$18.40 from 1 Nov 2026 to 30 Nov 2026,"
            " 8 % less than in the 30 days before."
        )

    def test_is_of_the_last_thirty_days_unless_told(self, analyst, ledger):
        today = timezone.now().replace(hour=0, minute=0)
        for age in (0, 29, 30):
            ledger.call(today - timedelta(days=age), 100)
        ledger.write()
        text = analyst.get("/costs").content.decode()
        assert answered(text) == (
            "$2.00 in the last 30 days, 100 % more than in the 30 days before."
        )

    def test_says_what_steps_cost_beside_calls(self, analyst, ledger):
        run = ledger.run(at(1))
        ledger.call(at(1), 100, run)
        ledger.step(at(1), run, 50)
        ledger.write()
        text = page(analyst)
        assert answered(text).startswith("$1.50 from")
        assert "1 call cost $1.00; other steps of agents cost $0.50" in said(text)

    def test_of_nothing_says_so(self, analyst, ledger):
        text = page(analyst)
        assert answered(text) == "Nothing was spent from 1 Nov 2026 to 30 Nov 2026."
        assert "No call was recorded" in text
        assert "curl http://" in text

    def test_tells_what_was_spent_before_where_nothing_is_now(self, analyst, ledger):
        ledger.call(at(4, month=10), 250)
        ledger.write()
        assert answered(page(analyst)).endswith("; $2.50 in the 30 days before.")

    def test_has_a_word_for_what_has_no_price(self, analyst, ledger):
        ledger.call(at(1), None, model="house-7b", provider="custom")
        ledger.call(at(1), None, model="house-7b", provider="custom")
        ledger.write()
        text = page(analyst)
        assert "is not known: none of the 2 calls had a price" in answered(text)
        assert table(text)[1][:2] == ["house-7b", "unpriced"]

    def test_has_one_mode_of_one_tenant(self, acme, analyst, alice, charlie):
        test = new_caller(acme, mode="test")
        for caller, cost in ((alice, 100), (test, 200), (charlie, 400)):
            ledger = Ledger(caller)
            ledger.call(at(2), cost)
            ledger.write()
        assert answered(page(analyst)).startswith("$1.00 ")
        text = page(analyst, mode="test")
        assert answered(text).startswith("$2.00 ")
        assert all("mode=test" in url for url in links(text, "calls"))


class TestGroups:
    @pytest.fixture
    def recorded(self, alice, ledger):
        source = random.Random(5)
        keys = [alice.key.pk, NOBODY]
        for number in range(120):
            run = ledger.run(at(1), f"agent-{number % 4}", ("", "a flow")[number % 2])
            for _ in range(2):
                ledger.call(
                    at(1 + number % 28, number % 24),
                    None if number % 10 == 3 else source.randrange(10**7) / Decimal(7),
                    run,
                    model=f"m {number % 5}",
                    provider=("openai", "custom")[number % 2],
                    api_key_id=keys[number % 2],
                    agent_id=("", f"agent-{number % 4}")[number % 3 > 0],
                    outcome=("", "failed")[number % 9 == 0],
                )
            if number % 3 == 0:
                ledger.step(at(1 + number % 25), run, number)
            ledger.end(run, at(2 + number % 25))
        ledger.runs[0].started_at = at(1, month=9)
        of_another = ledger.calls[0]
        of_another.agent_id, of_another.model = "clerk", "m of the clerk"
        of_another.api_key_id = NOBODY
        for call in ledger.calls:
            call.cost = call.cost and call.cost.quantize(Decimal("1E-9"))
        ledger.write()
        return ledger

    @pytest.mark.parametrize("by", BY)
    def test_are_those_of_the_summary_to_the_last_decimal(
        self, acme, analyst, recorded, by
    ):
        summary = summarise(acme.pk, "live", PERIOD, BY[by])
        rows = exported(analyst, by=by)
        assert len(rows) == len(summary.groups)
        told = {row[BY[by].value]: row for row in rows}
        for group in summary.groups:
            row = told["" if group.key == NOBODY else str(group.key)]
            usage, runs = group.totals.usage, group.totals.runs
            assert Decimal(row["total_cost_cents"] or 0) == usage.total_cost
            assert (
                Decimal(row["previous_total_cost_cents"]) == group.previous.total_cost
            )
            assert int(row["calls"]) == usage.calls
            assert int(row["total_tokens"]) == usage.total_tokens
            assert int(row["runs"]) == runs.count
            if runs.count:
                assert Decimal(row["average_run_cost_cents"]) == runs.average_cost
                assert Decimal(row["p95_run_cost_cents"]) == runs.p95_cost

    @pytest.mark.parametrize("by", BY)
    def test_lead_to_calls_that_add_up_to_them(self, acme, analyst, recorded, by):
        summary = summarise(acme.pk, "live", PERIOD, BY[by])
        body = body_of_groups(page(analyst, by=by))
        doors = [
            url
            for url in dict.fromkeys(links(body, "costs/calls"))
            if "unpriced=" not in url and "failed=" not in url
        ]
        found = sorted((len(rows := walk(analyst, url)), spent(rows)) for url in doors)
        groups = [group.totals.usage for group in summary.groups]
        wanted = sorted((it.calls, it.cost) for it in groups if it.calls)
        assert found == wanted
        assert sum(count for count, _ in found) == 240

    @pytest.mark.parametrize("by", BY)
    def test_lead_to_the_runs_that_are_counted(self, acme, analyst, recorded, by):
        """One began before the period, and has two agents, models, and keys."""
        summary = summarise(acme.pk, "live", PERIOD, BY[by])
        text = page(analyst, by=by)
        doors = dict.fromkeys(links(body_of_groups(text), "orchestrations"))
        found = sorted(len(walk(analyst, url)) for url in doors)
        groups = [it.totals.runs for it in summary.groups if it.totals.runs.count]
        assert found == sorted(runs.count for runs in groups)
        told = [answered(analyst.get(url).content.decode()) for url in doors]
        sums = [re.findall(r"(\d+) runs? ended .+ cost:? (.+)\.$", it) for it in told]
        wanted = [[(str(runs.count), dollars(runs.cost))] for runs in groups]
        assert sorted(sums) == sorted(wanted)
        total = table_of_groups(text).partition("<tfoot>")[2].partition("</tfoot>")[0]
        (door,) = set(links(total, "orchestrations"))
        assert total.count("/orchestrations?") == 3  # how many, average, 95 %
        rows = walk(analyst, door)
        assert len(rows) == summary.totals.runs.count == 120
        cost = sum(Decimal(row["cost_usd"] or 0) for row in rows)
        assert cost * 100 == summary.totals.runs.cost

    @pytest.mark.parametrize("by", BY)
    def test_lead_to_steps_that_add_up(self, acme, analyst, recorded, by):
        summary = summarise(acme.pk, "live", PERIOD, BY[by])
        text = page(analyst, by=by)
        doors = dict.fromkeys(links(body_of_groups(text), "costs/steps"))
        found = sorted(spent(walk(analyst, url)) for url in doors)
        costs = [group.totals.usage.step_cost for group in summary.groups]
        assert found == sorted(cost for cost in costs if cost)
        (everything,) = set(links(text.partition("</h1>")[2][:2000], "costs/steps"))
        assert spent(walk(analyst, everything)) == sum(costs)

    def test_lead_to_what_they_cost_before(self, acme, analyst, ledger):
        for day, cost in ((2, 100), (3, 20)):
            run = ledger.run(at(day, month=10), f"agent-{day}")
            ledger.call(at(day, month=10), cost, run)
            ledger.call(at(day), 1, run)
        ledger.step(at(2, month=10), run, 7, agent_id="clerk")
        ledger.step(at(2), run, 1, agent_id="clerk")
        ledger.write()
        rows = dict(doors_of_rows(page(analyst, by="agent"), "Before"))
        assert rows.keys() == {"agent-2", "agent-3", "clerk", "In all"}
        assert spent(walk(analyst, rows["agent-2"])) == 100
        assert spent(walk(analyst, rows["agent-3"])) == 20
        assert "/costs/steps?" in rows["clerk"]
        assert spent(walk(analyst, rows["clerk"])) == 7
        # Of both calls and steps no one list is: the page of those days has each.
        there = analyst.get(rows["In all"]).content.decode()
        assert answered(there).startswith("$1.27 from 2 Oct 2026 to 31 Oct 2026")

    def test_lead_from_each_number_to_something(self, acme, analyst, recorded):
        ledger = recorded
        text = page(analyst)
        body = body_of_groups(text)
        (first, *_) = re.findall(r"<tr>.*?</tr>", body)
        cells = re.findall(r"<td.*?</td>", first)
        numbers = [cell for cell in cells if re.search(r">\$?[1-9][0-9.,]*<", cell)]
        assert len(numbers) >= 6
        assert all("<a href" in cell for cell in numbers)
        for part in ("tokens", "amounts"):
            section = text.partition(f'aria-labelledby="{part}"')[2]
            section = section.partition("</section>")[0]
            for cell in re.findall(r'<td class="number">.*?</td>', section):
                assert "<a href" in cell or said(cell) == "0"
        (listed,) = [url for url in links(text, "costs/calls") if "list_price" in url]
        assert "List price" in analyst.get(listed).content.decode()
        assert len(walk(analyst, listed)) == len(ledger.calls)

    def test_lead_to_those_without_a_price_and_those_that_failed(
        self, acme, analyst, recorded
    ):
        text = page(analyst)
        groups = table_of_groups(text).partition("<tfoot>")[2]
        total = groups.partition("</tfoot>")[0]
        (unpriced,) = {url for url in links(total, "costs/calls") if "unpriced=" in url}
        rows = walk(analyst, unpriced)
        usage = summarise(acme.pk, "live", PERIOD).totals.usage
        assert len(rows) == usage.still_unpriced == 24
        assert {row["cost_cents"] for row in rows} == {""}
        (failed,) = {url for url in links(text, "costs/calls") if "failed=" in url}
        assert len(walk(analyst, failed)) == usage.failed > 0

    def test_have_the_dearest_first_or_as_asked(self, analyst, ledger):
        for name, cost, calls, tokens in (
            ("a", 300, 1, 10),
            ("b", 100, 3, 20),
            ("c", 50, 1, 900),
        ):
            for _ in range(calls):
                ledger.call(at(2), cost / calls, model=name, input_tokens=tokens)
        ledger.write()
        orders = {
            sort: [row[0] for row in table(page(analyst, sort=sort))[1:4]]
            for sort in ("", "cost", "calls", "tokens")
        }
        assert orders[""] == orders["cost"] == ["a", "b", "c"]
        assert orders["calls"][0] == "b"
        assert orders["tokens"][0] == "c"

    def test_beyond_the_first_are_summed_up_and_linked(self, analyst, ledger):
        for number in range(1, 131):
            ledger.call(at(2), number, model=f"m{number}")
        ledger.write()
        text = page(analyst)
        rows = table(text)
        assert rows[1][:2] == ["m130", "$1.30"]
        assert rows[21][0] == "The other 110"
        assert rows[21][1] == f"${Decimal(sum(range(1, 111))) / 100:.2f}"
        assert rows[22][:2] == ["In all", f"${Decimal(sum(range(1, 131))) / 100}"]
        (everything,) = [url for url in links(text, "costs") if "skip=0" in url]
        first = analyst.get(everything).content.decode()
        assert [row[0] for row in table(first)[1:]] == [
            f"m{n}" for n in range(130, 30, -1)
        ]
        (following,) = re.findall(r'rel="next" href="([^"]+)"', first)
        second = analyst.get(unescape(following)).content.decode()
        assert [row[0] for row in table(second)[1:]] == [
            f"m{n}" for n in range(30, 0, -1)
        ]
        assert 'rel="next"' not in second
        assert len(exported(analyst)) == 130

    def test_compare_with_the_period_before(self, analyst, ledger):
        ledger.call(at(4, month=10), 200, model="less")
        ledger.call(at(2), 50, model="less")
        ledger.call(at(2), 40, model="new")
        ledger.write()
        rows = {row[0]: row for row in table(page(analyst))[1:]}
        assert rows["less"][3:5] == ["$2.00", "75 % less"]
        assert rows["new"][3:5] == ["$0.00", "new"]

    def test_have_the_names_of_keys_and_words_for_what_has_none(
        self, alice, analyst, ledger
    ):
        run = ledger.run(at(1), "")
        ledger.call(at(2), 100, api_key_id=NOBODY)
        ledger.call(at(2), 300, run)
        ledger.step(at(2), run, 9)
        ledger.write()
        keys = [row[0] for row in table(page(analyst, by="key"))[1:3]]
        assert keys == [f"test ({alice.key.prefix})", "Without an API key"]
        models = table(page(analyst))
        assert models[2][0] == "Steps, which have no model"
        assert table(page(analyst, by="agent"))[1][0] == "Without an agent"

    def test_of_days_have_what_their_runs_cost(self, analyst, ledger):
        for day, cost in ((2, 200), (2, 200), (3, 500)):
            run = ledger.run(at(1))
            ledger.call(at(day), cost, run)
            ledger.end(run, at(day))
        ledger.call(at(4), 300)
        ledger.write()
        head, *rows = table(page(analyst, by="day"))
        names = ["Runs", "Average run", "95 % of runs"]
        places = [
            next(n for n, it in enumerate(head) if it.startswith(name))
            for name in names
        ]
        found = {row[0]: [row[place] for place in places] for row in rows}
        assert found["2 Nov 2026"][:2] == ["2", "$2.00"]
        assert found["3 Nov 2026"][:2] == ["1", "$5.00"]
        p95 = [float(found[day][2].strip("$")) for day in ("2 Nov 2026", "3 Nov 2026")]
        assert p95 == pytest.approx([2, 5], rel=0.025)
        assert found["4 Nov 2026"] == ["0", "–", "–"]

    def test_are_days_in_their_order_the_newest_first(self, analyst, ledger):
        for day in (3, 9, 5):
            ledger.call(at(day), 10 - day)
        ledger.write()
        days = [row[0] for row in table(page(analyst, by="day"))[1:4]]
        assert days == ["9 Nov 2026", "5 Nov 2026", "3 Nov 2026"]

    def test_are_text_and_no_markup(self, analyst, ledger):
        hostile = "<script>alert(1)</script>\"'><b>" + "x" * 150
        run = ledger.run(at(2), hostile, hostile)
        run.name = hostile
        ledger.call(at(2), 100, run, model=hostile)
        ledger.call(at(3), None, run, model=hostile)
        ledger.end(run, at(2))
        ledger.write()
        for by in BY:
            text = page(analyst, by=by)
            assert "<script>" not in text
            assert "<b>" not in text
        assert any(row["name"] == hostile for row in exported(analyst))
        (door,) = {
            u
            for u in links(table_of_groups(text), "costs/calls")
            if "from=2026-11-02" in u
        }
        assert len(walk(analyst, door)) == 1

    def test_are_cut_off_where_there_are_too_many(self, analyst, ledger, monkeypatch):
        monkeypatch.setattr("orchestrations.costs.MAX_GROUPS", 2)
        for number in range(1, 6):
            ledger.call(at(2), number * 100, model=f"m{number}")
        ledger.write()
        text = page(analyst)
        rows = table(text)
        assert [row[:2] for row in rows[1:]] == [
            ["m5", "$5.00"],
            ["m4", "$4.00"],
            ["All others", "$6.00"],
            ["In all", "$15.00"],
        ]
        assert "these are the 2 dearest" in said(text)


def body_of_groups(text: str) -> str:
    return table_of_groups(text).partition("<tbody>")[2].partition("</tbody>")[0]


def doors_of_rows(text: str, column: str) -> Iterator[tuple[str, str]]:
    """Yield where a column of the groups leads to, with each row's name."""
    section = table_of_groups(text).partition("</section>")[0]
    head, *rows = re.findall(r"<tr.*?</tr>", section, re.DOTALL)
    names = [said(it).strip() for it in re.findall("<th.*?</th>", head, re.DOTALL)]
    for row in rows:
        cells = re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)
        if found := re.findall('href="([^"]+)"', cells[names.index(column)]):
            yield said(cells[0]).strip(), unescape(found[0])


def table_of_groups(text: str) -> str:
    return text.partition('<section aria-labelledby="groups">')[2]


class TestCharts:
    def test_add_up_to_the_whole(self, acme, analyst, ledger):
        source = random.Random(2)
        for number in range(90):
            run = ledger.run(at(1))
            ledger.call(
                at(1 + number % 30),
                source.randrange(10**9) / Decimal(1000),
                run,
                model=f"m{number % 9}",
            )
            ledger.step(at(1 + number % 30), run, number)
        ledger.write()
        text = page(analyst)
        values = re.findall(r'data-values="([^"]+)"', text)
        *costs, calls = [[Decimal(v) for v in row.split()] for row in values]
        usage = summarise(acme.pk, "live", PERIOD).totals.usage
        assert sum(map(sum, costs)) == usage.total_cost
        assert sum(calls) == usage.calls == 90
        assert len(costs) == 6  # four models, the others, steps
        assert all(len(row) == 30 for row in costs)
        assert "5 others" in text

    def test_are_not_drawn_of_a_day(self, analyst, ledger):
        ledger.call(at(1), 5)
        ledger.write()
        assert "<figure" not in page(analyst, to="2026-11-01")

    def test_have_weeks_of_a_long_time(self, analyst, ledger):
        ledger.call(at(1), 5)
        ledger.write()
        text = page(analyst, **{"from": "2026-01-01"})
        assert "What did each model cost per week?" in text
        # Whole weeks, but for those that the period cuts.
        assert "from=2026-01-01&amp;to=2026-01-04" in text


class TestUnpriced:
    def test_models_are_named_with_what_to_do(self, acme, analyst, ledger):
        for model, calls in (("house-7b", 3), ("it's <b>", 1)):
            for _ in range(calls):
                ledger.call(at(2), None, model=model, provider="custom")
        ledger.call(at(2), 5)
        ledger.write()
        text = page(analyst)
        assert "4 calls have no price" in said(text)
        command = f"manage.py set_price {acme.slug} custom 'house-7b' --input RATE"
        assert command in said(text)
        banner = text.partition('aria-labelledby="unpriced"')[2]
        door = links(banner, "costs/calls")[0]
        assert len(walk(analyst, door)) == 3
        assert exported(analyst, table="unpriced") == [
            {"provider": "custom", "model": "house-7b", "calls": "3"},
            {"provider": "custom", "model": "it's <b>", "calls": "1"},
        ]

    def test_calls_priced_since_are_none(self, analyst, ledger):
        call = ledger.call(at(2), None, model="m")
        dear = ledger.call(at(2), 500, model="n")
        ledger.adjust(call, "0.25", at(9))
        ledger.adjust(dear, 300, at(9))
        ledger.write()
        text = page(analyst)
        assert "no price</span>" not in text
        amounts = {row[0]: row[1] for row in table(text, "amounts")}
        assert amounts["As charged"] == "$5.00"
        assert amounts["Adjusted"] == "$3.00"
        assert "1 had no price before" in said(text)
        (door,) = [url for url in links(text, "costs/calls") if "cost_source" in url]
        assert len(walk(analyst, door)) == 1


class TestBudget:
    def spend(self, acme, limit: int, spent: int, mode: str = "live") -> None:
        Budget.objects.create(tenant=acme, mode=mode, limit=Decimal(limit))
        month = timezone.now().date().replace(day=1)
        MonthSpend.objects.create(
            tenant=acme, mode=mode, month=month, spent=Decimal(spent)
        )

    def test_is_said_in_words(self, acme, analyst):
        self.spend(acme, 5000, 1230)
        text = said(page(analyst))
        assert "$12.30 of the $50.00" in text
        assert "24 %; $37.70 are left" in text

    def test_that_is_passed_is_said_to_be(self, acme, analyst):
        self.spend(acme, 5000, 6000)
        text = page(analyst)
        assert '<span class="verdict bad">used up</span>, $10.00 over' in text

    def test_of_another_mode_is_not_this_one(self, acme, analyst):
        self.spend(acme, 5000, 6000, mode="test")
        assert "No monthly budget is set" in page(analyst)


def dearest_of(tenant: Any) -> dearest.Dearest:
    bands = summarise(tenant.pk, "live", PERIOD).totals.runs.bands
    return dearest.dearest_runs(tenant.pk, "live", PERIOD, bands)


class TestTheDearestRuns:
    def test_lead_to_the_run_and_its_calls(self, analyst, ledger):
        run = ledger.run(at(1))
        ledger.call(at(1), "123.456789", run)
        ledger.call(at(1), None, run)
        ledger.end(run, at(2))
        ledger.write()
        text = page(analyst)
        row = table(text, "runs")[1]
        assert row[0] == f"Run …{run.pk[-8:]}"
        assert row[-1] == "$1.23 and 1 unpriced"
        assert 'title="$1.23456789"' in text
        assert f"/orchestrations/{run.pk}" in unescape(text)
        (door,) = links(text.partition('aria-labelledby="runs"')[2], "costs/calls")[:1]
        assert len(walk(analyst, door)) == 2

    def test_are_known_as_soon_as_they_end(self, acme, alice, analyst):
        costs = {}
        for cost, verb in (("2.5", "complete"), ("7.25", "fail"), ("9", None)):
            run = start(alice)
            record(alice, run, cost_cents=Decimal(cost))
            post(alice, run, "steps", {"action": "tool_call", "cost_cents": 1})
            if verb:
                body = {} if verb == "complete" else {"code": "X", "message": "x"}
                assert post(alice, run, verb, body).status_code == 200
                costs[run] = Decimal(cost) + 1
        text = analyst.get("/costs?period=7-days&format=csv&table=runs")
        rows = csv.DictReader(io.StringIO(b"".join(text.streaming_content).decode()))
        found = {r["orchestration_id"]: Decimal(r["total_cost_cents"]) for r in rows}
        assert found == costs
        assert list(found) == sorted(costs, key=lambda run: -costs[run])

    @pytest.mark.parametrize("walked", [dearest.MAX_WALKED, 0])
    @pytest.mark.parametrize("spread", [3, 10**6, 10**12])
    @pytest.mark.parametrize("count", [5, 20, 300])
    def test_are_those_that_looking_at_all_would_find(
        self, acme, ledger, monkeypatch, spread, count, walked
    ):
        monkeypatch.setattr(dearest, "MAX_WALKED", walked)
        source = random.Random(spread + count)
        for _ in range(count):
            run = ledger.run(at(1))
            cost = Decimal(source.randrange(spread)).scaleb(-6)
            ledger.call(at(1), cost, run)
            if source.random() < 0.3:
                ledger.step(at(1), run, Decimal(source.randrange(spread)).scaleb(-6))
            if source.random() < 0.9:
                day, hour = source.randrange(1, 29), source.randrange(24)
                end = at(day, hour, source.choice((10, 11)))
                ledger.end(run, end, source.choice(("completed", "failed")))
        ledger.write()
        ended = [r for r in ledger.runs if r.ended_at and r.ended_at >= at(1, 0)]
        wanted = sorted((run.total_cost for run in ended), reverse=True)[:20]
        found = dearest_of(acme)
        assert [run.total_cost for run in found.runs] == wanted
        assert len({run.pk for run in found.runs}) == len(wanted)
        assert found.left_out == 0

    def test_are_of_the_newest_days_where_too_many_cost_as_much(
        self, acme, analyst, ledger, monkeypatch
    ):
        monkeypatch.setattr(dearest, "MAX_WALKED", 50)
        monkeypatch.setattr(dearest, "MAX_READ", 50)
        for number in range(100):
            run = ledger.run(at(1))
            ledger.call(at(1), 7, run)
            ledger.end(run, at(1 + number % 10))
        ledger.write()
        found = dearest_of(acme)
        assert (len(found.runs), found.left_out) == (20, 5)
        days = {run.ended_at.day for run in found.runs if run.ended_at}
        assert days <= {6, 7, 8, 9, 10}
        assert "5 of the days were left out" in said(page(analyst))

    @pytest.mark.parametrize(
        "value", [*range(50), *(10**n + d for n in range(3, 16) for d in (-1, 0, 1))]
    )
    def test_bands_hold_nothing_below_their_least(self, value):
        assert COSTS.least(COSTS.band(value)) <= value

    def test_include_one_at_the_very_edge_of_its_band(self, acme, ledger):
        for band in range(400, 430):
            cost = Decimal(COSTS.least(band)).scaleb(-9)
            assert to_nanocents(cost) == COSTS.least(band)
            run = ledger.run(at(1))
            ledger.call(at(1), cost, run)
            ledger.end(run, at(2))
        ledger.write()
        found = dearest_of(acme).runs
        costs = sorted((run.total_cost for run in ledger.runs), reverse=True)
        assert [run.total_cost for run in found] == costs[:20]


class TestPeriods:
    @pytest.mark.parametrize(
        ("preset", "today", "first", "last"),
        [
            ("today", "2026-11-22", "2026-11-22", "2026-11-22"),
            ("7-days", "2026-11-03", "2026-10-28", "2026-11-03"),
            ("30-days", "2026-03-01", "2026-01-31", "2026-03-01"),
            ("this-month", "2026-11-22", "2026-11-01", "2026-11-22"),
            ("this-month", "2026-11-01", "2026-11-01", "2026-11-01"),
            ("last-month", "2026-03-31", "2026-02-01", "2026-02-28"),
            ("last-month", "2028-03-01", "2028-02-01", "2028-02-29"),
            ("last-month", "2027-01-15", "2026-12-01", "2026-12-31"),
            ("last-month", "2026-12-31", "2026-11-01", "2026-11-30"),
            ("this-year", "2028-12-31", "2028-01-01", "2028-12-31"),
        ],
    )
    def test_have_the_days_of_the_calendar(self, preset, today, first, last):
        period = Preset(preset).period(date.fromisoformat(today))
        assert (str(period.first), str(period.last)) == (first, last)

    def test_before_are_as_long(self):
        period = Preset.LAST_MONTH.period(date(2028, 3, 1)).previous()
        assert (str(period.first), str(period.last)) == ("2028-01-03", "2028-01-31")

    @pytest.mark.parametrize(
        ("preset", "words"),
        [
            ("today", "today"),
            ("7-days", "in the last 7 days"),
            ("last-month", "in December 2026"),
            ("this-month", "in January 2027 so far"),
            ("this-year", "in 2027 so far"),
        ],
    )
    def test_are_said_in_words(self, preset, words):
        it = Preset(preset)
        assert Asked(it.period(date(2027, 1, 15)), it).words == words

    @pytest.mark.parametrize("preset", Preset)
    def test_are_a_link_each(self, analyst, preset):
        text = analyst.get(f"/costs?period={preset}&by=agent").content.decode()
        current = re.findall(r'href="([^"]+)" aria-current="true">([^<]+)', text)
        chosen = {label: unescape(url) for url, label in current}
        assert f"period={preset}" in chosen[preset.label]
        assert "by=agent" in chosen[preset.label]

    def test_may_have_one_end(self, analyst, ledger):
        for day, cost in ((1, 100), (30, 200)):
            ledger.call(at(day, 0), cost)
        ledger.call(at(31, 23, 10), 400)
        ledger.write()
        text = analyst.get("/costs?to=2026-11-30").content.decode()
        assert answered(text).startswith("$3.00 from 1 Nov 2026 to 30 Nov 2026")
        since = timezone.now().date() - timedelta(days=3)
        text = analyst.get(f"/costs?from={since}").content.decode()
        assert answered(text).startswith(f"Nothing was spent from {spoken(since)} to ")
        assert answered(text).endswith(f" to {spoken(timezone.now().date())}.")

    @pytest.mark.parametrize(
        "query",
        [
            "from=yesterday",
            "from=2026-11-31",
            "to=2026-13-01",
            "from=2026-11-02&to=2026-11-01",
            "from=1969-12-31&to=1970-01-02",
            "to=9999-12-31",
            "from=1999-01-01&to=2026-01-01",
            "period=century",
            "by=colour",
            "sort=price",
            "skip=-1",
            "skip=x",
            "format=pdf",
            "format=csv&table=secrets",
        ],
    )
    def test_that_cannot_be_read_are_told(self, analyst, ledger, query):
        ledger.call(at(2), 100)
        ledger.write()
        answer = analyst.get(f"/costs?{query}")
        assert answer.status_code == 400
        text = answer.content.decode()
        assert 'role="alert"' in text
        assert "$1.00" not in text
        if query.startswith(("from", "to")):
            assert 'class="errorlist"' in text


class TestDownloads:
    def test_are_noted_before_they_begin(self, acme, analyst, ledger):
        ledger.call(at(2), "0.000000001", model="=cmd()")
        ledger.write()
        (row,) = exported(analyst)
        assert row["cost_cents"] == "0.000000001"
        assert row["name"] == "'=cmd()"
        (event,) = events_of(acme)
        assert event.action == "costs.exported"
        assert event.actor_name == analyst.user.email
        assert after(event) == {
            "table": "groups",
            "from": "2026-11-01",
            "to": "2026-11-30",
            "by": "model",
            "mode": "live",
            "rows": 1,
        }

    def test_are_linked_one_for_each_table(self, analyst, ledger):
        run = ledger.run(at(1))
        ledger.call(at(2), 5, run)
        ledger.call(at(2), None, run, model="x")
        ledger.end(run, at(3))
        ledger.write()
        text = page(analyst)
        urls = [url for url in links(text, "costs") if "format=csv" in url]
        heads = {}
        for url in urls:
            body = b"".join(analyst.get(url).streaming_content).decode()
            head, *rows = body.splitlines()
            heads[re.findall("table=([a-z]+)", url)[0]] = head
            assert rows
        assert list(heads) == ["groups", "days", "tokens", "runs", "unpriced"]
        assert heads["days"].startswith("day,name,cost_cents,")

    def test_of_days_have_iso_dates_and_add_up(self, acme, analyst, ledger):
        for day in (1, 5, 5):
            ledger.call(at(day), "1.000000001")
        ledger.write()
        rows = exported(analyst, table="days", by="agent")
        assert [row["day"] for row in rows] == ["2026-11-05", "2026-11-01"]
        assert spent(rows) == Decimal("3.000000003")

    def test_of_runs_have_exact_costs(self, analyst, ledger):
        run = ledger.run(at(1))
        ledger.call(at(2), "0.000000007", run)
        ledger.end(run, at(3))
        ledger.write()
        (row,) = exported(analyst, table="runs")
        assert row["orchestration_id"] == run.pk
        assert row["total_cost_cents"] == "0.000000007"
        assert row["ended_at"] == "2026-11-03T12:00:00+00:00"


def test_its_queries_do_not_grow(
    acme, analyst, alice, ledger, django_assert_max_num_queries
):
    for number in range(60):
        run = ledger.run(at(1), f"agent-{number}", f"flow-{number}")
        ledger.call(at(2), number or None, run, model=f"m{number}")
        ledger.end(run, at(3))
    ledger.write()
    Budget.objects.create(tenant=acme, limit=Decimal(5))
    for by in BY:
        with django_assert_max_num_queries(15):
            page(analyst, by=by)


def weights(text: str) -> tuple[int, int]:
    """Bytes of a page with its CSS and scripts: as they are, and as they are sent."""
    files = re.findall(r'(?:href|src)="/static/([^"]+\.(?:css|js))"', text)
    assert "css/costs.css" in files
    static = Path(settings.BASE_DIR) / "static"
    parts = [text.encode(), *((static / it).read_bytes() for it in files)]
    return sum(map(len, parts)), sum(len(gzip.compress(part)) for part in parts)


def test_a_page_is_not_heavy(analyst, ledger):
    for number in range(200):
        run = ledger.run(at(1), f"claims-desk-{number}", f"flow-{number}")
        ledger.call(at(1 + number % 30), number, run, model=f"gpt-5-{number}-20260807")
        ledger.step(at(1 + number % 30), run, number)
        ledger.end(run, at(3))
    ledger.write()
    for query in ({"from": "2026-10-31"}, {"skip": 0}):
        whole, sent = weights(page(analyst, **query))
        assert whole < 160_000
        assert sent < 50_000


@pytest.mark.parametrize("by", GroupBy)
def test_the_api_and_the_page_tell_the_same(alice, analyst, ledger, by):
    for number in range(10):
        ledger.call(at(2), number, model=f"m{number % 3}")
    ledger.write()
    api = alice.get(f"/v1/costs?from=2026-11-01&to=2026-11-30&group_by={by}").json()
    name = next(name for name, group_by in BY.items() if group_by == by)
    assert len(exported(analyst, by=name)) == len(api["groups"])
    assert api["totals"]["calls"] == 10
