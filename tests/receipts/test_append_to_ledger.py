import dataclasses
import logging
import threading
from uuid import uuid4

import pytest
from django.db import Error, connection, connections, transaction
from django.db.models import F

from lucid.isolation import across_tenants, working_for
from receipts import ledger, merkle
from receipts.entry import EntryTooLarge, make_entry
from receipts.fsck import check_log
from receipts.keyring import keyring_for
from receipts.ledger import (
    Conflict,
    LedgerUnavailable,
    Logged,
    StaleKeyring,
    Submission,
    append,
)
from receipts.models import Log, Receipt, Tile
from receipts.postgres import PostgresTransaction
from receipts.quiet_logs import QUIET_AFTER
from receipts.tiles import MAX_ENTRY_BYTES, decode_bundle
from receipts.verifier import Verdict
from tests.caller import RUN
from tests.conftest import new_caller, new_tenant
from tests.receipts.auditor import audit, grow, log_size, read_checkpoint, vkey
from tests.receipts.key_operator import rotate
from tests.receipts.tampering import change_receipt, log_row
from tests.receipts.threads import run_at_once

CLAIMS = {"runtime": "vllm", "metrics": {"tokens_in": 42}}
PATIENCE = 60  # seconds


def keyring_of(caller):
    return keyring_for(caller.tenant.pk, caller.key.mode)


def entry(caller, run_id, keyring=None, **claims):
    keyring = keyring or keyring_of(caller)
    return make_entry(keyring, "compute", run_id, None, CLAIMS | claims)


def submission(caller, *run_ids, keyring=None):
    keyring = keyring or keyring_of(caller)
    entries = [entry(caller, run_id, keyring) for run_id in run_ids]
    return Submission(keyring, entries)


def logged(submitted):
    (result,) = submitted.results
    assert isinstance(result, Logged)
    return result


def indexes(submitted):
    return [result.leaf_index for result in submitted.results]


def stored(caller):
    rows = Receipt.objects.filter(log=log_row(caller)).order_by("leaf_index")
    return list(rows.values_list("leaf_index", "run_id"))


def assert_sound(caller, size):
    """What fsck derives from the entries is what is stored."""
    assert log_size(caller) == size
    assert check_log(log_row(caller).pk, lambda done: None) is None


class TestOneSubmission:
    def test_its_entries_get_the_next_indexes(self, alice):
        assert indexes(append(submission(alice, "a", "b"))) == [0, 1]
        assert indexes(append(submission(alice, "c"))) == [2]
        assert stored(alice) == [(0, "a"), (1, "b"), (2, "c")]

    def test_its_results_are_its_entries(self, alice):
        submitted = submission(alice, "a")
        result = logged(append(submitted))
        assert result.receipt_id == submitted.entries[0].receipt_id
        assert result.members == submitted.entries[0].members
        assert result.replayed is False

    def test_a_replay_is_the_stored_receipt(self, alice):
        first = logged(append(submission(alice, "a")))
        again = logged(append(submission(alice, "a")))
        assert again == dataclasses.replace(first, replayed=True)
        assert_sound(alice, 1)

    def test_what_is_written_again_as_nobody_knows_is_there_once(self, alice):
        # After a connection was lost with a write on its way, say.
        submitted = submission(alice, "a")
        first = logged(append(submitted))
        assert logged(append(submitted)) == dataclasses.replace(first, replayed=True)
        assert_sound(alice, 1)

    def test_other_content_is_a_conflict(self, alice):
        append(submission(alice, "a"))
        other = Submission(keyring_of(alice), [entry(alice, "a", runtime="sglang")])
        assert append(other).results == [Conflict("a")]
        assert_sound(alice, 1)

    def test_without_entries_nothing_is_written(self, alice):
        append(submission(alice, "a"))
        assert append(submission(alice)).results == []
        assert_sound(alice, 1)


class TestEntrySize:
    @staticmethod
    def filled(alice, size):
        empty = len(entry(alice, "run-1", filling="").data)
        return entry(alice, "run-1", filling="a" * (size - empty))

    def test_the_longest_is_logged_and_read_back(self, alice):
        longest = self.filled(alice, MAX_ENTRY_BYTES)
        assert len(longest.data) == 65_535
        append(Submission(keyring_of(alice), [longest]))
        path = f"/log/{alice.tenant.slug}/tile/entries/000.p/1"
        assert decode_bundle(alice.get(path).content) == [longest.data]
        assert audit(alice, "run-1").verdict is Verdict.VALID

    def test_a_byte_more_is_refused_before_it_is_logged(self, alice):
        with pytest.raises(EntryTooLarge, match="65536 bytes"):
            self.filled(alice, MAX_ENTRY_BYTES + 1)


class TestAStaleKeyring:
    def test_writes_nothing(self, alice):
        submitted = submission(alice, "a")
        alice.tenant.forget_keys()
        with pytest.raises(StaleKeyring):
            append(submitted)
        assert_sound(alice, 0)

    def test_has_a_request_signed_again(self, alice):
        alice.record()
        alice.tenant.forget_keys()
        assert alice.post("/v1/receipts", RUN).status_code == 200
        assert_sound(alice, 2)

    def test_has_a_request_signed_again_by_the_new_key(self, alice):
        old = alice.record(run_id="old")
        rotate(alice)
        new = alice.record(run_id="new")
        assert new["signer_kid"] != old["signer_kid"]
        assert audit(alice, "old").verdict is Verdict.VALID
        assert audit(alice, "new").verdict is Verdict.VALID
        assert_sound(alice, 3)

    def test_hurts_no_other_tenant_of_the_batch(self, alice, charlie):
        stale, sound = submission(alice, "a"), submission(charlie, "c")
        alice.tenant.forget_keys()
        ledger._commit([stale, sound])
        assert isinstance(stale.error, StaleKeyring)
        assert (sound.error, indexes(sound)) == (None, [0])


class TestABatch:
    """`ledger._commit` is what the group commit calls with those who wait."""

    def test_carries_several_tenants(self, alice, charlie):
        ours, theirs = submission(alice, "a", "b"), submission(charlie, "a")
        more = submission(alice, "c")
        ledger._commit([ours, theirs, more])
        assert [*map(indexes, (ours, theirs, more))] == [[0, 1], [0], [2]]
        assert_sound(alice, 3)
        assert_sound(charlie, 1)

    def test_carries_both_modes_of_a_tenant(self, alice, alice_test):
        live, test = submission(alice, "a"), submission(alice_test, "a")
        ledger._commit([live, test])
        assert indexes(live) == indexes(test) == [0]
        assert_sound(alice, 1)
        assert_sound(alice_test, 1)

    def test_finds_replays_within_itself(self, alice):
        first, again = submission(alice, "a"), submission(alice, "a")
        ledger._commit([first, again])
        assert again.results[0].receipt_id == first.results[0].receipt_id
        assert_sound(alice, 1)

    def test_finds_replays_among_new_runs(self, alice):
        append(submission(alice, "a"))
        first, second = submission(alice, "b", "a"), submission(alice, "c")
        ledger._commit([first, second])
        assert (indexes(first), indexes(second)) == ([1, 0], [2])
        assert_sound(alice, 3)

    # Found by no check of the API, so made here: a time that no column can hold.
    @pytest.mark.parametrize(
        "members",
        [{"timestamp": 2**63}, {"timestamp": "noon"}, {"run_id": None}],
    )
    def test_a_member_that_cannot_be_written_hurts_only_itself(
        self, alice, charlie, caplog, members
    ):
        good = entry(alice, "bad")
        bad = dataclasses.replace(good, members=good.members | members)
        if "run_id" in members:
            del bad.members["run_id"]
        batch = [
            submission(alice, "a"),
            Submission(keyring_of(alice), [bad]),
            submission(charlie, "c"),
            submission(alice, "b"),
        ]
        with caplog.at_level(logging.CRITICAL, "receipts.ledger"):
            ledger._commit(batch)
        assert [item.error is None for item in batch] == [True, False, True, True]
        assert [indexes(item) for item in batch if item.error is None] == [
            *([0], [0], [1])
        ]
        assert_sound(alice, 2)
        assert_sound(charlie, 1)

    def test_a_text_that_postgresql_refuses_hurts_only_itself(
        self, alice, on_postgresql
    ):
        if not on_postgresql:
            pytest.skip("SQLite's text holds NUL")
        bad = Submission(keyring_of(alice), [entry(alice, "a\0b")])
        good = submission(alice, "a")
        ledger._commit([bad, good])
        assert bad.error is not None
        assert indexes(good) == [0]
        assert_sound(alice, 1)

    def test_a_row_beyond_the_head_stops_the_log_and_no_other(self, alice, charlie):
        grow(alice, 2)
        change_receipt(alice, 1, leaf_index=2)
        broken, sound = submission(alice, "a"), submission(charlie, "c")
        ledger._commit([broken, sound])
        assert broken.error is not None
        assert indexes(sound) == [0]
        assert log_size(alice) == 2


class TestManyThreads:
    def test_sixteen_times_twenty_are_in_the_log_once_and_in_order(self, alice):
        placed = []
        keyring = keyring_of(alice)

        def work(number):
            for turn in range(20):
                run_id = f"{number}-{turn}"
                submitted = append(submission(alice, run_id, keyring=keyring))
                placed.extend(indexes(submitted))

        run_at_once(16, work)
        assert sorted(placed) == [*range(320)]
        assert [index for index, _ in stored(alice)] == [*range(320)]
        assert_sound(alice, 320)

    def test_over_http_sixteen_report_to_two_tenants(self, alice, charlie):
        callers = [alice, charlie]
        answers = []

        def work(number):
            for _ in range(10):
                answer = callers[number % 2].post("/v1/receipts", RUN)
                answers.append(answer.status_code)

        run_at_once(16, work)
        assert answers == [200] * 160
        assert_sound(alice, 80)
        assert_sound(charlie, 80)

    def test_the_same_run_reported_by_all_is_one_receipt(self, alice):
        ids = []

        def work(number):
            for turn in range(5):
                ids.append(alice.record(run_id=f"run-{turn}")["receipt_id"])

        run_at_once(8, work)
        assert len(ids) == 40
        assert len({*ids}) == 5
        assert_sound(alice, 5)

    def test_first_receipts_agree_on_one_log(self, database):
        caller = new_caller(new_tenant("fresh"))
        kids = []
        run_at_once(8, lambda number: kids.append(caller.record()["signer_kid"]))
        assert len({*kids}) == 1
        assert Log.objects.filter(tenant=caller.tenant).count() == 1
        assert_sound(caller, 8)

    def test_keys_that_change_meanwhile_lose_nothing(self, alice):
        alice.record()
        statuses = []

        def work(number):
            for _ in range(10):
                if number == 0:
                    with working_for(alice.tenant.pk):
                        alice.tenant.forget_keys()
                statuses.append(alice.post("/v1/receipts", RUN).status_code)

        run_at_once(4, work)
        assert {*statuses} <= {200, 503}
        assert_sound(alice, 1 + statuses.count(200))


class TestTiles:
    @staticmethod
    def tiles(caller):
        rows = Tile.objects.filter(log=log_row(caller)).order_by("level", "index")
        return list(rows.values_list("level", "index"))

    @pytest.mark.parametrize(
        ("batches", "tiles"),
        [
            ([255], []),
            ([256], [(0, 0)]),
            ([257], [(0, 0)]),
            ([255, 1], [(0, 0)]),
            ([255, 2], [(0, 0)]),
            ([1, 256], [(0, 0)]),
            ([256, 256], [(0, 0), (0, 1)]),
            ([512], [(0, 0), (0, 1)]),
            ([100, 413], [(0, 0), (0, 1)]),
            ([3, 700, 66], [(0, 0), (0, 1), (0, 2)]),
        ],
    )
    def test_a_full_one_is_stored_with_the_entry_that_fills_it(
        self, alice, batches, tiles
    ):
        for batch in batches:
            grow(alice, batch)
        assert self.tiles(alice) == tiles
        assert_sound(alice, sum(batches))

    def test_they_do_not_depend_on_how_the_entries_came(self, alice):
        receipts = grow(alice, 255) + [alice.record() for _ in range(3)]
        leaves = list(
            Receipt.objects.filter(log=log_row(alice))
            .order_by("leaf_index")
            .values_list("leaf_hash", flat=True)
        )
        assert len(leaves) == len(receipts) == 258
        tile = Tile.objects.get(log=log_row(alice))
        hashes = [*map(bytes, leaves[:256])]
        assert bytes(tile.hashes) == b"".join(hashes)
        assert bytes(tile.root) == merkle.tree_root(hashes)

    def test_256_tiles_fill_one_of_the_level_above(self, alice):
        leaves = [merkle.leaf_hash(b"%d" % index) for index in range(65_535)]
        history(alice, leaves)
        new = [entry(alice, run_id) for run_id in ("a", "b", "c")]
        append(Submission(keyring_of(alice), new))
        leaves += [item.leaf_hash for item in new]
        roots = [merkle.tree_root(leaves[i : i + 256]) for i in range(0, 65_536, 256)]
        tile = Tile.objects.get(log=log_row(alice), level=1)
        assert bytes(tile.hashes) == b"".join(roots)
        assert bytes(tile.root) == merkle.tree_root(roots)
        head = read_checkpoint(log_row(alice).checkpoint, vkey(alice))
        assert (head.size, head.root) == (65_538, merkle.tree_root(leaves))
        for run_id in ("a", "b", "c"):
            assert audit(alice, run_id).verdict is Verdict.VALID


def history(caller, leaves):
    """Put a log where these leaves would have brought it, without any entries.

    The rows are those that the next append and the proofs of its entries read.
    """
    log = Log.objects.get(pk=keyring_of(caller).log_id)
    place = {"tenant": caller.tenant, "log": log}
    start = len(leaves) // 256 * 256
    tiles = [leaves[i : i + 256] for i in range(0, start, 256)]
    Tile.objects.bulk_create(
        Tile(
            **place,
            level=0,
            index=index,
            hashes=b"".join(tile),
            root=merkle.tree_root(tile),
        )
        for index, tile in enumerate(tiles)
    )
    Receipt.objects.bulk_create(
        Receipt(
            **place,
            id=uuid4(),
            leaf_index=index,
            run_id=f"run-{index}",
            leaf_hash=leaves[index],
            entry=b"",
            receipt_hash=b"",
            timestamp=0,
            issued_at=0,
        )
        for index in range(start, len(leaves))
    )
    frontier = merkle.Frontier().append(leaves)
    Log.objects.filter(pk=log.pk).update(
        size=frontier.size, root=frontier.root(), frontier=frontier.to_bytes()
    )


def end_connection_of_ledger():
    """What a restart of the server does to an idle connection."""
    pipeline = PostgresTransaction._pipeline
    assert pipeline is not None
    pid = pipeline._connection.info.backend_pid
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE NONE")
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        assert cursor.fetchone() == (True,)


class TestTheConnection:
    @pytest.fixture(autouse=True)
    def _postgresql(self, on_postgresql):
        if not on_postgresql:
            pytest.skip("on SQLite the ledger has no connection of its own")

    def test_a_replay_may_be_the_first_thing_a_process_writes(self, alice):
        first = alice.record(run_id="run-1")
        PostgresTransaction.disconnect()
        assert alice.record(run_id="run-1") == first
        alice.record(run_id="run-2")
        assert_sound(alice, 2)

    @pytest.mark.parametrize("before", [1, QUIET_AFTER + 2])
    def test_one_that_the_server_has_ended_is_made_anew(self, alice, before):
        for _ in range(before):
            alice.record()
        end_connection_of_ledger()
        alice.record()
        assert_sound(alice, before + 1)

    def test_a_lock_that_is_held_too_long_is_503_and_loses_nothing(
        self, alice, settings
    ):
        alice.record()
        settings.LUCID_APPEND_TIMEOUT = 0
        keyring = keyring_of(alice)
        locked, free = threading.Event(), threading.Event()

        def hold():
            with across_tenants(), transaction.atomic():
                Log.objects.select_for_update().get(pk=keyring.log_id)
                locked.set()
                free.wait(PATIENCE)
            connections.close_all()

        def lead():
            with across_tenants():
                append(submission(alice, "patient"))
            connections.close_all()

        holder = threading.Thread(target=hold)
        holder.start()
        assert locked.wait(PATIENCE)
        leader = threading.Thread(target=lead)
        leader.start()
        while not ledger._group._led:
            assert leader.is_alive()
        with pytest.raises(LedgerUnavailable):
            append(submission(alice, "hasty"))
        free.set()
        holder.join(PATIENCE)
        leader.join(PATIENCE)
        assert [run_id for _, run_id in stored(alice)][1:] == ["patient"]
        assert_sound(alice, 2)


class TestTheDatabaseRefuses:
    """Whatever the program: the triggers are on the tables."""

    def refuse(self, statement, *parameters):
        with pytest.raises(Error), transaction.atomic():  # noqa: PT012
            with connection.cursor() as cursor:
                if connection.vendor == "postgresql":
                    cursor.execute("SET LOCAL ROLE NONE")  # whoever asks
                cursor.execute(statement, parameters)
            transaction.set_rollback(True)

    @pytest.fixture
    def log(self, alice):
        grow(alice, 256)
        yield log_row(alice)
        assert_sound(alice, 256)

    @pytest.mark.parametrize(
        "column",
        ["entry", "leaf_hash", "run_id", "leaf_index", "trace_id", "timestamp"],
    )
    def test_to_change_a_receipt(self, log, column):
        with pytest.raises(Error), transaction.atomic():
            Receipt.objects.filter(log=log).update(**{column: F(column)})

    def test_to_delete_a_receipt(self, log):
        self.refuse(
            "DELETE FROM receipts_receipt WHERE log_id = %s AND leaf_index = 255",
            log.pk,
        )

    def test_to_change_a_tile(self, log):
        self.refuse("UPDATE receipts_tile SET root = root WHERE log_id = %s", log.pk)

    def test_to_delete_a_tile(self, log):
        self.refuse("DELETE FROM receipts_tile WHERE log_id = %s", log.pk)

    def test_to_delete_a_log(self, log):
        self.refuse("DELETE FROM receipts_log WHERE id = %s", log.pk)

    @pytest.mark.parametrize("size", [255, 0, -1])
    def test_to_shrink_a_log(self, log, size):
        self.refuse("UPDATE receipts_log SET size = %s WHERE id = %s", size, log.pk)

    def test_another_root_for_a_size_that_was_signed(self, log):
        with pytest.raises(Error), transaction.atomic():
            Log.objects.filter(pk=log.pk).update(root=bytes(32))

    def test_another_origin(self, log):
        self.refuse("UPDATE receipts_log SET origin = 'x' WHERE id = %s", log.pk)

    @pytest.mark.parametrize(
        "table", ["receipts_receipt", "receipts_tile", "receipts_log"]
    )
    def test_to_empty_a_table(self, log, on_postgresql, table):
        if not on_postgresql:
            pytest.skip("SQLite has no TRUNCATE")
        self.refuse(f"TRUNCATE {table} CASCADE")

    def test_two_receipts_at_one_index(self, alice, log):
        row = Receipt.objects.get(log=log, leaf_index=7)
        row.pk, row.run_id = uuid4(), "another"
        with pytest.raises(Error), transaction.atomic():
            row.save(force_insert=True)

    def test_two_receipts_of_one_run(self, alice, log):
        row = Receipt.objects.get(log=log, leaf_index=7)
        row.pk, row.leaf_index = uuid4(), 256
        with pytest.raises(Error), transaction.atomic():
            row.save(force_insert=True)
