import pytest

from receipts.merkle import (
    leaf_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from receipts.reader import LogReader
from receipts.tiles import Tile, bundles_for, decode_bundle, tile_path, tiles_for
from tests.conftest import new_caller
from tests.receipts.auditor import entry_of, fetch, grow, read_checkpoint, vkey
from tests.receipts.conftest import SIZES
from tests.receipts.tampering import log_row

IMMUTABLE = "max-age=31536000, immutable"


def log_path(caller, rest):
    mode = "" if caller.key.mode == "live" else "/test"
    return f"/log/{caller.tenant.slug}{mode}/{rest}"


def read(caller, rest, **headers):
    return caller.get(log_path(caller, rest), **headers)


def publish(tenant):
    tenant.settings = {"public_log": True}
    tenant.save(update_fields=["settings"])


class TestTheCheckpoint:
    def test_it_is_a_note_that_the_log_has_signed(self, alice):
        receipts = grow(alice, 3)
        answer = read(alice, "checkpoint")
        head = read_checkpoint(answer.content, vkey(alice))
        assert head.origin == f"localhost/log/{alice.tenant.slug}"
        assert head.size == 3
        assert head.root == tree_root(leaf_hash(entry_of(item)) for item in receipts)

    def test_it_has_three_lines_and_one_signature(self, alice):
        grow(alice, 1)
        text = read(alice, "checkpoint").content.decode()
        origin, size, _, empty, signature, end = text.split("\n")
        assert (size, empty, end) == ("1", "", "")
        assert signature.startswith(f"— {origin} ")

    def test_it_is_plain_text_and_cached_for_seconds(self, alice):
        grow(alice, 1)
        answer = read(alice, "checkpoint")
        assert answer["Content-Type"] == "text/plain; charset=utf-8"
        assert answer["Cache-Control"] == "private, max-age=5"

    def test_an_open_log_without_entries_has_one(self, alice):
        fetch(alice, "/v1/mmr/root")
        assert read_checkpoint(read(alice, "checkpoint").content, vkey(alice)).size == 0

    def test_it_agrees_with_the_root(self, alice):
        grow(alice, 5)
        head = read_checkpoint(read(alice, "checkpoint").content, vkey(alice))
        assert fetch(alice, "/v1/mmr/root") == {
            "success": True,
            "root": head.root.hex(),
            "leaf_count": 5,
        }

    def test_a_test_key_reads_that_of_the_test_log(self, alice_test):
        grow(alice_test, 2)
        head = read_checkpoint(read(alice_test, "checkpoint").content, vkey(alice_test))
        assert head.origin == f"localhost/log/{alice_test.tenant.slug}/test"

    @pytest.mark.parametrize("size", SIZES)
    def test_its_root_is_over_all_entries_at_every_size(
        self, database, six_hundred, size
    ):
        note = six_hundred.checkpoints[size]
        head = read_checkpoint(note, vkey(six_hundred.caller))
        leaves = [leaf_hash(entry) for entry in six_hundred.entries[:size]]
        assert (head.size, head.root) == (size, tree_root(leaves))


class TestTiles:
    def test_every_hash_tile_is_what_the_entries_make(self, database, six_hundred):
        leaves = [leaf_hash(entry) for entry in six_hundred.entries]
        for tile in tiles_for(600):
            span = 256**tile.level
            first = tile.index * 256
            hashes = [
                tree_root(leaves[place * span : (place + 1) * span])
                for place in range(first, first + tile.width)
            ]
            answer = read(six_hundred.caller, tile_path(tile))
            assert answer.status_code == 200
            assert answer.content == b"".join(hashes)

    def test_the_paths_of_six_hundred_entries(self):
        assert [*map(tile_path, tiles_for(600))] == [
            "tile/0/000",
            "tile/0/001",
            "tile/0/002.p/88",
            "tile/1/000.p/2",
        ]

    def test_every_bundle_has_the_entries(self, database, six_hundred):
        entries = []
        for tile in bundles_for(600):
            answer = read(six_hundred.caller, tile_path(tile))
            assert answer.status_code == 200
            entries += decode_bundle(answer.content)
        assert entries == six_hundred.entries

    @pytest.mark.parametrize(
        ("partial", "full", "bytes_each"),
        [
            ("tile/0/000.p/1", "tile/0/000", 32),
            ("tile/0/000.p/255", "tile/0/000", 32),
            ("tile/0/001.p/100", "tile/0/001", 32),
            ("tile/0/002.p/1", "tile/0/002.p/88", 32),
            ("tile/1/000.p/1", "tile/1/000.p/2", 32),
        ],
    )
    def test_a_partial_tile_is_served_after_it_has_grown(
        self, database, six_hundred, partial, full, bytes_each
    ):
        width = int(partial.rpartition("/")[2])
        answer = read(six_hundred.caller, partial)
        assert answer.status_code == 200
        whole = read(six_hundred.caller, full).content
        assert answer.content == whole[: width * bytes_each]

    @pytest.mark.parametrize(("index", "width"), [(0, 1), (0, 255), (1, 77), (2, 1)])
    def test_a_partial_bundle_is_served_after_it_has_grown(
        self, database, six_hundred, index, width
    ):
        answer = read(six_hundred.caller, f"tile/entries/00{index}.p/{width}")
        start = index * 256
        expected = six_hundred.entries[start : start + width]
        assert decode_bundle(answer.content) == expected

    @pytest.mark.parametrize(
        "path",
        [
            "tile/0/002",
            "tile/0/002.p/89",
            "tile/0/003.p/1",
            "tile/1/000",
            "tile/1/000.p/3",
            "tile/1/001.p/1",
            "tile/2/000.p/1",
            "tile/63/000.p/1",
            "tile/entries/002",
            "tile/entries/002.p/89",
            "tile/entries/x001/000",
        ],
    )
    def test_what_the_log_has_not_reached_is_404(self, database, six_hundred, path):
        assert read(six_hundred.caller, path).status_code == 404

    @pytest.mark.parametrize(
        "path",
        [
            "tile/0/0",
            "tile/0/000/",
            "tile/00/000",
            "tile/0/000.p/256",
            "tile/0/000.p/0",
            "tile/0/000.p/01",
            "tile/0/x000/000",
            "tile/-1/000",
            "tile/64/000",
            "tile/0/%30%30%30a",
            "tile/Entries/000",
            "tile/entries/000.p",
            "tile/0/" + "\N{ARABIC-INDIC DIGIT ZERO}" * 3,
            "tile",
            "issuer/x",
        ],
    )
    def test_another_spelling_is_404(self, database, six_hundred, path):
        answer = read(six_hundred.caller, path)
        assert answer.status_code == 404
        assert answer.json()["error_code"] == "NOT_FOUND"

    @pytest.mark.parametrize(
        "path", ["tile/0/000", "tile/0/000.p/7", "tile/1/000.p/2", "tile/entries/000"]
    )
    def test_they_are_bytes_that_never_change(self, database, six_hundred, path):
        answer = read(six_hundred.caller, path)
        assert answer["Content-Type"] == "application/octet-stream"
        assert answer["Cache-Control"] == f"private, {IMMUTABLE}"

    def test_a_tile_takes_three_queries(
        self, database, six_hundred, django_assert_num_queries
    ):
        read(six_hundred.caller, "tile/0/000")
        with django_assert_num_queries(3):  # the key, the log, the tile
            read(six_hundred.caller, "tile/0/000")


@pytest.mark.parametrize(("size", "more"), [(3, 1), (255, 1), (256, 300), (300, 300)])
def test_a_log_is_read_as_it_was_whatever_is_appended_meanwhile(alice, size, more):
    receipts = grow(alice, size)
    log = log_row(alice)
    grow(alice, more)
    reader = LogReader(log)
    leaves = [leaf_hash(entry_of(receipt)) for receipt in receipts]
    for index in {0, size // 2, size - 1}:
        proof = reader.inclusion_proof(index, size)
        verify_inclusion(index, size, leaves[index], proof, bytes(log.root))
    assert reader.tile(Tile(0, size // 256, size % 256 + 1)) is None


class TestWhoMayRead:
    """Hash tiles, checkpoint and consistency are public if the tenant says so."""

    HASHES = ["checkpoint", "tile/0/000.p/2", "consistency?from=1"]
    ENTRIES = ["tile/entries/000.p/2"]

    @pytest.mark.parametrize("rest", HASHES + ENTRIES)
    def test_bob_reads_the_log_of_his_tenant(self, alice, bob, rest):
        grow(alice, 2)
        assert read(bob, rest).status_code == 200

    @pytest.mark.parametrize("rest", HASHES + ENTRIES)
    def test_a_private_log_is_401_without_a_key(self, alice, rest):
        grow(alice, 2)
        assert read(alice, rest, Authorization="").status_code == 401

    @pytest.mark.parametrize("rest", HASHES + ENTRIES)
    def test_a_private_log_does_not_exist_for_outsiders(self, alice, charlie, rest):
        grow(alice, 2)
        assert charlie.get(log_path(alice, rest)).status_code == 404

    @pytest.mark.parametrize("rest", HASHES + ENTRIES)
    def test_strangers_cannot_tell_a_private_log_from_none(self, alice, rest):
        grow(alice, 2)
        there = read(alice, rest, Authorization="", X_Request_ID="r")
        missing = alice.get(f"/log/nobody/{rest}", Authorization="", X_Request_ID="r")
        assert there.content == missing.content

    @pytest.mark.parametrize("rest", HASHES + ENTRIES)
    def test_a_key_without_the_scope_is_403(self, alice, acme, rest):
        grow(alice, 2)
        answer = read(new_caller(acme, ("receipts:write",)), rest)
        assert answer.status_code == 403
        assert answer.json()["error_code"] == "INSUFFICIENT_SCOPE"

    @pytest.mark.parametrize("rest", HASHES)
    def test_a_public_log_needs_no_key(self, alice, rest):
        grow(alice, 2)
        publish(alice.tenant)
        answer = read(alice, rest, Authorization="")
        assert answer.status_code == 200
        assert answer.content == read(alice, rest).content

    @pytest.mark.parametrize("rest", HASHES)
    def test_a_public_log_is_read_by_outsiders(self, alice, charlie, rest):
        grow(alice, 2)
        publish(alice.tenant)
        assert charlie.get(log_path(alice, rest)).status_code == 200

    @pytest.mark.parametrize("rest", ENTRIES)
    def test_entries_of_a_public_log_are_private(self, alice, charlie, rest):
        grow(alice, 2)
        publish(alice.tenant)
        assert read(alice, rest, Authorization="").status_code == 401
        assert charlie.get(log_path(alice, rest)).status_code == 404
        assert read(alice, rest)["Cache-Control"] == f"private, {IMMUTABLE}"

    @pytest.mark.parametrize("value", [False, None, 0, ""])
    def test_a_log_is_published_by_true_alone(self, alice, acme, value):
        grow(alice, 2)
        acme.settings = {"public_log": value}
        acme.save(update_fields=["settings"])
        assert read(alice, "checkpoint", Authorization="").status_code == 401

    def test_a_public_log_may_be_cached_by_anybody(self, alice):
        grow(alice, 2)
        publish(alice.tenant)
        assert read(alice, "checkpoint")["Cache-Control"] == "public, max-age=5"
        tile = read(alice, "tile/0/000.p/2")
        assert tile["Cache-Control"] == f"public, {IMMUTABLE}"

    def test_a_test_key_does_not_read_the_live_log(self, alice, alice_test):
        grow(alice, 2)
        answer = alice_test.get(log_path(alice, "tile/entries/000.p/2"))
        assert answer.status_code == 404

    def test_a_live_key_does_not_read_the_test_log(self, alice, alice_test):
        grow(alice_test, 2)
        answer = alice.get(log_path(alice_test, "tile/entries/000.p/2"))
        assert answer.status_code == 404


class TestConsistency:
    def prove(self, log, query):
        answer = read(log.caller, f"consistency?{query}")
        assert answer.status_code == 200, answer.content
        return answer.json()

    @pytest.mark.parametrize(
        ("old", "new"),
        [(old, new) for old in SIZES for new in SIZES if old < new],
    )
    def test_a_checkpoint_extends_every_one_before_it(
        self, database, six_hundred, old, new
    ):
        key = vkey(six_hundred.caller)
        older, newer = (
            read_checkpoint(six_hundred.checkpoints[size], key) for size in (old, new)
        )
        proof = self.prove(six_hundred, f"from={old}&to={new}")["proof"]
        hashes = [bytes.fromhex(item) for item in proof]
        verify_consistency(old, new, older.root, newer.root, hashes)

    def test_to_is_the_newest_unless_told(self, database, six_hundred):
        proof = self.prove(six_hundred, "from=255")
        assert proof == self.prove(six_hundred, "from=255&to=600")
        assert proof["checkpoint"] == six_hundred.checkpoints[600]

    def test_it_has_these_members(self, database, six_hundred):
        proof = self.prove(six_hundred, "from=3&to=513")
        assert proof.pop("proof") != []
        assert proof == {
            "success": True,
            "origin": f"localhost{six_hundred.path}",
            "from": 3,
            "to": 513,
            "checkpoint": None,
        }

    @pytest.mark.parametrize(
        "query", ["from=0", "from=0&to=0", "from=600", "from=7&to=7"]
    )
    def test_from_nothing_or_to_the_same_there_is_nothing_to_prove(
        self, database, six_hundred, query
    ):
        assert self.prove(six_hundred, query)["proof"] == []

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("", "from"),
            ("to=600", "from"),
            ("from=-1", "from"),
            ("from=a", "from"),
            ("from=", "from"),
            ("from=1.5", "from"),
            ("from=601", "from"),
            ("from=3&to=2", "from"),
            ("from=1&to=601", "to"),
            ("from=1&to=-1", "to"),
            ("from=1&to=b", "to"),
            ("from=1&to=" + "9" * 40, "to"),
            ("from=" + "9" * 40, "from"),
        ],
    )
    def test_sizes_the_log_never_had_are_400(self, database, six_hundred, query, field):
        answer = read(six_hundred.caller, f"consistency?{query}")
        assert answer.status_code == 400
        assert [*answer.json()["details"]] == [field]
