import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestrations import cost_examples, costs
from orchestrations.models import NOBODY, Budget, MonthSpend
from tests.conftest import new_caller
from tests.orchestrations.runs import exact, record, start
from tests.orchestrations.usage_rows import Ledger
from tests.receipts.auditor import fetch

PATH = "/v1/costs"
NOVEMBER = "from=2026-11-01&to=2026-11-30"
DIMENSIONS = ("model", "provider", "agent_id", "workflow_id", "api_key")


def at(day, hour=12):
    return datetime(2026, 11, day, hour, tzinfo=UTC)


def costs_of(caller, query=NOVEMBER):
    # Amounts as they are written: a float would hide a lost digit.
    answer = caller.get(f"{PATH}?{query}")
    assert answer.status_code == 200, answer.content
    return answer.json(parse_float=Decimal)


def groups_of(caller, group_by, query=NOVEMBER):
    return costs_of(caller, f"{query}&group_by={group_by}")["groups"]


def by_key(groups, name):
    return {group["key"]: group[name] for group in groups}


@pytest.fixture
def ledger(alice):
    return Ledger(alice)


# Months whole, cut at either end, at both, and none.
periods = pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2026-01-31", "2026-04-01"),
        ("2026-02-01", "2026-02-28"),
        ("2026-02-01", "2026-03-30"),
        ("2026-01-02", "2026-01-30"),
        ("2026-02-28", "2026-03-01"),
        ("2025-12-31", "2026-03-31"),
        ("2026-02-27", "2027-01-01"),
    ],
)


class TestTotals:
    def test_of_nothing_are_zero(self, alice):
        totals = costs_of(alice)["totals"]
        averages = {"average_run_cost_cents", "p95_run_cost_cents"}
        assert {name for name, value in totals.items() if value is None} == averages
        assert {value for value in totals.values() if value is not None} == {0}

    def test_add_up_calls_and_steps(self, alice, ledger):
        run = ledger.run(at(3))
        ledger.call(
            at(3),
            "1.25",
            run,
            list_price=Decimal(2),
            input_tokens=1,
            cache_read_tokens=20,
            cache_write_5m_tokens=300,
            cache_write_1h_tokens=4000,
            output_tokens=50000,
            reasoning_tokens=40000,
        )
        ledger.call(at(4), None, run, flagged=True, outcome="cut")
        ledger.step(at(4), run, "0.5")
        ledger.step(at(4), run, "9", action="llm_inference")
        ledger.end(run, at(5))
        ledger.write()
        totals = costs_of(alice)["totals"]
        assert float(totals.pop("p95_run_cost_cents")) == pytest.approx(1.75, rel=0.025)
        assert totals == {
            "calls": 2,
            "input_tokens": 101,
            "cache_read_tokens": 20,
            "cache_write_5m_tokens": 300,
            "cache_write_1h_tokens": 4000,
            "output_tokens": 50010,
            "reasoning_tokens": 40000,
            "total_tokens": 54431,
            "cost_cents": Decimal("1.25"),
            "list_price_cents": 2,
            "adjusted_cost_cents": Decimal("1.25"),
            "steps": 2,
            "step_cost_cents": Decimal("0.5"),
            "total_cost_cents": Decimal("1.75"),
            "unpriced": 1,
            "unpriced_as_recorded": 1,
            "flagged": 1,
            "failed": 1,
            "runs": 1,
            "average_run_cost_cents": Decimal("1.75"),
        }

    def test_are_exact(self, alice, ledger):
        source = random.Random(3)
        amounts = [Decimal(source.randrange(10**16)).scaleb(-9) for _ in range(300)]
        for number, amount in enumerate(amounts):
            ledger.call(at(1 + number % 30), amount)
        ledger.write()
        assert costs_of(alice)["totals"]["cost_cents"] == sum(amounts)

    def test_keep_the_least_amount(self, alice, ledger):
        ledger.call(at(1), "0.000000001")
        ledger.call(at(2), "10000000")
        ledger.write()
        answer = alice.get(f"{PATH}?{NOVEMBER}").content
        assert b'"cost_cents":10000000.000000001,' in answer

    @periods
    @pytest.mark.parametrize("group_by", ["", "&group_by=model", "&group_by=day"])
    def test_are_those_of_the_days_wherever_months_end(
        self, alice, ledger, first, last, group_by
    ):
        days = [date(2025, 10, 1) + timedelta(days=number) for number in range(200)]
        for number, day in enumerate(days):
            noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
            ledger.call(noon, 10**6 + number, model=f"m{number % 2}")
            unpriced = ledger.call(noon, None)
            if number % 3:
                ledger.adjust(unpriced, number, noon + timedelta(days=40))
        ledger.write()
        now = date.fromisoformat(first), date.fromisoformat(last)
        length = now[1] - now[0] + timedelta(days=1)
        before = now[0] - length, now[1] - length
        answer = costs_of(alice, f"from={first}&to={last}{group_by}")
        sums = answer["totals"], answer["previous"]["totals"]
        for totals, (begin, end) in zip(sums, (now, before), strict=True):
            numbers = [n for n, day in enumerate(days) if begin <= day <= end]
            assert totals["calls"] == 2 * len(numbers)
            assert totals["cost_cents"] == sum(10**6 + n for n in numbers)
            adjusted = sum(n for n in numbers if n % 3)
            assert totals["adjusted_cost_cents"] == totals["cost_cents"] + adjusted
            assert totals["unpriced"] == sum(not n % 3 for n in numbers)
        if "model" in group_by:
            odd = sum(n % 2 for n, day in enumerate(days) if now[0] <= day <= now[1])
            assert by_key(answer["groups"], "calls")["m1"] == odd

    def test_tell_what_was_priced_later(self, alice, ledger):
        dear, unpriced, _ = (ledger.call(at(1), cost) for cost in (3, None, None))
        ledger.adjust(dear, 5, at(9))
        ledger.adjust(dear, "2.5", at(10))
        ledger.adjust(unpriced, "0.25", at(10))
        ledger.write()
        totals = costs_of(alice)["totals"]
        assert totals["cost_cents"] == 3
        assert totals["adjusted_cost_cents"] == Decimal("2.75")
        assert (totals["unpriced"], totals["unpriced_as_recorded"]) == (1, 2)

    def test_have_no_cost_where_no_call_has_a_price(self, alice):
        run = start(alice)
        house = {"provider": "custom", "model": "house-7b", "cost_cents": None}
        record(alice, run, **house)
        today = f"from={datetime.now(UTC).date()}"
        totals = costs_of(alice, today)["totals"]
        assert (totals["cost_cents"], totals["adjusted_cost_cents"]) == (None, None)
        record(alice, run)
        by_model = groups_of(alice, "model", today)
        assert [group["cost_cents"] for group in by_model] == [Decimal("0.25"), None]
        assert costs_of(alice, today)["totals"]["cost_cents"] == Decimal("0.25")
        metrics = exact(alice.get("/v1/observability/metrics?group_by=model"))
        costs = {bucket["group"]: bucket["cost_cents"] for bucket in metrics["buckets"]}
        assert costs == {"house-7b": None, "claude-sonnet-4-5": Decimal("0.25")}

    def test_have_one_mode_of_one_tenant(self, alice, acme, charlie):
        test = new_caller(acme, mode="test")
        for caller, cost in ((alice, 1), (test, 20), (charlie, 300)):
            ledger = Ledger(caller)
            ledger.call(at(2), cost)
            ledger.write()
        assert [
            costs_of(caller)["totals"]["cost_cents"]
            for caller in (alice, test, charlie)
        ] == [1, 20, 300]


class TestRuns:
    def test_their_average_and_p95(self, alice, ledger):
        prices = [Decimal(number) for number in range(1, 101)]
        for price in prices:
            run = ledger.run(at(1))
            ledger.call(at(1), price, run)
            ledger.end(run, at(2), "failed" if price < 10 else "completed")
        ledger.run(at(1))  # has not ended
        ledger.write()
        totals = costs_of(alice)["totals"]
        assert totals["runs"] == 100
        assert totals["average_run_cost_cents"] == Decimal("50.5")
        assert float(totals["p95_run_cost_cents"]) == pytest.approx(95, rel=0.025)

    def test_count_on_the_day_they_ended(self, alice, ledger):
        run = ledger.run(at(1))
        ledger.call(at(1), 7, run, model="m")
        ledger.end(run, at(20))
        ledger.write()
        late = costs_of(alice, "from=2026-11-20&to=2026-11-20&group_by=model")
        assert (late["totals"]["runs"], late["totals"]["calls"]) == (1, 0)
        (group,) = late["groups"]
        assert (group["key"], group["runs"], group["calls"]) == ("m", 1, 0)
        assert group["average_run_cost_cents"] == 7

    @periods
    def test_are_those_of_the_days_wherever_months_end(
        self, alice, ledger, first, last
    ):
        days = [date(2025, 12, 1) + timedelta(days=number) for number in range(140)]
        for cost, day in enumerate(days):
            noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
            run = ledger.run(noon)
            ledger.call(noon, cost, run, model="m")
            ledger.end(run, noon)
        ledger.write()
        within = [cost for cost, day in enumerate(days) if first <= str(day) <= last]
        answer = costs_of(alice, f"from={first}&to={last}&group_by=model")
        average = round(Decimal(sum(within)) / len(within), 9)
        for sums in (answer["totals"], *answer["groups"]):
            assert sums["runs"] == len(within)
            assert sums["average_run_cost_cents"] == average

    @pytest.mark.parametrize("group_by", DIMENSIONS)
    def test_have_a_part_in_each_group(self, alice, ledger, group_by):
        column = "api_key_id" if group_by == "api_key" else group_by
        values = [alice.key.pk, NOBODY] if group_by == "api_key" else ["a", "b"]
        run = ledger.run(at(1))
        for value, cost in zip(values, (1, 3), strict=True):
            ledger.call(at(1), cost, run, **{column: value})
        ledger.end(run, at(1))
        ledger.write()
        first, second = groups_of(alice, group_by)
        assert first["average_run_cost_cents"] == 3
        assert second["average_run_cost_cents"] == 1
        assert (first["runs"], second["runs"]) == (1, 1)

    def test_by_day_are_all_of_the_day(self, alice, ledger):
        for day, cost in ((1, 2), (1, 4), (3, 5)):
            run = ledger.run(at(day))
            ledger.call(at(day), cost, run)
            ledger.end(run, at(day))
        ledger.write()
        groups = groups_of(alice, "day")
        assert by_key(groups, "runs") == {"2026-11-01": 2, "2026-11-03": 1}
        assert by_key(groups, "average_run_cost_cents")["2026-11-01"] == 3


class TestGroups:
    @pytest.mark.parametrize("group_by", [*DIMENSIONS, "day"])
    def test_add_up_to_the_totals(self, alice, ledger, group_by):
        source = random.Random(11)
        for number in range(60):
            run = ledger.run(at(1), f"agent-{number % 3}", f"flow-{number % 2}")
            model = {
                "model": f"m{number % 5}",
                "provider": ("openai", "custom")[number % 2],
            }
            ledger.call(at(1 + number % 20), source.randrange(10**6), run, **model)
            ledger.step(at(1 + number % 25), run, number)
        ledger.write()
        answer = costs_of(alice, f"{NOVEMBER}&group_by={group_by}")
        for name in ("calls", "steps", "total_cost_cents", "total_tokens"):
            total = sum(group[name] for group in answer["groups"])
            assert total == answer["totals"][name]
        assert answer["totals"] == costs_of(alice)["totals"]
        assert answer["previous"] == costs_of(alice)["previous"]

    def test_have_the_dearest_first(self, alice, ledger):
        for model, cost in (("cheap", 1), ("dear", 9), ("medium", 5), ("also", 5)):
            ledger.call(at(2), cost, model=model)
        ledger.write()
        keys = [group["key"] for group in groups_of(alice, "model")]
        assert keys == ["dear", "also", "medium", "cheap"]

    def test_have_steps_under_no_model(self, alice, ledger):
        run = ledger.run(at(1), "a")
        ledger.call(at(1), 1, run, model="m")
        ledger.step(at(1), run, 2)
        ledger.write()
        assert by_key(groups_of(alice, "model"), "total_cost_cents") == {"": 2, "m": 1}
        assert by_key(groups_of(alice, "agent_id"), "total_cost_cents") == {"a": 3}

    def test_of_days_are_in_their_order(self, alice, ledger):
        for day in (5, 1, 3):
            ledger.call(at(day), day)
        ledger.write()
        groups = groups_of(alice, "day")
        assert by_key(groups, "cost_cents") == {
            "2026-11-01": 1,
            "2026-11-03": 3,
            "2026-11-05": 5,
        }
        assert all(one["key"] < two["key"] for one, two in pairwise(groups))

    def test_of_keys_have_their_names(self, alice, acme, charlie, ledger):
        ledger.call(at(1), 3)
        ledger.call(at(1), 2, api_key_id=NOBODY)
        ledger.call(at(1), 1, api_key_id=charlie.key.pk)
        ledger.write()
        named = [
            (group["key"], group["name"], group["prefix"])
            for group in groups_of(alice, "api_key")
        ]
        assert named == [
            (str(alice.key.pk), "test", alice.key.prefix),
            (None, None, None),
            (str(charlie.key.pk), None, None),  # not one of ours
        ]

    def test_are_none_unless_asked_for(self, alice, ledger):
        ledger.call(at(1))
        ledger.write()
        answer = costs_of(alice)
        assert (answer["groups"], answer["group_by"]) == ([], None)

    @pytest.mark.parametrize("enough", [100, 3])
    def test_are_cut_off_and_their_totals_are_not(
        self, alice, ledger, monkeypatch, enough
    ):
        monkeypatch.setattr(costs, "MAX_GROUPS", 2)
        monkeypatch.setattr(costs, "MAX_ROWS", enough)
        for number in range(1, 6):
            ledger.call(at(2), number, model=f"m{number}")
            run = ledger.run(at(2))
            ledger.call(at(2), number, run, model=f"m{number}")
            ledger.end(run, at(2))
            ledger.call(at(1) - timedelta(days=5), 10 * number, model=f"m{number}")
        ledger.write()
        answer = costs_of(alice, f"{NOVEMBER}&group_by=model")
        assert answer["truncated"] is True
        assert by_key(answer["groups"], "previous_cost_cents") == {"m5": 50, "m4": 40}
        assert by_key(answer["groups"], "average_run_cost_cents") == {"m5": 5, "m4": 4}
        assert answer["totals"]["cost_cents"] == 30
        assert answer["previous"]["totals"]["cost_cents"] == 150
        assert answer["totals"] == costs_of(alice)["totals"]

    def test_that_fit_are_not_cut_off(self, alice, ledger, monkeypatch):
        monkeypatch.setattr(costs, "MAX_GROUPS", 2)
        for number in range(2):
            ledger.call(at(2), 1, model=f"m{number}")
        ledger.write()
        answer = costs_of(alice, f"{NOVEMBER}&group_by=model")
        assert (len(answer["groups"]), answer["truncated"]) == (2, False)


class TestThePreviousPeriod:
    def test_is_as_long_and_ends_the_day_before(self, alice, ledger):
        for day, cost in ((3, 1), (4, 20), (6, 300), (7, 4000), (9, 50000), (10, 7)):
            ledger.call(at(day), cost)
        ledger.write()
        answer = costs_of(alice, "from=2026-11-07&to=2026-11-09")
        assert answer["totals"]["cost_cents"] == 54000
        previous = answer["previous"]
        assert (previous["from"], previous["to"]) == ("2026-11-04", "2026-11-06")
        assert previous["totals"]["cost_cents"] == 320

    def test_has_its_runs(self, alice, ledger):
        for day, cost in ((4, 8), (7, 2)):
            run = ledger.run(at(day))
            ledger.call(at(day), cost, run)
            ledger.end(run, at(day))
        ledger.write()
        answer = costs_of(alice, "from=2026-11-07&to=2026-11-09")
        assert answer["totals"]["average_run_cost_cents"] == 2
        assert answer["previous"]["totals"]["average_run_cost_cents"] == 8

    def test_is_told_of_each_group(self, alice, ledger):
        run = ledger.run(at(4), "a")
        ledger.call(at(4), 5, run)
        ledger.step(at(4), run, 1)
        ledger.call(at(7), 2, run)
        ledger.call(at(4), 9, agent_id="gone")
        ledger.call(at(7), 1, agent_id="new")
        ledger.write()
        groups = groups_of(alice, "agent_id", "from=2026-11-07&to=2026-11-09")
        assert by_key(groups, "previous_cost_cents") == {"a": 5, "new": 0}
        assert by_key(groups, "previous_total_cost_cents") == {"a": 6, "new": 0}

    def test_of_a_day_is_the_day_in_its_place(self, alice, ledger):
        for day in (4, 5, 6, 7, 8, 9):
            ledger.call(at(day), day)
        ledger.write()
        groups = groups_of(alice, "day", "from=2026-11-07&to=2026-11-09")
        assert by_key(groups, "previous_cost_cents") == {
            "2026-11-07": 4,
            "2026-11-08": 5,
            "2026-11-09": 6,
        }


class TestTheTime:
    @pytest.mark.parametrize(
        ("since", "until"),
        [
            ("2026-11-07", "2026-11-09"),
            ("2026-11-07T23:59:59Z", "2026-11-09T00:00:00.5Z"),
            ("2026-11-08t01:00:00%2B02:00", "2026-11-08T23:30:00-01:00"),
            ("1794009600", "1794268799"),
        ],
    )
    def test_is_of_whole_utc_days(self, alice, ledger, since, until):
        for day in (6, 7, 9, 10):
            ledger.call(at(day, 0), day)
            ledger.call(at(day, 23), day)
        ledger.write()
        answer = costs_of(alice, f"from={since}&to={until}")
        assert (answer["from"], answer["to"]) == ("2026-11-07", "2026-11-09")
        assert answer["totals"]["cost_cents"] == 32

    def test_is_the_last_thirty_days_unless_told(self, alice):
        today = timezone.now().date()
        answer = costs_of(alice, "")
        assert answer["to"] == today.isoformat()
        assert answer["from"] == (today - timedelta(days=29)).isoformat()

    def test_may_have_one_end(self, alice):
        assert costs_of(alice, "to=2026-11-30")["from"] == "2026-11-01"
        today = timezone.now().date().isoformat()
        assert costs_of(alice, f"from={today}")["to"] == today

    def test_may_be_ten_years(self, alice):
        last = date(2026, 11, 30)
        first = last - timedelta(days=3659)
        assert alice.get(f"{PATH}?from={first}&to={last}").status_code == 200
        earlier = first - timedelta(days=1)
        assert refused(alice, f"from={earlier}&to={last}") == {"from"}

    @pytest.mark.parametrize("name", ["from", "to"])
    @pytest.mark.parametrize(
        "value",
        [
            "",
            "yesterday",
            "2026-11-31",
            "2026-1-1",
            "2026-W47-1",
            "2026-11-01T10:00",
            "2026-11-01T10:00:00",
            "2026-11-01T25:00:00Z",
            "-1",
            "1.5",
            "1e9",
            "٣",
            "999999999999",
            "1969-12-31",
            "0001-01-01",
            "9999-12-31T23:59:59-01:00",
            "0001-01-01T00:00:00%2B01:00",
        ],
    )
    def test_that_is_none_is_refused(self, alice, name, value):
        assert refused(alice, f"{name}={value}") == {name}

    @pytest.mark.parametrize("value", ["1970-01-01", "0", "9999-12-31"])
    def test_at_the_edges_is_fine(self, alice, value):
        costs_of(alice, f"from={value}&to={value}&group_by=day")

    def test_that_ends_before_it_begins_is_refused(self, alice):
        assert refused(alice, "from=2026-11-02&to=2026-11-01") == {"from"}


def refused(caller, query, path=PATH):
    answer = caller.get(f"{path}?{query}")
    assert answer.status_code == 400
    return set(answer.json()["details"])


@pytest.mark.parametrize("value", ["", "day,model", "api_key_id", "MODEL", "steps"])
def test_a_group_there_is_not_is_refused(alice, value):
    assert refused(alice, f"group_by={value}") == {"group_by"}


def test_every_bad_value_is_named(alice):
    assert refused(alice, "group_by=x&from=y&to=z") == {"group_by", "from", "to"}


@pytest.mark.parametrize("path", [PATH, "/v1/observability/metrics", "/v1/budgets"])
def test_another_scope_is_not_enough(acme, path):
    caller = new_caller(acme, ("receipts:*", "orchestrations:*"))
    answer = caller.get(path)
    assert answer.status_code == 403
    assert answer.json()["details"] == {"scope": ["metrics:read"]}
    assert new_caller(acme, ("metrics:read",)).get(path).status_code == 200


@pytest.mark.parametrize("group_by", ["", "&group_by=api_key", "&group_by=day"])
def test_only_rollups_are_read(alice, ledger, group_by):
    ledger.call(at(1), 1, ledger.run(at(1)))
    ledger.write()
    costs_of(alice)  # also notes that the key is used
    with CaptureQueriesContext(connection) as queries:
        costs_of(alice, f"{NOVEMBER}{group_by}")
    asked = "".join(query["sql"] for query in queries)
    assert "orchestrations_usageday" in asked
    for table in ("inference", "orchestration", "step", "adjustment", "usagehour"):
        assert f'"orchestrations_{table}"' not in asked
    # The key; usage; runs of all; runs by group; names of keys.
    assert len(queries) <= 3 + bool(group_by) + ("api_key" in group_by)


def test_the_example_has_the_members_of_a_real_answer(alice, ledger):
    ledger.call(at(1))
    ledger.write()
    answer = costs_of(alice, f"{NOVEMBER}&group_by=model")
    assert answer.keys() == cost_examples.COSTS.keys()
    assert answer["totals"].keys() == cost_examples.TOTALS.keys()
    assert answer["groups"][0].keys() == cost_examples.COSTS["groups"][0].keys()


class TestBudgets:
    def budgets(self, caller):
        answer = caller.get("/v1/budgets").json(parse_float=Decimal)
        return answer["budgets"]

    def test_none_is_an_empty_list(self, alice):
        assert fetch(alice, "/v1/budgets") == {"success": True, "budgets": []}

    def test_it_tells_what_is_left_of_the_month(self, alice, acme):
        Budget.objects.create(tenant=acme, limit="1000.5")
        month = timezone.now().date().replace(day=1)
        earlier = (month - timedelta(days=1)).replace(day=1)
        for spent_in, spent in ((month, "0.000000001"), (earlier, "7")):
            MonthSpend.objects.create(
                tenant=acme, mode="live", month=spent_in, spent=spent
            )
        assert self.budgets(alice) == [
            {
                "mode": "live",
                "period": "month",
                "month": f"{month:%Y-%m}",
                "limit_cents": Decimal("1000.5"),
                "spent_cents": Decimal("0.000000001"),
                "remaining_cents": Decimal("1000.499999999"),
                "exceeded": False,
            }
        ]
        assert (
            self.budgets(alice)[0].keys() == cost_examples.BUDGETS["budgets"][0].keys()
        )

    @pytest.mark.parametrize(
        ("spent", "remaining", "exceeded"),
        [(0, 100, False), (99, 1, False), (100, 0, True), (130, 0, True)],
    )
    def test_a_budget_that_is_spent(self, alice, acme, spent, remaining, exceeded):
        Budget.objects.create(tenant=acme, limit=100)
        if spent:
            MonthSpend.objects.create(
                tenant=acme,
                mode="live",
                month=timezone.now().date().replace(day=1),
                spent=spent,
            )
        (budget,) = self.budgets(alice)
        assert (budget["remaining_cents"], budget["exceeded"]) == (remaining, exceeded)

    def test_another_mode_or_tenant_has_its_own(self, alice, acme, charlie):
        Budget.objects.create(tenant=acme, mode="test", limit=1)
        Budget.objects.create(tenant=charlie.tenant, limit=2)
        assert self.budgets(alice) == []
        (budget,) = self.budgets(new_caller(acme, mode="test"))
        assert budget["limit_cents"] == 1
