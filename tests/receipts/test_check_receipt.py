import hashlib

import pytest

from receipts import canonical
from receipts.keyring import keyring_for
from receipts.models import Receipt, SigningKey, Tile
from receipts.verifier import split
from tests.receipts.auditor import fetch, grow, receipt_path
from tests.receipts.tampering import (
    change_entry,
    change_log,
    change_receipt,
    receipt_row,
    unguarded,
)

OTHER_HASH = "0" * 64
FLAGS = ("hash_valid", "signature_valid", "inclusion_valid", "verdict")


def check(caller, name="run-1"):
    return fetch(caller, receipt_path(name, "verify"))


def flags(checked):
    return tuple(checked[name] for name in FLAGS)


def resealed(caller, index, **claims):
    """Members that forge a receipt with other claims, signed with the real key."""
    entry = receipt_row(caller, index).as_json() | claims
    _, body = split(entry)
    digest = hashlib.sha256(canonical.dumps(body)).digest()
    signer = keyring_for(caller.tenant.pk, caller.key.mode).receipt_signer
    return claims | {
        "receipt_hash": digest.hex(),
        "receipt_signature": signer.sign(digest).hex(),
    }


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_intact_receipt_is_valid(alice, method):
    receipt = grow(alice, 3)[1]
    answer = alice.request(method, "/v1/receipts/run-1/verify")
    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "valid": True,
        "hash_valid": True,
        "signature_valid": True,
        "inclusion_valid": True,
        "expected_hash": receipt["receipt_hash"],
        "computed_hash": receipt["receipt_hash"],
        "merkle_root": fetch(alice, "/v1/mmr/root")["root"],
        "verdict": "VALID",
    }


def test_it_is_found_by_either_id(alice):
    receipt = grow(alice, 2)[1]
    assert check(alice, receipt["receipt_id"]) == check(alice, "run-1")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_bob_may_check_what_alice_reported(alice, bob, method):
    grow(alice, 2)
    answer = bob.request(method, "/v1/receipts/run-1/verify")
    assert answer.json()["valid"] is True


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 300])
def test_receipts_are_valid_whatever_the_size_of_the_log(alice, size):
    grow(alice, size)
    for index in {0, size // 2, size - 1}:
        assert check(alice, f"run-{index}")["valid"] is True


def test_unknown_is_404(alice):
    assert alice.get(receipt_path("run-1", "verify")).status_code == 404


class TestATamperedReceipt:
    """It is 200 with `valid: false`, and each flag says what is wrong."""

    def test_with_another_claim(self, alice):
        receipt = grow(alice, 3)[1]
        change_entry(alice, 1, runtime="sglang")
        checked = check(alice)
        assert checked["valid"] is False
        assert flags(checked) == (False, False, False, "INVALID")
        assert checked["expected_hash"] == receipt["receipt_hash"]
        forged = split(receipt)[1] | {"runtime": "sglang"}
        computed = hashlib.sha256(canonical.dumps(forged)).hexdigest()
        assert checked["computed_hash"] == computed

    def test_with_another_claim_and_its_hash(self, alice):
        receipt = grow(alice, 3)[1]
        forged = resealed(alice, 1, runtime="sglang")
        del forged["receipt_signature"]
        change_entry(alice, 1, **forged)
        checked = check(alice)
        assert flags(checked) == (False, False, False, "INVALID")
        assert checked["expected_hash"] == receipt["receipt_hash"]
        assert checked["computed_hash"] == forged["receipt_hash"]

    def test_with_another_signature(self, alice):
        first, *_ = grow(alice, 3)
        change_entry(alice, 1, receipt_signature=first["receipt_signature"])
        assert flags(check(alice)) == (True, False, False, "INVALID")

    def test_without_a_signature(self, alice):
        grow(alice, 3)
        change_entry(alice, 1, receipt_signature=None)
        assert flags(check(alice)) == (True, False, False, "UNSIGNED")

    def test_by_another_tenant(self, alice, charlie):
        grow(alice, 3)
        theirs = charlie.record()
        change_entry(alice, 1, signer_kid=theirs["signer_kid"])
        assert flags(check(alice)) == (True, False, False, "UNKNOWN_KEY")

    def test_forged_by_whoever_holds_the_key(self, alice):
        # Hash and signature fit; the log remembers what it was.
        grow(alice, 3)
        forged = resealed(alice, 1, runtime="sglang")
        change_entry(alice, 1, **forged)
        digest = bytes.fromhex(forged["receipt_hash"])
        change_receipt(alice, 1, receipt_hash=digest)
        assert flags(check(alice)) == (True, True, False, "NOT_IN_LOG")

    def test_with_another_hash_in_its_column(self, alice):
        receipt = grow(alice, 3)[1]
        change_receipt(alice, 1, receipt_hash=bytes.fromhex(OTHER_HASH))
        checked = check(alice)
        assert checked["valid"] is False
        assert checked["hash_valid"] is False
        assert checked["expected_hash"] == OTHER_HASH
        assert checked["computed_hash"] == receipt["receipt_hash"]

    @pytest.mark.parametrize(
        "entry",
        [b"", b"\xff", b"null", b"[]", b"{}", b'{"a":1,"a":1}', b'{"run_id":"run-1"'],
    )
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_that_is_no_receipt_at_all(self, alice, entry, method):
        grow(alice, 3)
        change_receipt(alice, 1, entry=entry)
        answer = alice.request(method, "/v1/receipts/run-1/verify")
        assert answer.status_code == 200
        assert flags(answer.json()) == (False, False, False, "INVALID")

    def test_in_a_spelling_that_is_not_canonical(self, alice):
        grow(alice, 3)
        entry = bytes(receipt_row(alice, 1).entry)
        change_receipt(alice, 1, entry=entry.replace(b'"runtime":', b'"runtime": '))
        assert check(alice)["valid"] is False

    def test_does_not_spoil_its_neighbours(self, alice):
        grow(alice, 3)
        change_entry(alice, 1, runtime="sglang")
        assert check(alice, "run-0")["valid"] is True
        assert check(alice, "run-2")["valid"] is True


class TestATamperedLog:
    def test_with_another_leaf_hash_beside_it(self, alice):
        grow(alice, 3)
        change_receipt(alice, 0, leaf_hash=bytes(32))
        assert flags(check(alice)) == (True, True, False, "NOT_IN_LOG")

    def test_with_another_root(self, alice):
        grow(alice, 3)
        change_log(alice, root=bytes(32))
        checked = check(alice)
        assert flags(checked) == (True, True, False, "NOT_IN_LOG")
        assert checked["merkle_root"] == OTHER_HASH

    def test_where_two_receipts_changed_places(self, alice):
        grow(alice, 4)
        one, two = receipt_row(alice, 1), receipt_row(alice, 2)
        with unguarded(Receipt):
            rows = Receipt.objects.filter(tenant=alice.tenant)
            for row, index in ((one, 9), (two, 1), (one, 2)):
                rows.filter(pk=row.pk).update(leaf_index=index)
        assert flags(check(alice, "run-1")) == (True, True, False, "NOT_IN_LOG")

    def test_with_a_head_before_it(self, alice):
        grow(alice, 3)
        change_log(alice, size=1)
        # The key set of a log of one entry does not speak for a second.
        assert flags(check(alice)) == (True, True, False, "UNKNOWN_KEY")

    def test_without_the_row_beside_it(self, alice):
        grow(alice, 3)
        with unguarded(Receipt):
            receipt_row(alice, 0).delete()
        assert flags(check(alice)) == (True, True, False, "NOT_IN_LOG")

    def test_without_a_tile(self, alice):
        grow(alice, 300)
        with unguarded(Tile):
            Tile.objects.filter(tenant=alice.tenant).delete()
        assert flags(check(alice)) == (True, True, False, "NOT_IN_LOG")

    @pytest.mark.parametrize(
        ("last_index", "verdict"), [(0, "KEY_REVOKED"), (1, "VALID"), (2, "VALID")]
    )
    @pytest.mark.parametrize("status", ["revoked", "retired"])
    def test_a_key_counts_up_to_its_last_index(
        self, alice, status, last_index, verdict
    ):
        grow(alice, 3)
        keys = SigningKey.objects.filter(tenant=alice.tenant, purpose="receipt")
        keys.update(status=status, last_index=last_index)
        checked = check(alice)
        assert flags(checked) == (True, True, True, verdict)
        assert checked["valid"] is (verdict == "VALID")

    def test_a_key_counts_from_its_first_index(self, alice):
        grow(alice, 3)
        SigningKey.objects.filter(tenant=alice.tenant).update(first_index=2)
        assert check(alice, "run-1")["verdict"] == "KEY_REVOKED"
        assert check(alice, "run-2")["verdict"] == "VALID"


def test_the_number_of_queries_does_not_grow_with_the_log(
    alice, django_assert_max_num_queries
):
    grow(alice, 513)
    check(alice)
    # The key, the receipt with its log, the signing keys, full tiles, partial ones,
    # and the access event.
    with django_assert_max_num_queries(7):
        check(alice, "run-300")
