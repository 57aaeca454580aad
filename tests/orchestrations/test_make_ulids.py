import time

from orchestrations.ulid import ALPHABET, new_ulid


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
