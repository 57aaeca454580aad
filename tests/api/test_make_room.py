import resource

from lucid.stack_room import with_room

DEPTH = 300  # of frames, some 30 KB: two ends of chunks are among them
CALLS = 200


def loop_at(depth: int) -> None:
    if depth:
        loop_at(depth - 1)
        return
    for _ in range(CALLS):
        abs_of(-1)


def abs_of(number: int) -> int:
    return number if number > 0 else -number


def faults_of_loops_at_every_depth() -> int:
    """Return how often memory was touched that was not there."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for depth in range(DEPTH):
        loop_at(depth)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_no_loop_within_has_the_stack_mapped_again_and_again():
    assert with_room(faults_of_loops_at_every_depth) < CALLS


def test_what_is_called_is_given_what_it_takes_and_answers():
    assert with_room(divmod, 7, 2) == (3, 1)
    assert with_room(int, "11", base=2) == 3
