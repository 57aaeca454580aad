"""A stolen key's signatures end at a log index, wherever a verdict is given."""

import json

import pytest

from receipts import key_set, note
from receipts.key_changes import RefusedChange, revoke_key
from receipts.key_set import from_jwks
from receipts.models import SigningKey
from receipts.verifier import Verdict, verify
from receipts.verifier_command import main
from tenants import events
from tenants.models import AccessEvent
from tests.receipts.auditor import audit, fetch, grow, receipt_path, vkey
from tests.receipts.key_operator import (
    THEFT,
    active_kid,
    published,
    range_of,
    revoke,
    rotate,
)
from tests.receipts.tampering import log_row, receipt_row
from tests.receipts.threads import run_at_once


def verdicts(caller, name):
    """Return what every place that gives one says of a receipt."""
    receipt = caller.get(receipt_path(name)).content
    proof = caller.get(receipt_path(name, "proof")).content
    pinned, key_sets = [vkey(caller)], from_jwks(fetch(caller, "/v1/keys"))
    tlog_proof = tlog_proof_of(json.loads(proof)["proof"])
    digest = json.loads(receipt)["receipt"]["receipt_hash"]
    by_name = fetch(caller, receipt_path(name, "verify"))
    by_hash = fetch(caller, f"/v1/verify/{digest}")
    assert by_name["valid"] == (by_name["verdict"] == "VALID")
    assert by_hash["verified"] == (by_hash["verdict"] == "VALID")
    return {
        "by name": by_name["verdict"],
        "by hash": by_hash["verdict"],
        "offline, by the proof's own keys": verify(receipt, proof, pinned).verdict,
        "offline, by the JWKS": verify(receipt, proof, pinned, key_sets).verdict,
        "offline, .tlog-proof": verify(receipt, tlog_proof, pinned, key_sets).verdict,
    }


def tlog_proof_of(proof):
    hashes = tuple(bytes.fromhex(item) for item in proof["proof"])
    from receipts.tlog_proof import TlogProof

    return TlogProof(proof["leaf_index"], hashes, proof["checkpoint"]).text()


def assert_verdict(caller, name, verdict):
    found = verdicts(caller, name)
    assert {*found.values()} == {verdict}, found


@pytest.mark.parametrize("last_valid", [-1, 0, 1, 2])
def test_later_receipts_are_revoked_and_earlier_ones_valid(alice, last_valid):
    grow(alice, 3)
    revoke(alice, active_kid(alice), last_valid)
    alice.record(run_id="after")
    for index in range(3):
        verdict = Verdict.VALID if index <= last_valid else Verdict.KEY_REVOKED
        assert_verdict(alice, f"run-{index}", verdict)
    assert_verdict(alice, "after", Verdict.VALID)
    assert_verdict(alice, receipt_row(alice, 3).run_id, Verdict.VALID)


@pytest.mark.parametrize("last_valid", [-1, 1])
def test_an_agents_receipt_is_revoked_too(alice, last_valid):
    action = {"agent_id": "a", "receipt_type": "tool", "action": "x", "purpose": "y"}
    told = [alice.post("/v1/agent-receipts", action).json() for _ in range(3)]
    revoke(alice, active_kid(alice), last_valid)
    for index, receipt in enumerate(told):
        answer = fetch(alice, f"/v1/agent-receipts/verify/{receipt['id']}")
        counts = index <= last_valid
        assert answer["valid"] is counts
        assert answer["verdict"] == ("VALID" if counts else "KEY_REVOKED")
        assert answer["signature_verified"]
        assert "counts only" in answer["reason"] or counts


def test_the_command_line_verifier_exits_with_4(alice, tmp_path):
    grow(alice, 2)
    revoke(alice, active_kid(alice), -1)
    files = {
        "receipt": alice.get(receipt_path("run-1")).content,
        "proof": alice.get(receipt_path("run-1", "proof")).content,
        "keys": alice.get("/v1/keys").content,
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    receipt, proof, keys = (str(tmp_path / name) for name in files)
    assert main([receipt, "--proof", proof]) == 4
    pinned = ["--key", str(vkey(alice)), "--keys", keys]
    assert main([receipt, "--proof", proof, *pinned]) == 4


class TestAReceiptKeyInUse:
    def test_is_replaced_by_a_fresh_one(self, alice):
        grow(alice, 3)
        stolen = active_kid(alice)
        revoke(alice, stolen, 1)
        assert range_of(alice, stolen) == ("revoked", 0, 1)
        assert active_kid(alice) != stolen
        assert range_of(alice, active_kid(alice)) == ("active", 3, None)
        assert alice.record()["signer_kid"] == active_kid(alice)

    def test_a_receipt_by_the_fresh_key_tells_of_it(self, alice):
        grow(alice, 3)
        stolen = active_kid(alice)
        change = revoke(alice, stolen, 1)
        assert change is not None
        entry = receipt_row(alice, 3).as_json()
        assert entry["receipt_id"] == str(change.receipt_id)
        assert entry["receipt_type"] == "key_rotation"
        assert entry["signer_kid"] == active_kid(alice)
        assert entry["key_change"] == "revoked"
        assert entry["revoked_key"] == {"kid": stolen, "last_valid_index": 1}
        assert entry["new_key"]["kid"] == active_kid(alice)
        assert (entry["changed_by"], entry["reason"]) == ("operator", THEFT)

    def test_none_of_its_signatures_may_count(self, alice):
        grow(alice, 1)
        stolen = active_kid(alice)
        revoke(alice, stolen, -1)
        assert receipt_row(alice, 1).as_json()["revoked_key"] == {
            "kid": stolen,
            "last_valid_index": -1,
        }
        # Said without a negative number: the range is empty.
        assert range_of(alice, stolen) == ("revoked", 1, 0)
        proof = fetch(alice, receipt_path("run-0", "proof"))["proof"]
        text = note.open_note(proof["key_set"], [vkey(alice)]).text
        assert " 1 0 revoked\n" in text
        key = key_set.parse(text).find(stolen)
        assert key is not None
        assert not any(key.counts_at(index) for index in range(5))

    def test_it_may_be_revoked_in_an_empty_log(self, alice):
        fetch(alice, "/v1/signer/pubkey")  # opens the log
        revoke(alice, active_kid(alice), -1)
        alice.record(run_id="after")
        assert_verdict(alice, "after", Verdict.VALID)

    def test_a_replay_of_a_revoked_receipt_is_the_stored_one(self, alice):
        first = alice.record(run_id="run-1")
        revoke(alice, active_kid(alice), -1)
        assert alice.record(run_id="run-1") == first

    @pytest.mark.parametrize("size", [255, 256])
    def test_its_receipt_may_fill_a_tile_or_begin_one(self, alice, size):
        grow(alice, size)
        revoke(alice, active_kid(alice), size - 2)
        alice.record(run_id="after")
        assert_verdict(alice, "after", Verdict.VALID)
        assert_verdict(alice, f"run-{size - 1}", Verdict.KEY_REVOKED)
        assert_verdict(alice, f"run-{size - 2}", Verdict.VALID)

    def test_it_leaves_an_event_that_names_the_receipt(self, alice):
        grow(alice, 2)
        stolen = active_kid(alice)
        change = revoke(alice, stolen, 0)
        assert change is not None
        event = AccessEvent.objects.filter(tenant=alice.tenant).latest("recorded_at")
        assert event.before
        assert event.after
        assert (event.action, event.object_id) == ("signing_key.revoked", stolen)
        assert event.reason == THEFT
        assert (event.before["status"], event.before["last_index"]) == ("active", None)
        assert (event.after["status"], event.after["last_index"]) == ("revoked", 0)
        assert event.after["receipt_id"] == str(change.receipt_id)

    @pytest.mark.parametrize("last_valid", [3, 4, 2**62, 2**80])
    def test_an_index_that_is_not_in_the_log_yet_is_refused(self, alice, last_valid):
        grow(alice, 3)
        before = published(alice)
        with pytest.raises(RefusedChange, match="its last is 2"):
            revoke(alice, active_kid(alice), last_valid)
        assert published(alice) == before
        assert log_row(alice).size == 3

    @pytest.mark.parametrize("last_valid", [-2, -(2**40)])
    def test_an_index_below_minus_one_is_refused(self, alice, last_valid):
        grow(alice, 1)
        with pytest.raises(RefusedChange, match="-1 or more"):
            revoke(alice, active_kid(alice), last_valid)

    def test_a_revocation_without_a_reason_is_refused(self, alice):
        grow(alice, 1)
        key = SigningKey.objects.get(kid=active_kid(alice))
        with pytest.raises(RefusedChange, match="reason"):
            revoke_key(key, 0, events.command_line(), "")


class TestARetiredKey:
    def test_is_marked_and_the_key_in_use_goes_on(self, alice):
        grow(alice, 3)
        old = active_kid(alice)
        rotate(alice)
        new = active_kid(alice)
        revoke(alice, old, 1)
        assert active_kid(alice) == new
        assert range_of(alice, old) == ("revoked", 0, 1)
        entry = receipt_row(alice, 4).as_json()
        assert entry["signer_kid"] == new
        assert "new_key" not in entry
        assert_verdict(alice, "run-1", Verdict.VALID)
        assert_verdict(alice, "run-2", Verdict.KEY_REVOKED)
        alice.record(run_id="after")
        assert_verdict(alice, "after", Verdict.VALID)

    def test_cannot_be_made_to_count_for_longer(self, alice):
        grow(alice, 2)
        old = active_kid(alice)
        rotate(alice)
        grow(alice, 3)
        with pytest.raises(RefusedChange, match="up to index 2"):
            revoke(alice, old, 3)
        assert range_of(alice, old) == ("retired", 0, 2)

    def test_a_key_revoked_before_its_range_counts_nowhere(self, alice):
        grow(alice, 3)
        rotate(alice)
        grow(alice, 1)
        revoke(alice, active_kid(alice), 1)
        assert_verdict(alice, "run-0", Verdict.VALID)
        assert_verdict(alice, "run-4", Verdict.KEY_REVOKED)


class TestRevokingAgain:
    def test_at_the_same_index_changes_nothing(self, alice):
        grow(alice, 3)
        stolen = active_kid(alice)
        revoke(alice, stolen, 1)
        before, size = published(alice), log_row(alice).size
        assert revoke(alice, stolen, 1) is None
        assert (published(alice), log_row(alice).size) == (before, size)

    def test_at_a_lower_index_lowers_it(self, alice):
        grow(alice, 3)
        stolen = active_kid(alice)
        revoke(alice, stolen, 1)
        fresh = active_kid(alice)
        revoke(alice, stolen, -1)
        assert active_kid(alice) == fresh
        assert_verdict(alice, "run-0", Verdict.KEY_REVOKED)
        assert receipt_row(alice, 4).as_json()["revoked_key"]["last_valid_index"] == -1

    def test_at_a_higher_index_is_refused(self, alice):
        grow(alice, 3)
        stolen = active_kid(alice)
        revoke(alice, stolen, 0)
        with pytest.raises(RefusedChange, match="only lower"):
            revoke(alice, stolen, 1)
        assert range_of(alice, stolen) == ("revoked", 0, 0)

    def test_by_several_at_once_is_done_once(self, alice):
        grow(alice, 3)
        stolen = active_kid(alice)
        done = []
        run_at_once(3, lambda number: done.append(revoke(alice, stolen, 1)))
        assert done.count(None) == 2
        assert log_row(alice).size == 4


class TestACheckpointKey:
    def test_in_use_is_replaced_and_signs_no_more(self, alice):
        grow(alice, 3)
        stolen, old = active_kid(alice, "checkpoint"), vkey(alice)
        revoke(alice, stolen, 2)
        assert range_of(alice, stolen) == ("revoked", 0, 2)
        assert range_of(alice, active_kid(alice, "checkpoint")) == ("active", 3, None)
        opened = note.open_note(log_row(alice).checkpoint, [vkey(alice)])
        assert not opened.unverified
        assert audit(alice, "run-1").verdict is Verdict.VALID
        receipt = alice.get(receipt_path("run-1")).content
        proof = alice.get(receipt_path("run-1", "proof")).content
        assert verify(receipt, proof, [old]).verdict is Verdict.UNKNOWN_KEY
        entry = receipt_row(alice, 3).as_json()
        assert entry["purpose"] == "checkpoint"
        assert entry["new_key"]["vkey"] == str(vkey(alice))

    @pytest.mark.parametrize(
        ("last_valid", "verdict"),
        [(-1, "KEY_REVOKED"), (1, "KEY_REVOKED"), (2, "VALID")],
    )
    def test_old_proofs_count_up_to_the_last_valid_leaf(
        self, alice, last_valid, verdict
    ):
        grow(alice, 3)
        pinned = [vkey(alice)]
        receipt = alice.get(receipt_path("run-0")).content
        proof = alice.get(receipt_path("run-0", "proof")).content
        revoke(alice, active_kid(alice, "checkpoint"), last_valid)
        key_sets = from_jwks(fetch(alice, "/v1/keys"))
        result = verify(receipt, proof, pinned, key_sets)
        assert result.verdict == verdict
        if verdict != "VALID":
            assert result.field == "checkpoint"

    def test_in_its_overlap_signs_no_more(self, alice):
        grow(alice, 2)
        old_kid, old = active_kid(alice, "checkpoint"), vkey(alice)
        rotate(alice, "checkpoint")
        new = active_kid(alice, "checkpoint")
        revoke(alice, old_kid, 1)
        assert active_kid(alice, "checkpoint") == new
        assert fetch(alice, "/v1/signer/pubkey")["vkeys"] == [str(vkey(alice))]
        opened = note.open_note(log_row(alice).checkpoint, [vkey(alice), old])
        assert len(opened.verified) == 1
        alice.record()
        opened = note.open_note(log_row(alice).checkpoint, [vkey(alice), old])
        assert len(opened.verified) == 1

    def test_of_another_log_says_nothing_of_this_one(self, alice, alice_test):
        grow(alice, 1)
        alice_test.record()
        revoke(alice_test, active_kid(alice_test, "checkpoint"), 0)
        query = f"/v1/keys?tenant={alice.tenant.slug}"
        key_sets = from_jwks(fetch(alice, query))
        assert sorted(len(keys.revoked_log_keys) for keys in key_sets) == [0, 1]
        receipt = alice.get(receipt_path("run-0")).content
        proof = alice.get(receipt_path("run-0", "proof")).content
        result = verify(receipt, proof, [vkey(alice)], key_sets)
        assert result.verdict is Verdict.VALID


def test_a_tenants_keys_are_not_those_of_another(alice, charlie):
    grow(alice, 1)
    kid = charlie.record()["signer_kid"]
    revoke(charlie, kid, 0)
    assert kid not in published(alice)
    assert_verdict(alice, "run-0", Verdict.VALID)
