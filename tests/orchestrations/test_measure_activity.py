from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from orchestrations import activity, cost_examples
from orchestrations.models import NOBODY
from tests.orchestrations.usage_rows import Ledger

PATH = "/v1/observability/metrics"
NOVEMBER = "from=2026-11-01&to=2026-11-30"
FIFTH = "granularity=hour&from=2026-11-05&to=2026-11-05"


def at(day, hour=12, minute=0):
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def measured(caller, query=NOVEMBER):
    answer = caller.get(f"{PATH}?{query}")
    assert answer.status_code == 200, answer.content
    return answer.json(parse_float=Decimal)


def calls_in(answer):
    return {bucket["start"]: bucket["calls"] for bucket in answer["buckets"]}


@pytest.fixture
def ledger(alice):
    return Ledger(alice)


class TestEvents:
    def test_of_nothing_are_zero(self, alice):
        answer = measured(alice)
        assert set(answer["event_counts"].values()) == {0}
        assert set(answer["latencies"].values()) == {None}
        assert (answer["total_cost_cents"], answer["buckets"]) == (0, [])

    def test_are_counted(self, alice, ledger):
        ends = ["completed"] * 4 + ["failed"] * 3 + ["timeout"] * 2 + ["cancelled"]
        for status in ends:
            run = ledger.run(at(3))
            ledger.call(at(3), "1.5", run)
            ledger.step(at(3), run, "0.25")
            ledger.end(run, at(4), status)
        ledger.run(at(3))  # has not ended
        ledger.call(at(5), None, flagged=True, outcome="unknown")
        ledger.write()
        answer = measured(alice)
        assert answer["event_counts"] == {
            "inferences": 11,
            "steps": 10,
            "orchestrations_completed": 4,
            "orchestrations_failed": 3,
            "orchestrations_timeout": 2,
            "orchestrations_cancelled": 1,
            "unpriced": 1,
            "flagged": 1,
            "failed": 1,
        }
        assert answer["total_cost_cents"] == Decimal("17.5")

    def test_are_one_tenants(self, alice, charlie, ledger):
        ledger.call(at(1))
        ledger.write()
        assert measured(charlie)["event_counts"]["inferences"] == 0


class TestLatencies:
    def test_are_within_five_percent(self, alice, ledger):
        for latency in range(1, 1001):
            ledger.call(at(1, latency % 24), latency_ms=latency)
        ledger.write()
        latencies = {n: float(v) for n, v in measured(alice)["latencies"].items()}
        assert latencies["p50"] == pytest.approx(500, rel=0.05)
        assert latencies["p95"] == pytest.approx(950, rel=0.05)
        assert latencies["p99"] == pytest.approx(990, rel=0.05)
        assert latencies["average"] == 500.5

    def test_of_untimed_calls_are_null(self, alice, ledger):
        ledger.call(at(1), latency_ms=None)
        ledger.write()
        answer = measured(alice)
        assert set(answer["latencies"].values()) == {None}
        (bucket,) = answer["buckets"]
        assert (bucket["calls"], bucket["p50"]) == (1, None)

    def test_of_no_time_are_zero(self, alice, ledger):
        ledger.call(at(1), latency_ms=0)
        ledger.call(at(1), latency_ms=None)
        ledger.write()
        assert set(measured(alice)["latencies"].values()) == {0}

    def test_of_a_bucket_are_its_own(self, alice, ledger):
        for day, latency in ((1, 100), (2, 9000)):
            ledger.call(at(day), latency_ms=latency)
        ledger.write()
        fast, slow = measured(alice)["buckets"]
        assert float(fast["p99"]) == pytest.approx(100, rel=0.05)
        assert float(slow["p50"]) == pytest.approx(9000, rel=0.05)


class TestBuckets:
    def test_have_what_was_done_in_them(self, alice, ledger):
        run = ledger.run(at(3))
        ledger.call(at(3), "1.5", run, output_tokens=7, reasoning_tokens=5)
        ledger.step(at(3), run, "0.25")
        ledger.write()
        (bucket,) = measured(alice)["buckets"]
        assert {name: bucket[name] for name in bucket if name[0] != "p"} == {
            "start": "2026-11-03T00:00:00Z",
            "group": None,
            "calls": 1,
            "cost_cents": Decimal("1.5"),
            "total_cost_cents": Decimal("1.75"),
            "total_tokens": 107,
        }

    def test_of_hours(self, alice, ledger):
        for moment in (at(5, 0), at(5, 9, 59), at(5, 9), at(5, 23, 59), at(6, 0)):
            ledger.call(moment)
        ledger.write()
        assert calls_in(measured(alice, FIFTH)) == {
            "2026-11-05T00:00:00Z": 1,
            "2026-11-05T09:00:00Z": 2,
            "2026-11-05T23:00:00Z": 1,
        }

    def test_of_days_are_in_their_order(self, alice, ledger):
        for day in (9, 1, 30, 9):
            ledger.call(at(day))
        ledger.write()
        assert list(calls_in(measured(alice)).items()) == [
            ("2026-11-01T00:00:00Z", 1),
            ("2026-11-09T00:00:00Z", 2),
            ("2026-11-30T00:00:00Z", 1),
        ]

    def test_of_weeks_start_on_monday(self, alice, ledger):
        for day in (1, 2, 8, 9):  # Sunday, Monday, Sunday, Monday
            ledger.call(at(day))
        ledger.write()
        assert calls_in(measured(alice, f"{NOVEMBER}&granularity=week")) == {
            "2026-10-26T00:00:00Z": 1,
            "2026-11-02T00:00:00Z": 2,
            "2026-11-09T00:00:00Z": 1,
        }

    @pytest.mark.parametrize(
        "group_by", ["model", "provider", "agent_id", "workflow_id"]
    )
    def test_of_groups(self, alice, ledger, group_by):
        for value in ("b", "a", "b"):
            ledger.call(at(2), **{group_by: value})
        ledger.write()
        answer = measured(alice, f"{NOVEMBER}&group_by={group_by}")
        groups = [(bucket["group"], bucket["calls"]) for bucket in answer["buckets"]]
        assert groups == [("a", 1), ("b", 2)]
        assert answer["event_counts"]["inferences"] == 3

    def test_of_keys(self, alice, ledger):
        ledger.call(at(2))
        ledger.call(at(2), api_key_id=NOBODY)
        ledger.write()
        answer = measured(alice, f"{NOVEMBER}&group_by=api_key")
        groups = {bucket["group"] for bucket in answer["buckets"]}
        assert groups == {str(alice.key.pk), None}

    def test_of_too_many_groups_are_of_the_busiest(self, alice, ledger, monkeypatch):
        monkeypatch.setattr(activity, "MAX_GROUPS", 2)
        for number in (1, 2, 3):
            for _ in range(number):
                ledger.call(at(2), model=f"m{number}", latency_ms=100 * number)
        ledger.write()
        answer = measured(alice, f"{NOVEMBER}&group_by=model")
        assert [bucket["group"] for bucket in answer["buckets"]] == ["m2", "m3"]
        assert answer["truncated"] is True
        # The totals are of all.
        assert answer["event_counts"]["inferences"] == 6
        assert answer["latencies"]["average"] == pytest.approx(Decimal("233.3"))


class TestTheTime:
    def test_bounds_whole_hours(self, alice, ledger):
        for hour in (8, 9, 10, 11):
            ledger.call(at(5, hour, 30))
            ledger.call(at(6, hour, 30))
        ledger.write()
        since, until = "2026-11-05T10:59:59Z", "2026-11-06T09:00:00Z"
        answer = measured(alice, f"granularity=hour&from={since}&to={until}")
        assert list(calls_in(answer)) == [
            "2026-11-05T10:00:00Z",
            "2026-11-05T11:00:00Z",
            "2026-11-06T08:00:00Z",
            "2026-11-06T09:00:00Z",
        ]
        assert answer["from"] == "2026-11-05T10:00:00Z"
        assert answer["to"] == until

    def test_may_be_an_hour(self, alice, ledger):
        for hour in (9, 10, 11):
            ledger.call(at(5, hour))
        ledger.write()
        moment = "2026-11-05T10:15:00Z"
        answer = measured(alice, f"granularity=hour&from={moment}&to={moment}")
        assert calls_in(answer) == {"2026-11-05T10:00:00Z": 1}

    @pytest.mark.parametrize(
        ("granularity", "length"),
        [
            ("hour", timedelta(hours=23)),
            ("day", timedelta(days=29, hours=23)),
        ],
    )
    def test_unless_told(self, alice, granularity, length):
        answer = measured(alice, f"granularity={granularity}")
        first, last = (datetime.fromisoformat(answer[n]) for n in ("from", "to"))
        assert last - first == length
        assert last.date() == timezone.now().date()

    def test_of_weeks_unless_told_is_twelve_of_them(self, alice):
        answer = measured(alice, "granularity=week")
        first = datetime.fromisoformat(answer["from"]).date()
        today = timezone.now().date()
        assert first.weekday() == 0
        assert timedelta(days=77) <= today - first < timedelta(days=84)

    def test_is_of_days_unless_told(self, alice):
        assert measured(alice, "")["granularity"] == "day"

    @pytest.mark.parametrize(
        ("granularity", "longest", "longer"),
        [
            ("hour", "from=2026-10-31&to=2026-11-30", "from=2026-10-30&to=2026-11-30"),
            ("day", "from=2025-10-27&to=2026-11-30", "from=2025-10-26&to=2026-11-30"),
            ("week", "from=2025-10-27&to=2026-11-30", "from=2025-10-26&to=2026-11-30"),
        ],
    )
    def test_has_a_limit(self, alice, granularity, longest, longer):
        measured(alice, f"granularity={granularity}&{longest}")
        answer = alice.get(f"{PATH}?granularity={granularity}&{longer}")
        assert answer.status_code == 400
        assert answer.json()["details"].keys() == {"from"}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("granularity=minute", "granularity"),
        ("granularity=", "granularity"),
        ("group_by=day", "group_by"),
        ("from=x", "from"),
        ("to=2026-13-01", "to"),
        ("from=2026-11-02&to=2026-11-01", "from"),
        ("granularity=hour&from=2026-11-02T01:00:00Z&to=2026-11-02T00:59:59Z", "from"),
    ],
)
def test_a_bad_value_is_named(alice, query, field):
    answer = alice.get(f"{PATH}?{query}")
    assert answer.status_code == 400
    assert answer.json()["details"].keys() == {field}


@pytest.mark.parametrize("granularity", ["hour", "day", "week"])
@pytest.mark.parametrize("day", ["1970-01-01", "9999-12-31"])
def test_the_edges_of_time_are_fine(alice, granularity, day):
    assert measured(alice, f"granularity={granularity}&from={day}&to={day}")


def test_the_example_has_the_members_of_a_real_answer(alice, ledger):
    ledger.call(at(5))
    ledger.write()
    answer = measured(alice, FIFTH)
    example = cost_examples.METRICS
    assert answer.keys() == example.keys()
    for name in ("event_counts", "latencies"):
        assert answer[name].keys() == example[name].keys()
    assert answer["buckets"][0].keys() == example["buckets"][0].keys()
