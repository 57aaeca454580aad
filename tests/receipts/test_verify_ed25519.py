import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receipts import ed25519
from receipts.ed25519 import InvalidPublicKey, Signer, check_public_key, verify
from tests import vectors

SEED = bytes(range(32))
MESSAGE = b"message"

P = 2**255 - 19

# The eight points whose order divides 8, then spellings of y beyond the prime.
LOW_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
]
NON_CANONICAL = [
    (number | sign << 255).to_bytes(32, "little").hex()
    for number in range(P, P + 19)
    for sign in (0, 1)
]


def wycheproof():
    if not vectors.VECTORS.is_dir():
        return []
    published = vectors.read_json("wycheproof/testvectors_v1/ed25519_test.json")
    return [
        pytest.param(group["publicKey"]["pk"], case, id=str(case["tcId"]))
        for group in published["testGroups"]
        for case in group["tests"]
    ]


@vectors.needs_vectors
@pytest.mark.parametrize(("public_key", "case"), wycheproof())
def test_it_agrees_with_wycheproof(public_key, case):
    message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
    verified = verify(bytes.fromhex(public_key), message, signature)
    assert verified is (case["result"] == "valid")


def test_it_verifies_a_published_receipt_hash():
    # The last vector of shared/vectors/README.md.
    body = (
        b'{"attestation":{"a":null,"b":1},"compute_passport_id":"ppt_compute_Xn5vR2kJ",'
        b'"image_hash":"img","metrics":{"tokens_in":42,"tokens_out":128,"ttft_ms":85},'
        b'"model_passport_id":"ppt_model_7xK9mQ2v","policy_hash":'
        b'"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",'
        b'"run_id":"run_abc123def456","runtime":"vllm","schema_version":"1.0",'
        b'"timestamp":1795346223,"trace_id":"tr"}'
    )
    receipt_hash = hashlib.sha256(body).digest()
    assert receipt_hash.hex() == (
        "ebd442d1137c15400d93146f58ea81eb1f3d68ff660c37ad552751173f184e9b"
    )
    assert verify(
        bytes.fromhex(
            "382763aaf28623b147912a16f2c255aecae78c351d1e5d0fb4fa42bb10ef4f91"
        ),
        receipt_hash,
        bytes.fromhex(
            "1aa2e978304a9473bea22f424e39a1228587dbec03817303fea890bac2fc014e"
            "5aa2dc577b484cc1f9fd7e0045811777af88fb5c44d390118d5cde06500e5b03"
        ),
    )


@given(st.binary(max_size=200))
def test_it_verifies_what_it_signs(message):
    signer = Signer(SEED)
    assert verify(signer.public_key, message, signer.sign(message))


def test_it_signs_as_rfc_8032_test_1():
    signer = Signer(
        bytes.fromhex(
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
        )
    )
    assert signer.sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )


def test_it_notices_another_message():
    signer = Signer(SEED)
    assert not verify(signer.public_key, b"other", signer.sign(MESSAGE))


def test_it_notices_another_key():
    assert not verify(Signer(bytes(32)).public_key, MESSAGE, Signer(SEED).sign(MESSAGE))


@pytest.mark.parametrize("length", [0, 63, 65])
def test_a_signature_of_another_length_is_none(length):
    signer = Signer(SEED)
    signature = (signer.sign(MESSAGE) + b"\0")[:length]
    assert not verify(signer.public_key, MESSAGE, signature)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_is_none(length):
    signer = Signer(SEED)
    public_key = (signer.public_key + b"\0")[:length]
    assert not verify(public_key, MESSAGE, signer.sign(MESSAGE))
    with pytest.raises(InvalidPublicKey):
        check_public_key(public_key)


@pytest.mark.parametrize("public_key", LOW_ORDER + NON_CANONICAL)
def test_a_weak_key_is_refused(public_key):
    with pytest.raises(InvalidPublicKey):
        check_public_key(bytes.fromhex(public_key))


@pytest.mark.parametrize("public_key", LOW_ORDER)
def test_a_low_order_key_verifies_nothing(public_key):
    # S = 0 and R = A holds for every message hashed to a multiple of the order.
    signature = bytes.fromhex(public_key) + bytes(32)
    messages = [bytes([number]) for number in range(64)]
    key = bytes.fromhex(public_key)
    assert not any(verify(key, message, signature) for message in messages)


def test_a_point_off_the_curve_is_refused():
    with pytest.raises(InvalidPublicKey):
        check_public_key((2).to_bytes(32, "little"))


def test_an_honest_key_is_accepted():
    check_public_key(Signer(ed25519.generate_seed()).public_key)


def test_its_thumbprint_is_that_of_rfc_8037():
    # RFC 8037 appendix A.3
    public_key = bytes.fromhex(
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    )
    assert (
        ed25519.thumbprint(public_key) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    )


def test_a_signer_shows_no_secret():
    assert SEED.hex() not in repr(Signer(SEED))
    assert repr(Signer(SEED)).startswith("<Signer ")


def test_a_signer_needs_a_whole_seed():
    with pytest.raises(ValueError, match="32 bytes"):
        Signer(b"short")
