"""When the calls of a run are drawn to have been."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from lucid.api.uuid7 import time_of, uuid7
from orchestrations.models import Inference
from orchestrations.run_spans import end_of
from tests.orchestrations.runs import record, start

SECOND = datetime(2026, 11, 26, 4, 30, 7, tzinfo=UTC)
MS = timedelta(milliseconds=1)


def made_at(moment: datetime) -> UUID:
    milliseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // MS
    return UUID(int=milliseconds << 80 | 0x7 << 76 | 0x2 << 62)


def call(made: datetime, outcome: str = "", latency_ms: int | None = None) -> Inference:
    return Inference(
        receipt_id=made_at(made),
        recorded_at=SECOND,
        outcome=outcome,
        latency_ms=latency_ms,
    )


def test_a_reported_call_ended_when_it_was_reported():
    assert end_of(call(SECOND + 421 * MS, latency_ms=300)) == SECOND + 421 * MS


def test_a_witnessed_call_ended_so_long_after_it_began():
    began = SECOND - 2600 * MS
    assert end_of(call(began, "completed", 3100)) == SECOND + 500 * MS


@pytest.mark.parametrize(
    ("made", "end"),
    [
        (SECOND - 60_000 * MS, SECOND),  # of a call that was tried again
        (SECOND + 60_000 * MS, SECOND + 999 * MS),
    ],
)
@pytest.mark.parametrize("latency_ms", [None, 0, 1])
def test_it_is_within_the_second_of_the_receipt(made, end, latency_ms):
    assert end_of(call(made, "completed", latency_ms)) == end


@pytest.mark.parametrize("receipt_id", [uuid4(), UUID(int=0), UUID(int=2**128 - 1)])
def test_another_id_tells_no_time(receipt_id):
    assert time_of(receipt_id) is None
    assert end_of(Inference(receipt_id=receipt_id, recorded_at=SECOND)) == SECOND


def test_an_id_beyond_all_dates_tells_no_time():
    late = UUID(int=(2**48 - 1) << 80 | 0x7 << 76 | 0x2 << 62)
    assert time_of(late) is None


def test_an_id_tells_when_it_was_made():
    before = timezone.now() - MS
    made = time_of(uuid7())
    assert made is not None
    assert before <= made <= timezone.now()


def test_a_call_is_drawn_where_it_was_recorded(alice):
    run = start(alice)
    before = timezone.now() - MS
    record(alice, run, latency_ms=40)
    (recorded,) = Inference.objects.filter(orchestration_id=run)
    assert before <= end_of(recorded) <= timezone.now()
