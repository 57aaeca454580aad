import base64
import json
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receipts import canonical, ed25519, note
from receipts.key_set import KeySet, from_jwks
from receipts.verifier import Verdict, check_entry, split, verify
from tests.receipts.small_log import (
    LOG_KEY,
    LOG_SIGNER,
    ORIGIN,
    RECEIPT_SIGNER,
    WITNESS_SIGNER,
    SmallLog,
    body,
    receipt_key,
    seal,
)

LOG = SmallLog()
RECEIPT = LOG.receipt(3)
PROOF = LOG.proof(3)
JWKS = from_jwks(LOG.jwks())


def failure(result):
    assert not result.steps[-1].ok
    assert all(step.ok for step in result.steps[:-1])
    return result.verdict, result.field


def compact(document):
    return json.dumps(document, separators=(",", ":")).encode()


def revoked_log_key(last_index):
    """The keys of the log by a JWKS in which its own key was revoked."""
    key = receipt_key(LOG_SIGNER, 0, last_index, "revoked")
    return KeySet(ORIGIN, None, (receipt_key(),), (key,))


class TestWhatIsValid:
    @pytest.mark.parametrize("index", range(LOG.size))
    def test_a_receipt_with_its_proof(self, index):
        result = verify(LOG.receipt(index), LOG.proof(index), [LOG_KEY])
        assert result.verdict is Verdict.VALID
        assert all(step.ok for step in result.steps)

    @pytest.mark.parametrize("index", range(LOG.size))
    def test_a_receipt_with_a_tlog_proof(self, index):
        proof = LOG.tlog_proof(index)
        result = verify(LOG.receipt(index), proof, [LOG_KEY], JWKS)
        assert result.verdict is Verdict.VALID

    def test_the_answers_of_the_api_as_they_came(self):
        receipt = compact({"success": True, "receipt": RECEIPT})
        proof = compact({"success": True, "proof": PROOF})
        assert verify(receipt, proof, [LOG_KEY]).verdict is Verdict.VALID

    def test_an_entry_without_extras(self):
        assert verify(LOG.entries[3], PROOF, [LOG_KEY]).verdict is Verdict.VALID

    def test_everything_pinned_leaves_no_notes(self):
        result = verify(RECEIPT, PROOF, [LOG_KEY], JWKS, ORIGIN)
        assert (result.verdict, result.notes) == (Verdict.VALID, ())

    def test_what_was_not_pinned_is_said(self):
        result = verify(RECEIPT, PROOF)
        assert result.verdict is Verdict.VALID
        assert [line.split(" not pinned")[0] for line in result.notes] == [
            "The log's key was",
            "The origin was",
            "The receipt keys were",
        ]

    def test_a_checkpoint_with_cosignatures(self):
        text = note.parse(PROOF["checkpoint"])[0]
        line = note.cosign(text, "witness.example/w1", WITNESS_SIGNER, 1)
        proof = PROOF | {"checkpoint": PROOF["checkpoint"] + line}
        assert verify(RECEIPT, proof, [LOG_KEY]).verdict is Verdict.VALID

    def test_an_old_receipt_of_a_rotated_key(self):
        log = SmallLog(keys=(receipt_key(last=3, status="retired"),))
        result = verify(log.receipt(3), log.proof(3), [LOG_KEY])
        assert result.verdict is Verdict.VALID

    def test_a_log_whose_checkpoint_key_rotates(self):
        new = ed25519.Signer(bytes(32))
        vkey = note.VerifierKey.of(ORIGIN, new.public_key)
        proof = dict(PROOF)
        for name in ("checkpoint", "key_set"):
            text = note.parse(PROOF[name])[0]
            proof[name] += note.sign(text, ORIGIN, new)
        proof["vkey"] = str(vkey)
        assert verify(RECEIPT, proof, [LOG_KEY]).verdict is Verdict.VALID
        assert verify(RECEIPT, proof, [vkey]).verdict is Verdict.VALID

    def test_a_log_key_revoked_after_the_checkpoint(self):
        keys = revoked_log_key(LOG.size - 1)
        assert verify(RECEIPT, PROOF, [LOG_KEY], [keys]).verdict is Verdict.VALID

    def test_a_log_key_revoked_beside_one_that_counts(self):
        new = ed25519.Signer(bytes(32))
        text = note.parse(PROOF["checkpoint"])[0]
        proof = PROOF | {
            "checkpoint": PROOF["checkpoint"] + note.sign(text, ORIGIN, new)
        }
        pinned = [LOG_KEY, note.VerifierKey.of(ORIGIN, new.public_key)]
        result = verify(RECEIPT, proof, pinned, [revoked_log_key(0)])
        assert result.verdict is Verdict.VALID

    def test_it_takes_less_than_two_milliseconds(self):
        receipt, proof = compact(RECEIPT), compact(PROOF)

        def seconds():
            start = perf_counter()
            verify(receipt, proof, [LOG_KEY])
            return perf_counter() - start

        assert min(seconds() for _ in range(20)) < 0.002


class TestWhatIsNot:
    @pytest.mark.parametrize("name", sorted(body(3).keys() - {"metrics"}))
    def test_a_changed_body(self, name):
        result = verify(RECEIPT | {name: "changed"}, PROOF, [LOG_KEY])
        assert failure(result) == (Verdict.INVALID, "receipt_hash")
        assert result.found == RECEIPT["receipt_hash"]
        assert result.expected != result.found

    def test_a_member_added_to_the_body(self):
        result = verify(RECEIPT | {"verified": True}, PROOF, [LOG_KEY])
        assert failure(result) == (Verdict.INVALID, "receipt_hash")

    def test_a_receipt_among_members_that_nobody_signed(self):
        receipt = {"receipt": RECEIPT, "run_id": "another"}
        result = verify(receipt, PROOF, [LOG_KEY])
        assert failure(result) == (Verdict.INVALID, "receipt_hash")

    @pytest.mark.parametrize("signature", ["", None, False])
    def test_nobody_signed(self, signature):
        result = verify(RECEIPT | {"receipt_signature": signature}, PROOF, [LOG_KEY])
        assert failure(result)[0] is Verdict.UNSIGNED

    def test_the_signature_is_left_out(self):
        receipt = {**RECEIPT}
        del receipt["receipt_signature"]
        assert failure(verify(receipt, PROOF, [LOG_KEY]))[0] is Verdict.UNSIGNED

    @pytest.mark.parametrize("signature", ["00" * 64, "00", "zz", 1, "AB" * 64])
    def test_a_wrong_signature(self, signature):
        result = verify(RECEIPT | {"receipt_signature": signature}, PROOF, [LOG_KEY])
        assert failure(result) == (Verdict.INVALID, "receipt_signature")

    def test_the_key_inside_the_receipt_proves_nothing(self):
        forged = seal(body(3) | {"run_id": "forged"}, ed25519.Signer(bytes(32)))
        forged["signer_kid"] = RECEIPT["signer_kid"]
        result = verify(forged, PROOF, [LOG_KEY])
        assert failure(result) == (Verdict.INVALID, "signer_pubkey")

    @pytest.mark.parametrize("kid", ["another", None, [], 1])
    def test_a_kid_nobody_published(self, kid):
        result = verify(RECEIPT | {"signer_kid": kid}, PROOF, [LOG_KEY])
        assert failure(result) == (Verdict.UNKNOWN_KEY, "signer_kid")

    def test_a_receipt_key_not_among_those_pinned(self):
        other = KeySet(ORIGIN, None, (receipt_key(WITNESS_SIGNER),))
        result = verify(RECEIPT, PROOF, [LOG_KEY], [other])
        assert failure(result) == (Verdict.UNKNOWN_KEY, "signer_kid")

    def test_pinned_keys_of_another_log(self):
        elsewhere = from_jwks(SmallLog(origin=f"{ORIGIN}/test").jwks())
        result = verify(RECEIPT, PROOF, [LOG_KEY], elsewhere)
        assert failure(result) == (Verdict.UNKNOWN_KEY, "signer_kid")

    @pytest.mark.parametrize("status", ["retired", "revoked"])
    def test_a_key_used_after_its_last_index(self, status):
        log = SmallLog(keys=(receipt_key(last=2, status=status),))
        result = verify(log.receipt(3), log.proof(3), [LOG_KEY])
        assert failure(result)[0] is Verdict.KEY_REVOKED

    def test_a_key_used_before_its_first_index(self):
        log = SmallLog(keys=(receipt_key(first=4),))
        result = verify(log.receipt(3), log.proof(3), [LOG_KEY])
        assert failure(result)[0] is Verdict.KEY_REVOKED

    @pytest.mark.parametrize("last_index", [0, 3, 5])
    def test_a_checkpoint_by_a_revoked_log_key(self, last_index):
        result = verify(RECEIPT, PROOF, [LOG_KEY], [revoked_log_key(last_index)])
        assert failure(result) == (Verdict.KEY_REVOKED, "checkpoint")
        result = verify(RECEIPT, PROOF, [], [revoked_log_key(last_index)])
        assert failure(result) == (Verdict.KEY_REVOKED, "checkpoint")

    def test_a_witness_does_not_make_up_for_a_revoked_log_key(self):
        text = note.parse(PROOF["checkpoint"])[0]
        line = note.sign(text, "witness.example", WITNESS_SIGNER)
        proof = PROOF | {"checkpoint": PROOF["checkpoint"] + line}
        witness = note.VerifierKey.of("witness.example", WITNESS_SIGNER.public_key)
        result = verify(RECEIPT, proof, [LOG_KEY, witness], [revoked_log_key(0)])
        assert failure(result) == (Verdict.KEY_REVOKED, "checkpoint")

    def test_a_key_set_older_than_the_entry(self):
        stale = LOG.signed(LOG.key_set(size=3).text())
        result = verify(RECEIPT, PROOF | {"key_set": stale}, [LOG_KEY])
        assert failure(result)[0] is Verdict.UNKNOWN_KEY

    def test_a_receipt_never_logged(self):
        result = verify(seal(body(99)), PROOF, [LOG_KEY])
        assert failure(result)[0] is Verdict.NOT_IN_LOG

    def test_the_proof_of_another_receipt(self):
        result = verify(LOG.entries[3], LOG.proof(2), [LOG_KEY])
        assert failure(result)[0] is Verdict.NOT_IN_LOG

    @pytest.mark.parametrize("index", [-1, 2, 4, 7, 2**63, 2**53 - 1])
    def test_another_place_in_the_log(self, index):
        result = verify(RECEIPT, PROOF | {"leaf_index": index}, [LOG_KEY])
        assert failure(result)[0] is Verdict.NOT_IN_LOG

    def test_a_log_that_is_not_the_pinned_one(self):
        stranger = SmallLog(signer=ed25519.Signer(bytes(32)))
        result = verify(stranger.receipt(3), stranger.proof(3), [LOG_KEY])
        assert failure(result) == (Verdict.UNKNOWN_KEY, "checkpoint")

    def test_an_origin_that_is_not_the_pinned_one(self):
        result = verify(RECEIPT, PROOF, [LOG_KEY], None, "other.example/log/acme")
        assert failure(result) == (Verdict.INVALID, "origin")

    def test_a_checkpoint_for_another_origin(self):
        text = (
            f"other.example\n{note.parse(PROOF['checkpoint'])[0].split(chr(10), 1)[1]}"
        )
        result = verify(RECEIPT, PROOF | {"checkpoint": LOG.signed(text)}, [LOG_KEY])
        assert failure(result) == (Verdict.INVALID, "origin")

    def test_a_checkpoint_only_cosigned(self):
        key = note.VerifierKey.of(ORIGIN, WITNESS_SIGNER.public_key, 0x04)
        text = note.parse(PROOF["checkpoint"])[0]
        cosigned = note.assemble(text, [note.cosign(text, ORIGIN, WITNESS_SIGNER, 1)])
        proof = PROOF | {"checkpoint": cosigned, "vkey": str(key)}
        assert failure(verify(RECEIPT, proof)) == (Verdict.INVALID, "origin")

    def test_a_bad_signature_on_the_checkpoint(self):
        other = SmallLog(entries=LOG.entries[:5]).checkpoint()
        head = PROOF["checkpoint"].split("\n\n")[0]
        forged = f"{head}\n\n{other.split(chr(10) * 2)[1]}"
        result = verify(RECEIPT, PROOF | {"checkpoint": forged}, [LOG_KEY])
        assert failure(result) == (Verdict.INVALID, "checkpoint")

    def test_a_key_set_where_the_checkpoint_belongs(self):
        result = verify(RECEIPT, PROOF | {"checkpoint": PROOF["key_set"]}, [LOG_KEY])
        assert failure(result) == (Verdict.INVALID, "checkpoint")

    def test_a_checkpoint_where_the_key_set_belongs(self):
        result = verify(RECEIPT, PROOF | {"key_set": PROOF["checkpoint"]}, [LOG_KEY])
        assert failure(result) == (Verdict.INVALID, "key_set")

    def test_a_key_set_the_log_has_not_signed(self):
        forged = SmallLog(signer=ed25519.Signer(bytes(32)))
        key_set = forged.signed(forged.key_set().text())
        result = verify(RECEIPT, PROOF | {"key_set": key_set}, [LOG_KEY])
        assert failure(result) == (Verdict.UNKNOWN_KEY, "key_set")

    def test_a_key_set_of_another_log(self):
        other = SmallLog(origin="other.example")
        text = other.key_set().text()
        proof = PROOF | {"key_set": LOG.signed(text)}
        assert failure(verify(RECEIPT, proof, [LOG_KEY])) == (
            Verdict.INVALID,
            "key_set",
        )

    def test_a_tlog_proof_without_any_log_key(self):
        result = verify(RECEIPT, LOG.tlog_proof(3), (), JWKS)
        assert failure(result) == (Verdict.UNKNOWN_KEY, "checkpoint")

    def test_a_tlog_proof_without_any_receipt_key(self):
        result = verify(RECEIPT, LOG.tlog_proof(3), [LOG_KEY])
        assert failure(result) == (Verdict.UNKNOWN_KEY, "key_set")

    def test_an_index_in_the_receipt_that_is_not_that_of_the_proof(self):
        result = verify(RECEIPT | {"_mmr_leaf_index": 4}, PROOF, [LOG_KEY])
        assert failure(result) == (Verdict.INVALID, "_mmr_leaf_index")
        assert (result.expected, result.found) == (3, 4)

    @pytest.mark.parametrize("proof", [PROOF, LOG.tlog_proof(3)])
    def test_the_index_is_checked_with_either_proof(self, proof):
        receipt = RECEIPT | {"_mmr_leaf_index": True}
        result = verify(receipt, proof, [LOG_KEY], JWKS)
        assert failure(result) == (Verdict.INVALID, "_mmr_leaf_index")


class TestWhatTheProofRepeats:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("run_id", "run_4"),
            ("receipt_hash", "00" * 32),
            ("leaf", base64.b64encode(b"{}").decode()),
            ("leaf_hash", "00" * 32),
            ("siblings", PROOF["proof"][:-1]),
            ("siblings", []),
            ("directions", PROOF["directions"][::-1]),
            ("root", "00" * 32),
            ("tree_size", 8),
            ("origin", "other.example"),
            ("proof_type", "mmr"),
            ("vkey", LOG_KEY.name),
            ("vkey", str(note.VerifierKey.of(ORIGIN, RECEIPT_SIGNER.public_key))),
        ],
    )
    def test_it_agrees(self, name, value):
        result = verify(RECEIPT, PROOF | {name: value}, [LOG_KEY])
        assert failure(result) == (Verdict.INVALID, name)

    @pytest.mark.parametrize("name", sorted(PROOF))
    def test_it_is_all_there(self, name):
        proof = {key: value for key, value in PROOF.items() if key != name}
        result = verify(RECEIPT, proof, [LOG_KEY])
        assert failure(result) == (Verdict.INVALID, name)

    @pytest.mark.parametrize("name", sorted(PROOF))
    @pytest.mark.parametrize("value", [None, True, 3.0, {}, [None], "\ud800"])
    def test_it_is_of_the_right_type(self, name, value):
        assert verify(RECEIPT, PROOF | {name: value}).verdict is not Verdict.VALID


class TestOneFlippedBit:
    def test_in_a_receipt(self):
        for flipped in flips(canonical.dumps(LOG.entries[3])):
            assert verify(flipped, PROOF, [LOG_KEY]).verdict is not Verdict.VALID

    def test_in_a_proof(self):
        for flipped in flips(compact(PROOF)):
            assert verify(RECEIPT, flipped, [LOG_KEY]).verdict is not Verdict.VALID

    def test_in_a_tlog_proof(self):
        for flipped in flips(LOG.tlog_proof(3).encode()):
            verdict = verify(RECEIPT, flipped, [LOG_KEY], JWKS).verdict
            assert verdict is not Verdict.VALID


def flips(data):
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << at % 8
        yield bytes(flipped)


class TestWhatCannotBeRead:
    @pytest.mark.parametrize("receipt", [b"", b"[]", b"{", b"\xff", b"[" * 9999])
    def test_a_receipt_that_is_none(self, receipt):
        assert failure(verify(receipt, PROOF)) == (Verdict.INVALID, "receipt")

    def test_a_receipt_with_a_member_twice(self):
        result = verify(b'{"run_id": "a", "run_id": "b"}', PROOF)
        assert failure(result) == (Verdict.INVALID, "run_id")

    @pytest.mark.parametrize(
        "proof", ["", "text", b"", b"[]", b"c2sp.org/tlog-proof@v1\xff", b"1"], ids=repr
    )
    def test_a_proof_that_is_none(self, proof):
        assert failure(verify(RECEIPT, proof)) == (Verdict.INVALID, "proof")

    @given(st.binary(), st.binary())
    def test_it_never_raises(self, receipt, proof):
        assert verify(receipt, proof).verdict is Verdict.INVALID

    @pytest.mark.parametrize("value", [float("nan"), 2**60, "\ud800", (1,), {1: 2}])
    def test_a_value_that_has_no_canonical_form(self, value):
        result = verify(RECEIPT | {"run_id": value}, PROOF)
        assert result.verdict is Verdict.INVALID


class TestCheckingAnEntry:
    KEYS = LOG.key_set()

    def check(self, entry, index=3, keys=KEYS):
        return check_entry(entry, keys, index)

    def test_a_stored_entry_is_valid(self):
        entry = canonical.dumps(LOG.entries[3])
        assert self.check(entry).verdict is Verdict.VALID

    def test_a_receipt_is_valid_without_its_extras(self):
        assert self.check(RECEIPT).verdict is Verdict.VALID

    def test_a_stored_entry_is_canonical(self):
        entry = canonical.dumps(LOG.entries[3]).replace(b":", b": ", 1)
        assert failure(self.check(entry)) == (Verdict.INVALID, "receipt")

    def test_every_flipped_bit_is_caught(self):
        for flipped in flips(canonical.dumps(LOG.entries[3])):
            # All but the signer type, which only the log vouches for.
            if b'"signer_type":"orchestrator"' in flipped:
                assert self.check(flipped).verdict is not Verdict.VALID

    def test_a_revoked_key_counts_up_to_its_last_index(self):
        keys = KeySet(ORIGIN, 7, (receipt_key(last=3, status="revoked"),))
        assert self.check(RECEIPT, 3, keys).verdict is Verdict.VALID
        assert self.check(RECEIPT, 4, keys).verdict is Verdict.KEY_REVOKED

    def test_no_keys_know_no_signer(self):
        nobody = KeySet(ORIGIN, 7, ())
        assert self.check(RECEIPT, 3, nobody).verdict is Verdict.UNKNOWN_KEY

    def test_an_unsigned_entry_is_unsigned(self):
        entry = {**LOG.entries[3], "receipt_signature": ""}
        assert self.check(entry).verdict is Verdict.UNSIGNED


def test_a_receipt_splits_into_entry_and_body():
    entry, unsealed = split(RECEIPT)
    assert entry == LOG.entries[3]
    assert unsealed == body(3)


def test_the_verdicts_have_fixed_exit_codes():
    assert {verdict.value: verdict.exit_code for verdict in Verdict} == {
        "VALID": 0,
        "INVALID": 1,
        "UNSIGNED": 2,
        "UNKNOWN_KEY": 3,
        "KEY_REVOKED": 4,
        "NOT_IN_LOG": 5,
        "INCONSISTENT": 6,
        "CONTENT_ERASED": 7,
        "CONTENT_MISMATCH": 8,
    }
