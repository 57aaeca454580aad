"""A signing key is changed on a log that goes on (LEDGER section 4)."""

import json
import re
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.utils import timezone

from receipts import ed25519, key_changes, key_set, ledger, note
from receipts.fsck import check_log
from receipts.key_changes import RefusedChange, end_overlaps, rotate_key
from receipts.key_set import from_jwks
from receipts.keyring import keyring_for, new_key
from receipts.ledger import LedgerUnavailable, StaleKeyring, Submission
from receipts.models import SigningKey
from receipts.note import VerifierKey
from receipts.quiet_logs import QUIET_AFTER
from receipts.verifier import Verdict, verify
from tenants import events
from tenants.models import AccessEvent
from tests.caller import RUN
from tests.receipts.auditor import audit, fetch, grow, receipt_path, vkey
from tests.receipts.key_operator import (
    REASON,
    active_kid,
    published,
    range_of,
    rotate,
)
from tests.receipts.tampering import log_row, receipt_row
from tests.receipts.test_append_to_ledger import submission
from tests.receipts.threads import run_at_once


def assert_sound(caller, size):
    assert log_row(caller).size == size
    assert check_log(log_row(caller).pk, lambda done: None) is None


def verdict(caller, name, *vkeys):
    """Verify the answers of now, by keys that the auditor has had before."""
    receipt = caller.get(receipt_path(name)).content
    proof = caller.get(receipt_path(name, "proof")).content
    by_proof = verify(receipt, proof, vkeys).verdict
    by_jwks = verify(receipt, proof, vkeys, from_jwks(fetch(caller, "/v1/keys")))
    assert by_jwks.verdict == by_proof
    return by_proof


def last_event(caller):
    return AccessEvent.objects.filter(tenant=caller.tenant).latest("recorded_at")


class TestAReceiptKey:
    def test_the_old_key_names_the_new_one_in_the_log(self, alice):
        grow(alice, 3)
        old = active_kid(alice)
        change = rotate(alice)
        entry = receipt_row(alice, 3).as_json()
        assert entry["receipt_id"] == str(change.receipt_id)
        assert entry["receipt_type"] == "key_rotation"
        assert entry["signer_kid"] == old
        assert entry["key_change"] == "rotated"
        assert entry["purpose"] == "receipt"
        assert entry["old_key"] == {"kid": old}
        assert entry["new_key"] == {
            "kid": active_kid(alice),
            "public_key": fetch(alice, "/v1/signer/pubkey")["pubkey"],
        }
        assert (entry["changed_by"], entry["reason"]) == ("operator", REASON)

    def test_the_ranges_of_old_and_new_meet_at_the_receipt(self, alice):
        grow(alice, 3)
        old = active_kid(alice)
        rotate(alice)
        assert range_of(alice, old) == ("retired", 0, 3)
        assert range_of(alice, active_kid(alice)) == ("active", 4, None)

    def test_receipts_before_and_after_are_valid(self, alice):
        grow(alice, 2)
        pinned = vkey(alice)
        rotate(alice)
        grow(alice, 2)
        kids = [receipt_row(alice, index).signer_kid for index in range(5)]
        assert kids[0] == kids[1] == kids[2] != kids[3] == kids[4]
        for index in range(5):
            name = receipt_row(alice, index).run_id
            assert verdict(alice, name, pinned) is Verdict.VALID
            assert fetch(alice, receipt_path(name, "verify"))["valid"]
        assert_sound(alice, 5)

    def test_it_can_be_the_first_entry(self, alice):
        fetch(alice, "/v1/signer/pubkey")  # opens the log
        old = active_kid(alice)
        rotate(alice)
        assert range_of(alice, old) == ("retired", 0, 0)
        alice.record()
        assert_sound(alice, 2)

    def test_it_can_follow_another_at_once(self, alice):
        grow(alice, 1)
        kids = [active_kid(alice)]
        for _ in range(3):
            rotate(alice)
            kids.append(active_kid(alice))
        grow(alice, 1)
        assert len({*kids}) == 4
        assert [range_of(alice, kid)[1:] for kid in kids] == [
            *((0, 1), (2, 2), (3, 3), (4, None))
        ]
        assert_sound(alice, 5)

    @pytest.mark.parametrize("size", [254, 255, 256, 511])
    def test_its_receipt_may_fill_a_tile_or_begin_one(self, alice, size):
        grow(alice, size)
        pinned = vkey(alice)
        rotate(alice)
        alice.record(run_id="after")
        names = [receipt_row(alice, size).run_id, "run-0", "after"]
        assert {verdict(alice, name, pinned) for name in names} == {Verdict.VALID}
        assert_sound(alice, size + 2)

    def test_of_one_mode_leaves_the_other_alone(self, alice, alice_test):
        alice.record()
        alice_test.record()
        before = active_kid(alice_test)
        rotate(alice)
        assert active_kid(alice_test) == before
        assert alice_test.record()["signer_kid"] == before
        assert_sound(alice_test, 2)

    def test_of_one_tenant_leaves_others_alone(self, alice, charlie):
        before = charlie.record()["signer_kid"]
        alice.record()
        rotate(alice)
        assert charlie.record()["signer_kid"] == before

    def test_it_leaves_an_event_that_names_the_receipt(self, alice):
        alice.record()
        old = active_kid(alice)
        change = rotate(alice)
        event = last_event(alice)
        assert (event.action, event.reason) == ("signing_key.rotated", REASON)
        assert (event.object_kind, event.object_id) == ("signing_key", old)
        assert event.actor_kind == "command"
        assert event.before["status"] == "active"
        assert event.after["status"] == "retired"
        assert event.after["receipt_id"] == str(change.receipt_id)
        assert event.after["successor"] == active_kid(alice)

    @pytest.mark.parametrize("reason", ["", " ", "a" * 501, "a\nb", "\0"])
    def test_a_bad_reason_is_refused(self, alice, reason):
        alice.record()
        with pytest.raises(RefusedChange, match="reason"):
            rotate_key(alice.tenant, "live", "receipt", events.command_line(), reason)
        assert_sound(alice, 1)

    def test_its_kid_is_no_option_of_a_command(self, acme, monkeypatch):
        seeds = (number.to_bytes(32, "big") for number in range(10_000))
        monkeypatch.setattr("receipts.keyring.generate_seed", lambda: next(seeds))
        kids = [new_key(acme.pk, "live", "receipt")[0].kid for _ in range(300)]
        assert not [kid for kid in kids if kid.startswith("-")]


class TestWhatMeetsTheLockLater:
    def test_is_signed_anew(self, alice):
        alice.record()
        submitted = submission(alice, "a")
        rotate(alice)
        with pytest.raises(StaleKeyring):
            ledger.append(submitted)
        assert alice.post("/v1/receipts", RUN).status_code == 200
        assert_sound(alice, 3)

    def test_a_batch_is_signed_anew(self, alice):
        alice.record()
        rotate(alice)
        runs = [RUN | {"run_id": f"batch-{n}"} for n in range(300)]
        results = alice.post("/v1/receipts/batch", {"receipts": runs}).json()["results"]
        assert {item["receipt"]["signer_kid"] for item in results} == {
            active_kid(alice)
        }
        assert_sound(alice, 302)

    def test_a_replay_is_the_stored_receipt_by_the_old_key(self, alice):
        first = alice.record(run_id="run-1")
        rotate(alice)
        assert alice.record(run_id="run-1") == first
        other = alice.post("/v1/receipts", RUN | {"run_id": "run-1", "tokens_in": 1})
        assert other.json()["code"] == "RUN_ID_CONFLICT"
        assert_sound(alice, 2)

    def test_an_idempotency_key_answers_as_before(self, alice):
        first = alice.post("/v1/receipts", RUN, Idempotency_Key="k")
        rotate(alice)
        again = alice.post("/v1/receipts", RUN, Idempotency_Key="k")
        assert again.content == first.content
        assert again["Idempotent-Replayed"] == "true"
        assert_sound(alice, 2)

    def test_a_quiet_log_is_looked_at_again(self, alice):
        for _ in range(QUIET_AFTER + 2):
            old = alice.record()["signer_kid"]
        rotate(alice)
        for _ in range(QUIET_AFTER + 2):
            assert alice.record()["signer_kid"] != old
        assert_sound(alice, 2 * (QUIET_AFTER + 2) + 1)

    def test_an_orchestration_ends_under_the_new_key(self, alice):
        begun = alice.post("/v1/orchestrations", {"agent_id": "agent"}).json()
        path = f"/v1/orchestrations/{begun['id']}"
        call = {"model": "m", "provider": "custom", "prompt_tokens": 1}
        call |= {"completion_tokens": 1, "latency_ms": 1}
        assert alice.post(f"{path}/inferences", call).status_code == 201
        rotate(alice)
        assert alice.post(f"{path}/inferences", call).status_code == 201
        rotate(alice)
        assert alice.post(f"{path}/complete", {}).status_code == 200
        types = [receipt_row(alice, index).receipt_type for index in range(5)]
        assert types == [
            *("inference", "key_rotation", "inference", "key_rotation"),
            "orchestration",
        ]
        assert_sound(alice, 5)


class TestRotatingUnderLoad:
    def test_many_writers_and_rotations_lose_and_refuse_nothing(self, alice):
        alice.record()
        statuses = []

        def work(number):
            if number < 2:
                for _ in range(4):
                    rotate(alice, ["receipt", "checkpoint"][number])
                return
            for turn in range(25):
                run = RUN | {"run_id": f"{number}-{turn}"}
                statuses.append(alice.post("/v1/receipts", run).status_code)

        run_at_once(6, work)
        assert statuses == [200] * 100
        assert_sound(alice, 1 + 100 + 8)
        keys = from_jwks(fetch(alice, "/v1/keys"))[0]
        assert len(keys.keys) == 5

    def test_two_at_once_are_one_after_the_other(self, alice):
        alice.record()
        run_at_once(2, lambda number: rotate(alice))
        assert_sound(alice, 3)
        states = sorted(key["status"] for key in published(alice).values())
        assert states == ["active", "active", "retired", "retired"]

    def test_a_key_that_changed_meanwhile_is_looked_at_again(self, alice, monkeypatch):
        alice.record()
        fresh, pending = keyring_for, [1]

        def overtaken(*arguments):
            keyring = fresh(*arguments)
            if pending:
                pending.pop()
                rotate(alice)
            return keyring

        monkeypatch.setattr(key_changes, "keyring_for", overtaken)
        rotate(alice)
        assert_sound(alice, 3)

    def test_what_fails_leaves_nothing(self, alice, monkeypatch):
        alice.record()
        before = published(alice)

        def fail(*arguments, **options):
            raise OperationalError("disk full")

        monkeypatch.setattr(events, "record", fail)
        with pytest.raises(LedgerUnavailable):
            rotate(alice)
        assert published(alice) == before
        monkeypatch.undo()
        alice.record()
        assert_sound(alice, 2)


class TestACheckpointKey:
    def test_notes_are_signed_by_both_in_the_overlap(self, alice):
        grow(alice, 2)
        old = vkey(alice)
        rotate(alice, "checkpoint")
        new = vkey(alice)
        assert new != old
        for turn in range(2):
            proof = fetch(alice, receipt_path("run-1", "proof"))["proof"]
            for name in ("checkpoint", "key_set"):
                opened = note.open_note(proof[name], [old, new])
                assert len(opened.verified) == 2
                assert not opened.unverified
            assert proof["vkey"] == str(new)
            for pinned in (old, new):
                assert verdict(alice, "run-1", pinned) is Verdict.VALID
            alice.record(run_id=f"after-{turn}")
        assert_sound(alice, 5)

    def test_its_receipt_is_by_the_receipt_key(self, alice):
        grow(alice, 2)
        rotate(alice, "checkpoint")
        entry = receipt_row(alice, 2).as_json()
        assert entry["purpose"] == "checkpoint"
        assert entry["signer_kid"] == active_kid(alice)
        assert entry["new_key"]["kid"] == active_kid(alice, "checkpoint")
        assert entry["new_key"]["vkey"] == str(vkey(alice))
        ends_in = entry["old_key"]["overlap_until"] - entry["issued_at"]
        assert abs(ends_in - 7 * 86_400) < 60

    def test_both_are_published(self, alice):
        grow(alice, 2)
        old = vkey(alice)
        kid = active_kid(alice, "checkpoint")
        rotate(alice, "checkpoint")
        signer = fetch(alice, "/v1/signer/pubkey")
        assert signer["vkeys"] == [signer["vkey"], str(old)]
        keys = published(alice)
        assert keys[kid]["status"] == "retiring"
        assert keys[kid]["overlap_until"] > timezone.now().timestamp()
        new = keys[active_kid(alice, "checkpoint")]
        assert (new["status"], new["first_index"]) == ("active", 2)
        assert "overlap_until" not in new

    def test_after_the_overlap_the_new_key_signs_alone(self, alice):
        grow(alice, 2)
        old = vkey(alice)
        rotate(alice, "checkpoint", timedelta(seconds=1))
        assert verdict(alice, "run-1", old) is Verdict.VALID
        SigningKey.objects.filter(tenant=alice.tenant, status="retiring").update(
            overlap_until=timezone.now() - timedelta(seconds=1)
        )
        alice.tenant.forget_keys()
        assert fetch(alice, "/v1/signer/pubkey")["vkeys"] == [str(vkey(alice))]
        # A quiet log: its newest checkpoint was made in the overlap.
        assert verdict(alice, "run-1", vkey(alice)) is Verdict.VALID
        assert verdict(alice, "run-1", old) is Verdict.UNKNOWN_KEY
        alice.record()
        opened = note.open_note(log_row(alice).checkpoint, [vkey(alice)])
        assert not opened.unverified
        assert_sound(alice, 4)

    def test_a_remembered_keyring_knows_when_the_overlap_ends(self, alice, monkeypatch):
        alice.record()
        rotate(alice, "checkpoint", timedelta(hours=1))
        keyring = keyring_for(alice.tenant.pk, "live")
        assert len(keyring.checkpoint_signers()) == 2
        later = timezone.now().timestamp() + 3600
        monkeypatch.setattr("receipts.keyring.time.time", lambda: later)
        assert keyring.checkpoint_signers() == [keyring.checkpoint_signer]

    def test_a_tick_retires_the_old_key_once(self, alice):
        grow(alice, 2)
        kid = active_kid(alice, "checkpoint")
        rotate(alice, "checkpoint")
        end_overlaps()
        assert range_of(alice, kid)[0] == "retiring"
        SigningKey.objects.filter(kid=kid).update(overlap_until=timezone.now())
        out = StringIO()
        call_command("tick", stdout=out)
        assert re.search(r"[1-9] checkpoint keys retired", out.getvalue())
        assert range_of(alice, kid) == ("retired", 0, 2)
        event = last_event(alice)
        assert (event.action, event.object_id) == ("signing_key.retired", kid)
        assert (event.actor_kind, event.actor_name) == ("system", "tick")
        end_overlaps()
        assert last_event(alice) == event
        alice.record()
        assert_sound(alice, 4)

    def test_it_can_rotate_again_in_the_overlap(self, alice):
        grow(alice, 1)
        vkeys = [vkey(alice)]
        for _ in range(2):
            rotate(alice, "checkpoint")
            vkeys.append(vkey(alice))
        for pinned in vkeys:
            assert verdict(alice, "run-0", pinned) is Verdict.VALID
        newest_first = [str(key) for key in reversed(vkeys)]
        assert fetch(alice, "/v1/signer/pubkey")["vkeys"] == newest_first
        assert_sound(alice, 3)

    def test_a_quiet_log_is_signed_by_both_as_well(self, alice):
        for _ in range(QUIET_AFTER + 2):
            alice.record()
        old = vkey(alice)
        rotate(alice, "checkpoint")
        for _ in range(QUIET_AFTER + 2):
            alice.record()
            opened = note.open_note(log_row(alice).checkpoint, [old, vkey(alice)])
            assert len(opened.verified) == 2
        assert_sound(alice, 2 * (QUIET_AFTER + 2) + 1)

    def test_a_proof_is_signed_by_keys_of_one_moment(self, alice, monkeypatch):
        """Keys that change between the look-ups of an answer make it look again."""
        grow(alice, 2)
        from receipts import api

        fresh, pending = keyring_for, [1]

        def overtaken(*arguments):
            keyring = fresh(*arguments)
            if pending:
                pending.pop()
                rotate(alice, "checkpoint")
            return keyring

        monkeypatch.setattr(api, "keyring_for", overtaken)
        proof = fetch(alice, receipt_path("run-1", "proof"))["proof"]
        assert proof["vkey"] == str(vkey(alice))
        new = VerifierKey.parse(proof["vkey"])
        assert audit(alice, "run-1").verdict is Verdict.VALID
        for name in ("checkpoint", "key_set"):
            assert note.open_note(proof[name], [new]).verified


def test_the_key_set_note_lists_old_keys(alice):
    grow(alice, 2)
    old = active_kid(alice)
    rotate(alice)
    proof = fetch(alice, receipt_path("run-0", "proof"))["proof"]
    keys = key_set.parse(note.open_note(proof["key_set"], [vkey(alice)]).text)
    assert keys.size == 3
    assert [(key.kid, key.first_index, key.last_index) for key in keys.keys] == [
        (old, 0, 2),
        (active_kid(alice), 3, None),
    ]


def test_a_rotation_costs_writers_no_query(alice, django_assert_max_num_queries):
    alice.record()
    rotate(alice, "checkpoint")
    alice.record()  # looks the keys up again
    # The ledger's own connection on PostgreSQL is not counted.
    with django_assert_max_num_queries(0 if connection.vendor == "postgresql" else 7):
        alice.record()


def test_the_new_key_is_what_the_receipt_says(alice):
    alice.record()
    rotate(alice)
    entry = json.loads(bytes(receipt_row(alice, 1).entry))
    key = SigningKey.objects.get(kid=entry["new_key"]["kid"])
    assert ed25519.thumbprint(bytes(key.public_key)) == key.kid
    assert key.signer().public_key == bytes(key.public_key)


def test_an_entry_of_another_keyring_is_refused_by_itself(alice):
    alice.record()
    keyring = keyring_for(alice.tenant.pk, "live")
    alice.tenant.forget_keys()
    with pytest.raises(StaleKeyring):
        ledger.append_alone(Submission(keyring, []), lambda: None)
