import time

import pytest

from orchestrations.ulid import ALPHABET, earliest, new_ulid


def test_it_sorts_by_time():
    first = new_ulid()
    time.sleep(0.002)
    assert first < new_ulid()


def test_it_has_26_characters_of_its_alphabet():
    made = new_ulid()
    assert len(made) == 26
    assert set(made) <= set(ALPHABET)


def test_its_first_ten_characters_are_the_time():
    before = time.time_ns() // 1_000_000
    milliseconds = 0
    for character in new_ulid()[:10]:
        milliseconds = milliseconds * 32 + ALPHABET.index(character)
    assert before <= milliseconds <= time.time_ns() // 1_000_000


def test_the_earliest_of_a_time_is_between_those_before_and_after():
    made = new_ulid()
    now = time.time()
    assert earliest(now - 1) < made < earliest(now + 1)
    assert earliest(now).endswith("0" * 16)


@pytest.mark.parametrize(
    ("seconds", "ulid"), [(-1e9, "0" * 26), (1e15, "7" + "Z" * 9 + "0" * 16)]
)
def test_times_that_no_ulid_has_are_the_first_and_the_last(seconds, ulid):
    assert earliest(seconds) == ulid
