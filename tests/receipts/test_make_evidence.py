"""Evidence of receipts, as the API and the pages hand it out."""

import io
import json
import zipfile
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from lucid.isolation import working_for
from receipts import evidence, manifest, merkle, tlog_proof
from receipts.bundle import About, SignedHead
from receipts.bundle_verifier import verify_bundle
from receipts.key_changes import revoke_key, rotate_key
from receipts.key_publication import jwks
from receipts.key_set import from_jwks
from receipts.ledger import LedgerUnavailable
from receipts.models import Log, Receipt, SigningKey
from receipts.note import VerifierKey
from receipts.reader import LogReader
from receipts.verifier import Verdict, verify
from tenants import events
from tenants.models import AccessEvent, Mode
from tests.receipts.auditor import entry_of, grow, receipt_path, vkey
from tests.receipts.bundles import unpacked
from tests.receipts.tampering import change_entry, log_row
from tests.tenants.people import after, new_person

MADE = About("2026-11-26T14:03:00Z", "auditor@example.com", {})
OPERATOR = events.Actor(events.ActorKind.COMMAND, name="operator")


@pytest.fixture
def check(tmp_path):
    def verified(data, *pinned):
        path = tmp_path / "evidence.zip"
        path.write_bytes(data)
        return verify_bundle(path, *pinned)

    return verified


def bundle_of(caller, **conditions):
    """Pack receipts of a caller's log as pages do: outside of any tenant."""
    with working_for(caller.tenant.pk):
        rows = Receipt.objects.of_log(caller.tenant.pk, caller.key.mode)
        rows = rows.filter(**conditions)
        log, head = evidence.head_of(caller.tenant.pk, caller.key.mode)
    with working_for():
        return b"".join(evidence.bundle(rows, log, head, MADE))


def get(caller, name, query="?format=bundle"):
    return caller.get(receipt_path(name, "evidence") + query)


class TestOverTheApi:
    def test_the_proof_is_a_tlog_proof(self, alice):
        receipt = grow(alice, 3)[1]
        answer = get(alice, "run-1", "")
        assert answer.status_code == 200
        assert answer["Content-Type"] == "text/plain; charset=utf-8"
        assert 'filename="1.tlog-proof"' in answer["Content-Disposition"]
        proof = tlog_proof.parse(answer.content.decode())
        assert (proof.index, len(proof.hashes)) == (1, 2)
        keys = alice.get(receipt_path("run-1", "proof")).json()["proof"]
        assert proof.checkpoint == keys["checkpoint"]
        leaf = merkle.leaf_hash(entry_of(receipt))
        root = bytes.fromhex(keys["root"])
        merkle.verify_inclusion(1, 3, leaf, proof.hashes, root)

    def test_the_proof_verifies_with_pinned_keys(self, alice):
        receipt = grow(alice, 2)[0]
        proof = get(alice, receipt["receipt_id"], "?format=tlog-proof").content
        sets = from_jwks(alice.get("/v1/keys").json())
        assert verify(receipt, proof, [vkey(alice)], sets).verdict is Verdict.VALID

    def test_the_bundle_verifies_offline(self, alice, check):
        receipt = grow(alice, 3)[1]
        answer = get(alice, "run-1")
        assert (answer.status_code, answer["Content-Type"]) == (200, "application/zip")
        assert answer["Content-Disposition"] == (
            f'attachment; filename="lucid-evidence-{alice.tenant.slug}-receipt-1.zip"'
        )
        assert int(answer["Content-Length"]) == len(answer.content)
        result = check(answer.content, [vkey(alice)])
        assert (result.verdict, result.receipts) == (Verdict.VALID, 1)
        files = unpacked(answer.content)
        assert files["receipts/1.json"] == entry_of(receipt)
        said = json.loads(files[manifest.MANIFEST])
        assert said["filters"] == {"receipt_id": receipt["receipt_id"]}
        assert said["receipts"] == [
            {"leaf_index": 1, "receipt_id": receipt["receipt_id"]}
        ]
        assert said["made_by"] == alice.key.prefix

    def test_it_is_found_by_either_id(self, alice):
        receipt = grow(alice, 1)[0]
        files = [unpacked(get(alice, name).content) for name in ("run-0",)]
        files += [unpacked(get(alice, receipt["receipt_id"]).content)]
        assert files[0]["receipts/0.json"] == files[1]["receipts/0.json"]

    def test_test_data_says_that_it_is(self, alice_test, check):
        grow(alice_test, 1)
        answer = get(alice_test, "run-0")
        assert "-test-receipt-0.zip" in answer["Content-Disposition"]
        assert check(answer.content).verdict is Verdict.VALID

    def test_another_format_is_400(self, alice):
        grow(alice, 1)
        answer = get(alice, "run-0", "?format=pdf")
        assert answer.status_code == 400
        assert answer.json()["details"].keys() == {"format"}

    def test_it_may_be_read_by_whoever_may_read_receipts(self, alice, bob):
        grow(alice, 1)
        assert get(bob, "run-0").status_code == 200

    def test_a_bundle_is_an_access_event_and_a_proof_is_none(self, alice):
        receipt = grow(alice, 2)[0]
        get(alice, "run-0", "")
        assert not exported(alice)
        get(alice, "run-0")
        (event,) = exported(alice)
        assert (event.object_kind, event.object_id) == (
            "receipt",
            receipt["receipt_id"],
        )
        assert event.actor_name == alice.key.prefix
        assert after(event) == {
            "mode": "live",
            "filters": {},
            "count": 1,
            "log_size": 2,
        }

    def test_while_keys_keep_changing_it_is_503(self, alice, monkeypatch):
        grow(alice, 1)

        def changing(*_):
            raise LedgerUnavailable

        monkeypatch.setattr("receipts.evidence.head_of", changing)
        assert get(alice, "run-0").status_code == 503


def exported(caller):
    rows = AccessEvent.objects.filter(tenant=caller.tenant, action="evidence.exported")
    return list(rows.order_by("id"))


class TestOnThePage:
    @pytest.fixture
    def auditor(self, acme):
        return new_person(acme, "auditor")

    def test_a_receipt_is_taken_away(self, alice, auditor, check):
        receipt = grow(alice, 2)[1]
        answer = auditor.get(f"/receipts/{receipt['receipt_id']}/evidence")
        assert answer.status_code == 200
        assert check(answer.content, [vkey(alice)]).verdict is Verdict.VALID
        assert "receipt-1.zip" in answer["Content-Disposition"]
        (event,) = exported(alice)
        assert event.actor_name == auditor.user.email

    def test_what_is_not_there_is_404(self, auditor):
        path = "/receipts/01a20420-4999-7657-a334-894683d401f8/evidence"
        assert auditor.get(path).status_code == 404

    def test_each_mode_has_its_own(self, alice, alice_test, auditor):
        grow(alice, 1)
        receipt = grow(alice_test, 1)[0]
        path = f"/receipts/{receipt['receipt_id']}/evidence"
        assert auditor.get(path).status_code == 404
        assert auditor.get(f"{path}?mode=test").status_code == 200


class TestKeys:
    def test_a_rotated_key_stays_valid(self, alice, check):
        grow(alice, 2)
        for purpose in ("receipt", "checkpoint"):
            rotate_key(alice.tenant, Mode.LIVE, purpose, OPERATOR, "yearly")
        grow(alice, 2)
        result = check(bundle_of(alice))
        assert (result.verdict, result.receipts) == (Verdict.VALID, 6)

    def test_a_log_key_that_is_taking_over_signs_beside_the_old(self, alice, check):
        grow(alice, 1)
        old = vkey(alice)
        rotate_key(alice.tenant, Mode.LIVE, "checkpoint", OPERATOR, "yearly")
        data = bundle_of(alice)
        assert check(data, [old]).verdict is Verdict.VALID
        assert check(data, [vkey(alice)]).verdict is Verdict.VALID
        assert old != vkey(alice)

    def test_a_log_key_that_has_been_taken_over_from_is_unknown(self, alice, check):
        grow(alice, 1)
        old, none = vkey(alice), timedelta(seconds=0)
        rotate_key(alice.tenant, Mode.LIVE, "checkpoint", OPERATOR, "yearly", none)
        grow(alice, 1)
        assert check(bundle_of(alice), [old]).verdict is Verdict.UNKNOWN_KEY

    def test_a_revoked_key_is_revoked_from_its_last_index_on(self, alice, check):
        grow(alice, 4)
        key = SigningKey.objects.get(tenant=alice.tenant, purpose="receipt")
        revoke_key(key, 1, OPERATOR, "stolen")
        result = check(bundle_of(alice), [vkey(alice)])
        assert result.verdict is Verdict.KEY_REVOKED
        assert result.verdicts == {"VALID": 3, "KEY_REVOKED": 2}

    def test_a_revoked_log_key_signs_nothing_any_more(self, alice, check):
        grow(alice, 2)
        stolen = vkey(alice)
        key = SigningKey.objects.get(tenant=alice.tenant, purpose="checkpoint")
        revoke_key(key, 1, OPERATOR, "stolen")
        data = bundle_of(alice)
        assert check(data, [vkey(alice)]).verdict is Verdict.VALID
        assert check(data, [stolen]).verdict is Verdict.UNKNOWN_KEY

    def test_the_keys_of_the_bundle_are_those_of_one_moment(self, alice, monkeypatch):
        """A key changes between the look-ups: all is read once more."""
        grow(alice, 1)
        read, times = jwks, [0]

        def meanwhile(*names):
            times[0] += 1
            if times[0] == 1:
                rotate_key(alice.tenant, Mode.LIVE, "receipt", OPERATOR, "now")
            return read(*names)

        monkeypatch.setattr("receipts.evidence.jwks", meanwhile)
        log, head = evidence.head_of(alice.tenant.pk, Mode.LIVE)
        assert (times, log.size) == ([2], 2)
        assert head.key_set.count(" active\n") == 1
        assert isinstance(head, SignedHead)


@pytest.mark.usefixtures("database")
class TestMany:
    @pytest.mark.parametrize("chunk", [1, 7, 256, 500])
    def test_all_of_a_long_log_verify(self, six_hundred, check, monkeypatch, chunk):
        monkeypatch.setattr(evidence, "CHUNK", chunk)
        result = check(bundle_of(six_hundred.caller))
        assert (result.verdict, result.receipts) == (Verdict.VALID, 600)

    @pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 513])
    def test_proofs_of_many_are_those_of_each(self, six_hundred, size):
        row = log_row(six_hundred.caller)
        head = Log(pk=row.pk, tenant_id=row.tenant_id, size=size)
        reader = LogReader(head)
        many = reader.inclusion_proofs(range(size))
        one = [LogReader(head).inclusion_proof(n, size) for n in range(0, size, 37)]
        assert many[::37] == one

    def test_a_filter_takes_some(self, six_hundred, check):
        names = ["run-5", "run-300", "run-599"]
        data = bundle_of(six_hundred.caller, run_id__in=names)
        result = check(data)
        assert (result.verdict, result.receipts) == (Verdict.VALID, 3)
        assert {n for n in unpacked(data) if n.startswith("receipts/")} == {
            "receipts/5.json",
            "receipts/300.json",
            "receipts/599.json",
        }

    def test_there_are_as_many_queries_as_chunks_and_a_few(
        self, six_hundred, monkeypatch
    ):
        """Two to a chunk, however many receipts it has; partial tiles are read once."""
        monkeypatch.setattr(evidence, "CHUNK", 100)
        counts = []
        for chunks in (2, 5):
            with CaptureQueriesContext(connection) as queries:
                bundle_of(six_hundred.caller, leaf_index__lt=100 * chunks)
            counts.append(len(queries))
        assert counts[1] - counts[0] <= 3 * 2
        assert counts[1] <= 20

    def test_what_is_appended_meanwhile_is_not_in_it(self, alice, check):
        grow(alice, 3)
        rows = Receipt.objects.of_log(alice.tenant.pk, Mode.LIVE)
        log, head = evidence.head_of(alice.tenant.pk, Mode.LIVE)
        pieces = evidence.bundle(rows, log, head, MADE)
        grow(alice, 3)
        result = check(b"".join(pieces))
        assert (result.verdict, result.receipts) == (Verdict.VALID, 3)

    def test_the_same_receipts_give_the_same_bytes(self, six_hundred):
        one, other = (bundle_of(six_hundred.caller) for _ in range(2))
        assert one == other

    def test_it_comes_in_pieces_and_what_breaks_off_is_no_zip(self, six_hundred, check):
        caller = six_hundred.caller
        rows = Receipt.objects.of_log(caller.tenant.pk, Mode.LIVE)
        log, head = evidence.head_of(caller.tenant.pk, Mode.LIVE)
        pieces = list(evidence.bundle(rows, log, head, MADE))
        assert len(pieces) > 3
        assert max(map(len, pieces[:-1])) < 200_000
        broken = b"".join(pieces[:-1])
        with pytest.raises(zipfile.BadZipFile):
            zipfile.ZipFile(io.BytesIO(broken))
        assert check(broken).verdict is Verdict.INVALID

    def test_a_slow_download_holds_no_connection(self, six_hundred):
        caller = six_hundred.caller
        rows = Receipt.objects.of_log(caller.tenant.pk, Mode.LIVE)
        log, head = evidence.head_of(caller.tenant.pk, Mode.LIVE)
        for _ in evidence.bundle(rows, log, head, MADE):
            assert connection.connection is None

    def test_a_download_that_nobody_waits_for_ends_quietly(self, six_hundred):
        caller = six_hundred.caller
        rows = Receipt.objects.of_log(caller.tenant.pk, Mode.LIVE)
        log, head = evidence.head_of(caller.tenant.pk, Mode.LIVE)
        pieces = evidence.bundle(rows, log, head, MADE)
        next(pieces)
        pieces.close()  # type: ignore[attr-defined]  # as a server does when the client has gone


class TestWhatTheDatabaseHas:
    def test_a_changed_row_is_found_out(self, alice, check):
        grow(alice, 3)
        change_entry(alice, 1, runtime="other")
        result = check(bundle_of(alice), [vkey(alice)])
        assert result.verdict is Verdict.INVALID
        assert result.field == "receipts/1.json: receipt_hash"

    def test_pinned_as_a_vkey_is_written(self, alice, check):
        grow(alice, 1)
        data = bundle_of(alice)
        said = json.loads(unpacked(data)[manifest.MANIFEST])
        (only,) = said["log"]["vkeys"]
        assert check(data, [VerifierKey.parse(only)]).verdict is Verdict.VALID
        assert only in unpacked(data)[manifest.README].decode()
