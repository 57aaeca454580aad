import base64

import pytest

from receipts import base58, ed25519
from receipts.key_set import from_jwks
from receipts.models import SigningKey
from receipts.verifier import Verdict, verify
from tests.conftest import new_caller
from tests.receipts.auditor import fetch, read_checkpoint, receipt_path, vkey
from tests.receipts.key_operator import rotate

PATH = "/v1/keys"
JWK = {
    *("kty", "crv", "alg", "use", "kid", "x", "purpose", "mode", "origin"),
    *("status", "first_index", "last_index"),
}


def published(caller, query=""):
    jwks = fetch(caller, PATH + query)
    assert jwks.keys() == {"keys"}
    return jwks["keys"]


def purposes(keys):
    return sorted((key["mode"], key["purpose"]) for key in keys)


class TestOneself:
    def test_it_is_a_receipt_key_and_a_checkpoint_key(self, alice):
        alice.record()
        keys = published(alice)
        assert purposes(keys) == [("live", "checkpoint"), ("live", "receipt")]

    def test_keys_are_there_before_the_first_receipt(self, alice):
        before = published(alice)
        alice.record()
        assert published(alice) == before
        assert purposes(before) == [("live", "checkpoint"), ("live", "receipt")]

    def test_a_test_key_sees_the_keys_of_test_data(self, alice, alice_test):
        alice.record()
        keys = published(alice_test)
        assert purposes(keys) == [("test", "checkpoint"), ("test", "receipt")]

    def test_members_are_public_ones(self, alice):
        keys = published(alice)
        receipt_key, checkpoint_key = sorted(keys, key=len)
        assert receipt_key.keys() == JWK
        assert checkpoint_key.keys() == JWK | {"vkey"}

    def test_each_is_an_ed25519_key_by_its_thumbprint(self, alice):
        for key in published(alice):
            assert (key["kty"], key["crv"], key["use"]) == ("OKP", "Ed25519", "sig")
            public_key = base64.urlsafe_b64decode(key["x"] + "=")
            ed25519.check_public_key(public_key)
            assert key["kid"] == ed25519.thumbprint(public_key)

    def test_a_new_key_counts_from_the_beginning_and_without_end(self, alice):
        for key in published(alice):
            assert key["status"] == "active"
            assert (key["first_index"], key["last_index"]) == (0, None)

    def test_the_origin_names_the_log(self, alice, alice_test):
        slug = alice.tenant.slug
        assert {key["origin"] for key in published(alice)} == {f"localhost/log/{slug}"}
        assert {key["origin"] for key in published(alice_test)} == {
            f"localhost/log/{slug}/test"
        }

    def test_the_vkey_opens_the_checkpoint(self, alice):
        alice.record()
        (stated,) = [key["vkey"] for key in published(alice) if "vkey" in key]
        assert stated == str(vkey(alice))
        note = alice.get(f"/log/{alice.tenant.slug}/checkpoint").content
        assert read_checkpoint(note, vkey(alice)).size == 1

    def test_a_verifier_that_pins_them_finds_receipts_valid(self, alice):
        receipt = alice.record(run_id="run-1")
        proof = fetch(alice, receipt_path("run-1", "proof"))["proof"]
        key_sets = from_jwks(fetch(alice, PATH))
        result = verify(receipt, proof, [vkey(alice)], key_sets, key_sets[0].origin)
        assert (result.verdict, result.notes) == (Verdict.VALID, ())

    def test_old_keys_stay_in_the_list(self, alice):
        receipt = alice.record(run_id="run-1")
        rotate(alice)
        states = {
            key["kid"]: (key["status"], key["last_index"])
            for key in published(alice)
            if key["purpose"] == "receipt"
        }
        assert len(states) == 2
        assert states[receipt["signer_kid"]] == ("retired", 1)

    def test_they_need_a_key(self, alice):
        assert alice.get(PATH, Authorization="").status_code == 401

    def test_any_scope_may_read_them(self, acme):
        caller = new_caller(acme, ("receipts:write",))
        assert len(published(caller)) == 2


class TestANamedTenant:
    @pytest.fixture
    def query(self, alice, alice_test):
        alice.record()
        alice_test.record()
        return f"?tenant={alice.tenant.slug}"

    def test_its_keys_are_for_anybody(self, alice, query):
        answer = alice.get(PATH + query, Authorization="")
        assert answer.status_code == 200
        assert len(answer.json()["keys"]) == 4

    def test_they_are_those_of_both_modes(self, charlie, query):
        assert purposes(published(charlie, query)) == [
            ("live", "checkpoint"),
            ("live", "receipt"),
            ("test", "checkpoint"),
            ("test", "receipt"),
        ]

    def test_they_are_a_key_set_for_each_log(self, alice, query):
        origins = [keys.origin for keys in from_jwks(fetch(alice, PATH + query))]
        assert sorted(origins) == [
            f"localhost/log/{alice.tenant.slug}",
            f"localhost/log/{alice.tenant.slug}/test",
        ]

    def test_a_tenant_without_a_log_has_none(self, charlie):
        query = f"?tenant={charlie.tenant.slug}"
        assert charlie.get(PATH + query, Authorization="").json() == {"keys": []}

    @pytest.mark.parametrize("slug", ["nobody", "", "a b", "%F0%9F%98%80", "ACME"])
    def test_an_unknown_one_is_404(self, alice, slug):
        answer = alice.get(f"{PATH}?tenant={slug}", Authorization="")
        assert answer.status_code == 404
        assert answer.json()["error_code"] == "NOT_FOUND"

    def test_a_bad_key_is_refused_all_the_same(self, alice, query):
        answer = alice.get(PATH + query, Authorization="Bearer lk_live_nonsense")
        assert answer.status_code == 401


class TestTheSigner:
    def test_it_is_whose_signatures_receipts_carry(self, alice):
        receipt = alice.record()
        signer = fetch(alice, "/v1/signer/pubkey")
        assert signer.keys() == {
            *("success", "signer_type", "pubkey", "pubkey_hex"),
            *("kid", "origin", "vkey", "vkeys"),
        }
        assert signer["vkeys"] == [signer["vkey"]]
        assert signer["signer_type"] == receipt["signer_type"] == "orchestrator"
        assert signer["pubkey"] == receipt["signer_pubkey"]
        assert signer["kid"] == receipt["signer_kid"]

    def test_both_spellings_are_of_one_key(self, alice):
        signer = fetch(alice, "/v1/signer/pubkey")
        assert base58.decode(signer["pubkey"]).hex() == signer["pubkey_hex"]

    def test_it_is_the_new_key_after_a_rotation(self, alice):
        alice.record()
        before = fetch(alice, "/v1/signer/pubkey")
        rotate(alice)
        after = fetch(alice, "/v1/signer/pubkey")
        assert after["kid"] != before["kid"]
        assert after["vkey"] == before["vkey"]
        assert alice.record()["signer_kid"] == after["kid"]

    def test_each_tenant_and_mode_has_its_own(self, alice, alice_test, charlie):
        kids = {
            fetch(caller, "/v1/signer/pubkey")["kid"]
            for caller in (alice, alice_test, charlie)
        }
        assert len(kids) == 3


def test_seeds_are_sealed_in_the_database(alice):
    alice.record()
    for key in SigningKey.objects.filter(tenant=alice.tenant):
        sealed = bytes(key.sealed_seed)
        # 24 bytes of nonce, 16 of MAC, and no public key to compare a seed with.
        assert len(sealed) == 24 + 16 + 32
        assert bytes(key.public_key) not in sealed
        assert ed25519.Signer(sealed[-32:]).public_key != bytes(key.public_key)
