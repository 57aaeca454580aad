import threading
from collections import Counter, deque
from typing import Any

import pytest

from lucid.group_commit import GroupCommit, TimedOut

PATIENCE = 20  # seconds, of which a test that passes needs next to none


class Gate:
    """A commit that notes its batches; each stands still until it may pass."""

    def __init__(self):
        self.batches = []
        self.leaders = []
        self._entered = threading.Semaphore(0)
        self._passes = threading.Semaphore(0)

    def __call__(self, batch):
        self.batches.append(list(batch))
        self.leaders.append(threading.current_thread())
        self._entered.release()
        assert self._passes.acquire(timeout=PATIENCE)

    def let_pass(self, batches=1_000):
        self._passes.release(batches)

    def wait_until_entered(self):
        assert self._entered.acquire(timeout=PATIENCE)


class Line(deque[Any]):
    """A waiting line that knows how many have ever joined it."""

    def __init__(self):
        super().__init__()
        self.joined = threading.Semaphore(0)

    def append(self, ticket):
        super().append(ticket)
        self.joined.release()


class LateMutex:
    """A mutex that lets a client in late to give up: it says so, and waits."""

    def __init__(self):
        self._lock = threading.Lock()
        self.giving_up = threading.Event()
        self.let_in = threading.Event()

    def __enter__(self):
        client = threading.current_thread()
        if getattr(client, "late", False):
            self.giving_up.set()
            assert self.let_in.wait(PATIENCE)
        client.late = isinstance(client, Hasty)  # type: ignore[attr-defined]
        self._lock.acquire()

    def __exit__(self, *exception):
        self._lock.release()


class Client(threading.Thread):
    """A thread that submits one item and keeps what came of it."""

    def __init__(self, group, item, timeout=PATIENCE):
        super().__init__(daemon=True)
        self.group, self.item, self.timeout = group, item, timeout
        self.error = None

    def run(self):
        try:
            self.work()
        except BaseException as error:
            self.error = error

    def work(self):
        self.group.submit(self.item, self.timeout)

    def join_and_raise(self):
        self.join(PATIENCE)
        assert not self.is_alive()
        if self.error:
            raise self.error


class Hasty(Client):
    pass


def stand_in_line(group, items, **options):
    """Start clients one after the other, each once the one before is in line."""
    group._waiting = Line()
    clients = [Client(group, item, **options) for item in items]
    for client in clients:
        client.start()
        assert group._waiting.joined.acquire(timeout=PATIENCE)
    return clients


def join_all(*clients):
    for client in clients:
        client.join_and_raise()


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.let_pass()


@pytest.fixture
def group(gate):
    return GroupCommit(gate, limit=4)


@pytest.fixture
def leader(gate, group):
    """The client of item 0, whose commit stands still."""
    client = Client(group, 0)
    client.start()
    gate.wait_until_entered()
    return client


class TestWhoCommitsWhat:
    def test_a_lone_client_commits_its_item_itself(self, gate, group):
        gate.let_pass()
        group.submit("a", 0)
        assert gate.batches == [["a"]]
        assert gate.leaders == [threading.current_thread()]

    def test_one_after_the_other_there_is_a_batch_each(self, gate, group):
        gate.let_pass()
        for item in "abc":
            group.submit(item, 0)
        assert gate.batches == [["a"], ["b"], ["c"]]

    def test_what_comes_during_a_commit_goes_together_into_the_next(
        self, gate, group, leader
    ):
        clients = stand_in_line(group, [1, 2, 3])
        gate.let_pass()
        join_all(leader, *clients)
        assert gate.batches == [[0], [1, 2, 3]]

    def test_a_batch_has_no_more_than_the_limit(self, gate, group, leader):
        clients = stand_in_line(group, range(1, 11))
        gate.let_pass()
        join_all(leader, *clients)
        assert gate.batches == [[0], [1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]

    def test_whoever_has_waited_longest_leads_next(self, gate, group, leader):
        clients = stand_in_line(group, range(1, 7))
        gate.let_pass()
        join_all(leader, *clients)
        assert gate.leaders == [leader, clients[0], clients[4]]

    def test_a_leader_does_not_wait_for_the_batch_after_its_own(
        self, gate, group, leader
    ):
        (second,) = stand_in_line(group, [1])
        gate.let_pass(1)
        gate.wait_until_entered()  # where the second now stands still
        leader.join_and_raise()
        assert second.is_alive()

    def test_a_newcomer_stands_in_line_while_a_successor_commits(
        self, gate, group, leader
    ):
        (second,) = stand_in_line(group, [1])
        gate.let_pass(1)
        gate.wait_until_entered()
        (third,) = stand_in_line(group, [2])
        third.join(0.05)  # time enough to do what it must not
        assert gate.batches == [[0], [1]]
        gate.let_pass()
        join_all(leader, second, third)
        assert gate.batches == [[0], [1], [2]]

    def test_nobody_is_let_go_before_the_commit_has_returned(self, gate, group, leader):
        first, second = stand_in_line(group, [1, 2])
        gate.let_pass(1)
        gate.wait_until_entered()
        assert first.is_alive()
        assert second.is_alive()
        gate.let_pass(1)
        join_all(first, second)

    def test_sixty_four_threads_have_everything_committed_exactly_once(self):
        committed: Counter[Any] = Counter()
        sizes = []
        busy = threading.Lock()

        def commit(batch):
            assert busy.acquire(blocking=False), "two commits at a time"
            committed.update(batch)
            sizes.append(len(batch))
            busy.release()

        group = GroupCommit(commit, limit=16)
        start = threading.Barrier(64)

        class Busy(Client):
            def work(self):
                start.wait(PATIENCE)
                for turn in range(50):
                    group.submit((self.item, turn), PATIENCE)
                    assert committed[self.item, turn] == 1

        clients = [Busy(group, number) for number in range(64)]
        for client in clients:
            client.start()
        join_all(*clients)
        assert len(committed) == 64 * 50
        assert set(committed.values()) == {1}
        assert max(sizes) <= 16


class TestFailure:
    def test_it_reaches_the_lone_client(self):
        def commit(batch):
            raise OSError("disk full")

        with pytest.raises(OSError, match="disk full"):
            GroupCommit(commit, limit=4).submit("a", PATIENCE)

    @pytest.mark.parametrize("kind", [OSError, SystemExit, KeyboardInterrupt])
    def test_it_reaches_every_client_of_the_batch_and_no_other(self, gate, kind):
        def commit(batch):
            gate(batch)
            if 2 in batch:
                raise kind("disk full")

        group = GroupCommit(commit, limit=3)
        leader = Client(group, 0)
        leader.start()
        gate.wait_until_entered()
        clients = stand_in_line(group, [1, 2, 3, 4, 5])
        gate.let_pass()
        leader.join_and_raise()
        for client in clients[:3]:
            with pytest.raises(kind, match="disk full"):
                client.join_and_raise()
        join_all(*clients[3:])
        assert gate.batches == [[0], [1, 2, 3], [4, 5]]

    def test_the_next_client_finds_nobody_leading(self):
        failures = [OSError("disk full")]
        committed = []

        def commit(batch):
            if failures:
                raise failures.pop()
            committed.extend(batch)

        group = GroupCommit(commit, limit=4)
        with pytest.raises(OSError, match="disk full"):
            group.submit("a", PATIENCE)
        group.submit("b", PATIENCE)
        assert committed == ["b"]


class TestTimeout:
    def test_in_line_it_is_raised_and_the_item_is_not_committed(
        self, gate, group, leader
    ):
        with pytest.raises(TimedOut):
            group.submit(1, 0.001)
        gate.let_pass()
        leader.join_and_raise()
        assert gate.batches == [[0]]

    def test_those_behind_in_line_are_committed(self, gate, group, leader):
        (hasty,) = stand_in_line(group, [1], timeout=0.05)
        patient = Client(group, 2)
        patient.start()
        assert group._waiting.joined.acquire(timeout=PATIENCE)
        with pytest.raises(TimedOut):
            hasty.join_and_raise()
        gate.let_pass()
        join_all(leader, patient)
        assert gate.batches == [[0], [2]]

    def test_a_client_chosen_to_lead_as_it_gives_up_leads(self, gate, group, leader):
        group._mutex = mutex = LateMutex()
        hasty = Hasty(group, 1, timeout=0.001)
        hasty.start()
        assert mutex.giving_up.wait(PATIENCE)
        gate.let_pass()
        leader.join_and_raise()
        mutex.let_in.set()
        hasty.join_and_raise()
        assert gate.batches == [[0], [1]]

    def test_a_leader_is_not_timed(self, gate, group):
        gate.let_pass()
        group.submit(0, 0)
        assert gate.batches == [[0]]

    def test_an_item_that_is_being_committed_may_be_committed_yet(
        self, gate, group, leader
    ):
        first, hasty = stand_in_line(group, [1, 2], timeout=1)
        gate.let_pass(1)
        gate.wait_until_entered()
        with pytest.raises(TimedOut):
            hasty.join_and_raise()
        gate.let_pass()
        join_all(leader, first)
        assert gate.batches == [[0], [1, 2]]

    def test_no_leadership_is_lost_to_clients_that_give_up(self):
        committed = []

        def commit(batch):
            sum(range(20_000))  # about as long as the clients wait
            committed.extend(batch)

        group = GroupCommit(commit, limit=8)
        clients = [Client(group, item, timeout=0.0005) for item in range(400)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(PATIENCE)
        group.submit("last", 0)
        served = {client.item for client in clients if client.error is None}
        assert {type(client.error) for client in clients} <= {type(None), TimedOut}
        assert {*served, "last"} <= {*committed}
        assert len(committed) == len({*committed})
