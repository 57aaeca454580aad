import pytest

from receipts.merkle import leaf_hash, verify_inclusion
from tests.receipts.auditor import entry_of, fetch, grow
from tests.receipts.tampering import change_entry, change_log, change_receipt

UNKNOWN = "0" * 64


def find(caller, receipt):
    return fetch(caller, f"/v1/verify/{receipt['receipt_hash']}")


def test_it_says_all_there_is_to_say(alice):
    receipt = grow(alice, 3)[1]
    found = find(alice, receipt)
    proof = found.pop("inclusion_proof")
    assert found == {
        "success": True,
        "verified": True,
        "verdict": "VALID",
        "receipt_hash": receipt["receipt_hash"],
        "run_id": "run-1",
        "hash_valid": True,
        "signature_valid": True,
        "signer_pubkey": receipt["signer_pubkey"],
        "signer_type": "orchestrator",
        "inclusion_valid": True,
        "epoch": None,
    }
    assert proof.keys() == {"leaf_index", "proof", "root", "directions"}


@pytest.mark.parametrize("size", [1, 2, 256, 257, 300])
def test_its_inclusion_proof_leads_to_the_root(alice, size):
    receipt = grow(alice, size)[size // 2]
    proof = find(alice, receipt)["inclusion_proof"]
    assert proof["root"] == fetch(alice, "/v1/mmr/root")["root"]
    assert len(proof["directions"]) == len(proof["proof"])
    verify_inclusion(
        proof["leaf_index"],
        size,
        leaf_hash(entry_of(receipt)),
        [bytes.fromhex(item) for item in proof["proof"]],
        bytes.fromhex(proof["root"]),
    )


def test_the_hash_may_be_in_capitals(alice):
    receipt = alice.record()
    capitals = {"receipt_hash": receipt["receipt_hash"].upper()}
    assert find(alice, capitals) == find(alice, receipt)


def test_bob_may_find_what_alice_reported(alice, bob):
    receipt = alice.record()
    assert find(bob, receipt)["verified"] is True


def test_an_unknown_hash_is_404_and_not_verified(alice):
    alice.record()
    answer = alice.get(f"/v1/verify/{UNKNOWN}")
    assert answer.status_code == 404
    assert answer.json()["error_code"] == "NOT_FOUND"
    assert answer.json()["verified"] is False
    assert answer.json()["receipt_hash"] == UNKNOWN


def test_to_an_outsider_it_does_not_exist(alice, charlie):
    receipt = alice.record()
    answer = charlie.get(f"/v1/verify/{receipt['receipt_hash']}")
    assert answer.status_code == 404
    assert answer.json()["verified"] is False


def test_a_test_key_sees_no_live_data(alice, alice_test):
    receipt = alice.record()
    answer = alice_test.get(f"/v1/verify/{receipt['receipt_hash']}")
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "text",
    [
        "0" * 63,
        "0" * 65,
        "g" * 64,
        "0x" + "0" * 62,
        "\N{ARABIC-INDIC DIGIT ZERO}" * 64,
        "0" * 64 + "%0A",
        "%20",
    ],
)
def test_what_is_no_hash_is_400(alice, text):
    answer = alice.get(f"/v1/verify/{text}")
    assert answer.status_code == 400
    assert [*answer.json()["details"]] == ["receipt_hash"]


class TestATamperedReceipt:
    def test_with_another_claim_is_found_and_not_verified(self, alice):
        receipt = grow(alice, 3)[1]
        change_entry(alice, 1, runtime="sglang")
        found = find(alice, receipt)
        assert found["success"] is True
        assert found["verified"] is False
        assert found["verdict"] == "INVALID"
        assert found["hash_valid"] is found["inclusion_valid"] is False

    def test_without_a_signature_is_found_and_not_verified(self, alice):
        receipt = grow(alice, 3)[1]
        change_entry(alice, 1, receipt_signature=None)
        found = find(alice, receipt)
        assert (found["verified"], found["verdict"]) == (False, "UNSIGNED")
        assert found["signature_valid"] is False

    @pytest.mark.parametrize("entry", [b"", b"\xff", b"[]", b"{}"])
    def test_that_is_none_at_all_is_found_and_not_verified(self, alice, entry):
        receipt = grow(alice, 3)[1]
        change_receipt(alice, 1, entry=entry)
        found = find(alice, receipt)
        assert (found["verified"], found["verdict"]) == (False, "INVALID")
        assert found["run_id"] == "run-1"
        assert found["signer_pubkey"] is None

    def test_that_a_head_before_it_does_not_cover_is_not_verified(self, alice):
        receipt = grow(alice, 3)[1]
        change_log(alice, size=1)
        found = find(alice, receipt)
        assert (found["verified"], found["inclusion_valid"]) == (False, False)
        assert found["inclusion_proof"]["proof"] == []

    def test_whose_hash_column_was_changed_is_not_verified(self, alice):
        grow(alice, 3)
        change_receipt(alice, 1, receipt_hash=bytes.fromhex(UNKNOWN))
        found = find(alice, {"receipt_hash": UNKNOWN})
        assert (found["verified"], found["hash_valid"]) == (False, False)


def test_the_number_of_queries_does_not_grow_with_the_log(
    alice, django_assert_max_num_queries
):
    receipts = grow(alice, 513)
    find(alice, receipts[0])
    # The key, the receipt with its log, the signing keys, full tiles, partial ones,
    # and the access event.
    with django_assert_max_num_queries(7):
        find(alice, receipts[300])
