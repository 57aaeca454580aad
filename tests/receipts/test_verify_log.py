import hashlib
from dataclasses import replace
from uuid import uuid4

import pytest

from receipts import canonical
from receipts.fsck import Finding, check_log
from receipts.keyring import keyring_for
from receipts.merkle import Frontier
from receipts.models import Log, Receipt, SigningKey, Tile
from receipts.verifier import Verdict, split
from tests.receipts.auditor import grow
from tests.receipts.key_operator import active_kid, revoke, rotate
from tests.receipts.tampering import (
    change_entry,
    change_log,
    change_receipt,
    log_row,
    receipt_row,
    unguarded,
)


def verify_log(caller):
    return check_log(log_row(caller).pk, lambda done: None)


def found(caller):
    finding = verify_log(caller)
    assert finding is not None
    return finding.place, finding.verdict


def delete_receipts(caller, **where):
    with unguarded(Receipt):
        rows = Receipt.objects.filter(log=log_row(caller), **where)
        assert rows.delete()[0] > 0


def change_tile(caller, index, **columns):
    with unguarded(Tile):
        rows = Tile.objects.filter(log=log_row(caller), index=index)
        assert rows.update(**columns) == 1


class TestASoundLog:
    @pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 513, 1025])
    def test_of_any_size_it_finds_nothing(self, alice, size):
        grow(alice, size)
        assert verify_log(alice) is None

    def test_every_claim_may_be_made(self, alice):
        alice.record(
            trace_id="trace",
            node_id="ünï \x22",
            attestation={"half": 1.5, "nul": "\x00", "deep": [[{"": None}]]},
            total_latency_ms=0,
            timestamp=0,
        )
        assert verify_log(alice) is None

    def test_after_a_rotation_it_finds_nothing(self, alice):
        grow(alice, 2)
        rotate(alice)
        rotate(alice, "checkpoint")
        grow(alice, 2)
        assert verify_log(alice) is None

    def test_it_tells_how_far_it_is(self, alice):
        grow(alice, 1030)
        steps: list[int] = []
        assert check_log(log_row(alice).pk, steps.append) is None
        assert sum(steps) == 1030
        assert len(steps) > 1


class TestAnEntry:
    @pytest.mark.parametrize("index", [0, 7, 299])
    def test_with_another_byte(self, alice, index):
        grow(alice, 300)
        entry = bytes(receipt_row(alice, index).entry)
        change_receipt(alice, index, entry=entry.replace(b"vllm", b"vllM"))
        assert found(alice) == (f"entry {index}", Verdict.INVALID)

    @pytest.mark.parametrize(
        "entry", [b"", b"\xff", b"null", b"{}", b"[1]", b'{"a":1,"a":1}', b"{" * 5_000]
    )
    def test_that_is_no_receipt(self, alice, entry):
        grow(alice, 3)
        change_receipt(alice, 1, entry=entry)
        assert found(alice) == ("entry 1", Verdict.INVALID)

    def test_that_is_not_canonical(self, alice):
        grow(alice, 3)
        entry = bytes(receipt_row(alice, 1).entry)
        change_receipt(alice, 1, entry=entry.replace(b'"runtime":', b'"runtime": '))
        assert found(alice) == ("entry 1", Verdict.INVALID)

    def test_with_the_signature_of_another(self, alice):
        first, *_ = grow(alice, 3)
        change_entry(alice, 1, receipt_signature=first["receipt_signature"])
        assert found(alice) == ("entry 1", Verdict.INVALID)

    @pytest.mark.parametrize("signature", ["", "00", "z" * 128, "A" * 128, 7, []])
    def test_with_a_malformed_signature(self, alice, signature):
        grow(alice, 3)
        change_entry(alice, 1, receipt_signature=signature)
        place, verdict = found(alice)
        assert place == "entry 1"
        assert verdict in {Verdict.INVALID, Verdict.UNSIGNED}

    def test_without_a_signature(self, alice):
        grow(alice, 3)
        change_entry(alice, 1, receipt_signature=None)
        assert found(alice) == ("entry 1", Verdict.UNSIGNED)

    def test_with_another_public_key(self, alice, charlie):
        grow(alice, 3)
        change_entry(alice, 1, signer_pubkey=charlie.record()["signer_pubkey"])
        assert found(alice) == ("entry 1", Verdict.INVALID)

    def test_by_a_key_of_another_tenant(self, alice, charlie):
        grow(alice, 3)
        change_entry(alice, 1, signer_kid=charlie.record()["signer_kid"])
        assert found(alice) == ("entry 1", Verdict.UNKNOWN_KEY)

    def test_forged_with_the_real_key(self, alice):
        # The signature holds; the leaf hash beside it is of the entry there was.
        grow(alice, 3)
        forge(alice, 1, runtime="sglang")
        assert verify_log(alice) == Finding(
            "entry 1", Verdict.INVALID, "the stored leaf hash is of other bytes"
        )

    def test_forged_with_its_leaf_hash_is_seen_in_the_head(self, alice):
        grow(alice, 3)
        forge(alice, 1, runtime="sglang")
        entry = bytes(receipt_row(alice, 1).entry)
        leaf = hashlib.sha256(b"\0" + entry).digest()
        change_receipt(alice, 1, leaf_hash=leaf)
        assert found(alice) == ("head", Verdict.INVALID)

    def test_the_first_of_several_is_named(self, alice):
        grow(alice, 1030)
        for index in (1029, 512, 700):
            change_entry(alice, index, runtime="sglang")
        assert found(alice)[0] == "entry 512"


def forge(caller, index, **claims):
    """Rewrite an entry as whoever holds the signing key can: hash and signature fit."""
    _, body = split(receipt_row(caller, index).as_json() | claims)
    digest = hashlib.sha256(canonical.dumps(body)).digest()
    signer = keyring_for(caller.tenant.pk, caller.key.mode).receipt_signer
    seal = {
        "receipt_hash": digest.hex(),
        "receipt_signature": signer.sign(digest).hex(),
    }
    change_entry(caller, index, **claims, **seal)
    change_receipt(caller, index, receipt_hash=digest, **claims)


class TestAColumn:
    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("run_id", "run-x"),
            ("receipt_type", "inference"),
            ("timestamp", 1),
            ("issued_at", 1),
            ("signer_kid", "another"),
            ("model_passport_id", "ppt_x"),
            ("compute_passport_id", "ppt_x"),
            ("policy_hash", "0" * 64),
            ("runtime", "sglang"),
            ("runtime", ""),
            ("trace_id", "trace"),
            ("model", "gpt"),
            ("provider", "openai"),
            ("agent_id", "agent"),
            ("orchestration_id", "orch"),
        ],
    )
    def test_that_lists_filter_by(self, alice, column, value):
        grow(alice, 3)
        change_receipt(alice, 1, **{column: value})
        assert verify_log(alice) == Finding(
            "entry 1", Verdict.INVALID, f"the column {column} is not the entry's"
        )

    def test_the_leaf_hash(self, alice):
        grow(alice, 3)
        change_receipt(alice, 1, leaf_hash=bytes(32))
        assert verify_log(alice) == Finding(
            "entry 1", Verdict.INVALID, "the stored leaf hash is of other bytes"
        )

    def test_the_receipt_hash(self, alice):
        grow(alice, 3)
        change_receipt(alice, 1, receipt_hash=bytes(32))
        assert verify_log(alice) == Finding(
            "entry 1", Verdict.INVALID, "the stored receipt hash is another"
        )


class TestARow:
    @pytest.mark.parametrize("index", [0, 1, 2])
    def test_that_is_missing(self, alice, index):
        grow(alice, 3)
        delete_receipts(alice, leaf_index=index)
        finding = verify_log(alice)
        assert finding.place == f"entry {index}"
        assert finding.detail.startswith("missing")

    def test_when_all_are_missing(self, alice):
        grow(alice, 3)
        delete_receipts(alice)
        assert found(alice) == ("entry 0", Verdict.INVALID)

    def test_that_is_missing_in_a_later_chunk(self, alice):
        grow(alice, 1030)
        delete_receipts(alice, leaf_index=1025)
        assert found(alice) == ("entry 1025", Verdict.INVALID)

    def test_that_is_beyond_the_head(self, alice):
        grow(alice, 3)
        row = receipt_row(alice, 2)
        row.pk, row.run_id, row.leaf_index = uuid4(), "run-x", 3
        row.save(force_insert=True)
        assert verify_log(alice) == Finding(
            "entry 3", Verdict.INVALID, "beyond the head of the log"
        )

    def test_two_that_changed_places(self, alice):
        grow(alice, 3)
        for old, new in ((0, 9), (1, 0), (9, 1)):
            change_receipt(alice, old, leaf_index=new)
        assert found(alice) == ("head", Verdict.INVALID)

    def test_of_a_truncated_log_whose_head_was_rewritten(self, alice):
        # All fits but the checkpoint, which nobody without the key can make.
        grow(alice, 3)
        frontier = Frontier().append(
            bytes(receipt_row(alice, index).leaf_hash) for index in range(2)
        )
        delete_receipts(alice, leaf_index=2)
        change_log(alice, size=2, root=frontier.root(), frontier=frontier.to_bytes())
        assert found(alice) == ("checkpoint", Verdict.INCONSISTENT)


class TestATile:
    @pytest.mark.parametrize("index", [0, 1])
    def test_with_another_byte(self, alice, index):
        grow(alice, 600)
        tile = Tile.objects.get(log=log_row(alice), index=index)
        hashes = bytearray(tile.hashes)
        hashes[4_000] ^= 1
        change_tile(alice, index, hashes=bytes(hashes))
        assert found(alice) == (f"tile 0/{index}", Verdict.INVALID)

    def test_with_another_root(self, alice):
        grow(alice, 256)
        change_tile(alice, 0, root=bytes(32))
        assert found(alice) == ("tile 0/0", Verdict.INVALID)

    def test_that_is_cut_off(self, alice):
        grow(alice, 256)
        tile = Tile.objects.get(log=log_row(alice))
        change_tile(alice, 0, hashes=bytes(tile.hashes)[:-32])
        assert found(alice) == ("tile 0/0", Verdict.INVALID)

    def test_that_is_missing(self, alice):
        grow(alice, 600)
        with unguarded(Tile):
            Tile.objects.filter(log=log_row(alice), index=1).delete()
        assert verify_log(alice) == Finding("tile 0/1", Verdict.INVALID, "missing")


class TestTheHead:
    @pytest.mark.parametrize(
        "frontier", [b"", bytes(32), bytes(64)], ids=["none", "short", "zeroes"]
    )
    def test_with_another_frontier(self, alice, frontier):
        grow(alice, 3)
        change_log(alice, frontier=frontier)
        assert verify_log(alice) == Finding(
            "head", Verdict.INVALID, "the frontier is not what entries make"
        )

    def test_with_another_root(self, alice):
        grow(alice, 3)
        change_log(alice, root=bytes(32))
        assert verify_log(alice) == Finding(
            "head", Verdict.INVALID, "the root is not what entries make"
        )

    @pytest.mark.parametrize(("size", "place"), [(2, "entry 2"), (4, "entry 3")])
    def test_with_another_size(self, alice, size, place):
        grow(alice, 3)
        change_log(alice, size=size)
        assert found(alice) == (place, Verdict.INVALID)


class TestTheCheckpoint:
    @pytest.mark.parametrize(
        "text", ["", "not a note", "\n\n", "localhost/log/x\n3\nAAAA\n\n— x AAAA\n"]
    )
    def test_that_is_none(self, alice, text):
        grow(alice, 3)
        change_log(alice, checkpoint=text)
        assert found(alice) == ("checkpoint", Verdict.INVALID)

    @pytest.mark.parametrize(("old", "new"), [("\n3\n", "\n4\n"), ("/log/", "/Log/")])
    def test_with_another_text(self, alice, old, new):
        grow(alice, 3)
        text = log_row(alice).checkpoint
        change_log(alice, checkpoint=text.replace(old, new, 1))
        assert found(alice) == ("checkpoint", Verdict.INVALID)

    def test_of_an_older_size(self, alice):
        grow(alice, 2)
        older = log_row(alice).checkpoint
        grow(alice, 1)
        change_log(alice, checkpoint=older)
        assert found(alice) == ("checkpoint", Verdict.INCONSISTENT)

    def test_of_this_size_and_another_root(self, alice):
        grow(alice, 3)
        keyring = keyring_for(alice.tenant.pk, alice.key.mode)
        change_log(alice, checkpoint=keyring.sign_checkpoint(3, bytes(32)))
        assert found(alice) == ("checkpoint", Verdict.INCONSISTENT)

    def test_of_another_origin(self, alice):
        grow(alice, 3)
        keyring = keyring_for(alice.tenant.pk, alice.key.mode)
        root = bytes(log_row(alice).root)
        other = replace(keyring, origin="localhost/log/other")
        change_log(alice, checkpoint=other.sign_checkpoint(3, root))
        assert found(alice) == ("checkpoint", Verdict.INVALID)

    def test_by_another_log(self, alice, charlie):
        grow(alice, 3)
        grow(charlie, 3)
        change_log(alice, checkpoint=log_row(charlie).checkpoint)
        assert found(alice) == ("checkpoint", Verdict.INVALID)


def revoked_indexes(caller):
    """What a check that finds nothing wrong says of entries by a revoked key."""
    indexes: list[int] = []
    assert check_log(log_row(caller).pk, lambda done: None, indexes.append) is None
    return indexes


class TestARevokedKey:
    @pytest.mark.parametrize("last_valid", [-1, 0, 1, 2])
    def test_leaves_a_sound_log_whose_later_entries_are_told(self, alice, last_valid):
        receipts = grow(alice, 3)
        revoke(alice, receipts[0]["signer_kid"], last_valid)
        grow(alice, 2)
        assert revoked_indexes(alice) == [*range(last_valid + 1, 3)]

    def test_that_was_retired_before(self, alice):
        receipts = grow(alice, 3)
        rotate(alice)
        revoke(alice, receipts[0]["signer_kid"], 1)
        grow(alice, 1)
        assert revoked_indexes(alice) == [2, 3]

    def test_never_counted_where_it_is_revoked_before_its_range(self, alice):
        grow(alice, 2)
        rotate(alice)
        grow(alice, 2)
        revoke(alice, active_kid(alice), 1)
        assert revoked_indexes(alice) == [3, 4]

    def test_hides_nothing_else(self, alice):
        receipts = grow(alice, 1030)
        revoke(alice, receipts[0]["signer_kid"], 500)
        change_receipt(alice, 700, trace_id="other")
        assert found(alice) == ("entry 700", Verdict.INVALID)

    def test_hides_no_other_signature(self, alice):
        first, *_ = grow(alice, 3)
        revoke(alice, first["signer_kid"], 0)
        change_entry(alice, 2, receipt_signature=first["receipt_signature"])
        assert found(alice) == ("entry 2", Verdict.INVALID)

    def test_of_the_checkpoint_does_not_vouch_for_a_later_head(self, alice):
        grow(alice, 3)
        text = log_row(alice).checkpoint
        keys = SigningKey.objects.filter(tenant=alice.tenant, purpose="checkpoint")
        keys.update(status="revoked", last_index=2)
        assert verify_log(alice) is None
        keys.update(last_index=1)
        assert log_row(alice).checkpoint == text
        assert found(alice) == ("checkpoint", Verdict.KEY_REVOKED)

    @pytest.mark.parametrize("last_valid", [-1, 0, 2])
    def test_of_the_checkpoint_is_followed_by_a_sound_head(self, alice, last_valid):
        grow(alice, 3)
        revoke(alice, active_kid(alice, "checkpoint"), last_valid)
        assert revoked_indexes(alice) == []


class TestTheKeys:
    @pytest.mark.parametrize("last_index", [0, 1])
    def test_that_retired_before_an_entry(self, alice, last_index):
        grow(alice, 3)
        keys = SigningKey.objects.filter(tenant=alice.tenant, purpose="receipt")
        keys.update(status="retired", last_index=last_index)
        assert found(alice) == (f"entry {last_index + 1}", Verdict.KEY_REVOKED)

    def test_whose_range_begins_after_an_entry(self, alice):
        grow(alice, 3)
        SigningKey.objects.filter(tenant=alice.tenant).update(first_index=1)
        assert found(alice) == ("entry 0", Verdict.KEY_REVOKED)

    def test_that_are_missing(self, alice):
        grow(alice, 3)
        SigningKey.objects.filter(tenant=alice.tenant, purpose="receipt").delete()
        assert found(alice) == ("entry 0", Verdict.UNKNOWN_KEY)

    def test_of_the_checkpoint_that_are_missing(self, alice):
        grow(alice, 3)
        SigningKey.objects.filter(tenant=alice.tenant, purpose="checkpoint").delete()
        assert found(alice) == ("checkpoint", Verdict.INVALID)


def test_what_is_wrong_with_one_log_is_not_wrong_with_another(alice, charlie):
    grow(alice, 3)
    grow(charlie, 3)
    change_entry(alice, 1, runtime="sglang")
    assert verify_log(charlie) is None
    assert Log.objects.filter(tenant=charlie.tenant).count() == 1
