import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receipts.ed25519 import Signer
from receipts.note import (
    COSIGNATURE_V1,
    ED25519,
    InvalidSignature,
    MalformedKey,
    MalformedNote,
    NoteError,
    UnverifiedNote,
    VerifierKey,
    assemble,
    cosign,
    decode_base64,
    open_note,
    parse,
    sign,
)
from tests import vectors

NAME = "lucid.example/log/acme"
WITNESS = "witness.example/w1"
TEXT = "lucid.example/log/acme\n7\nAAAA\n"
SIGNER = Signer(bytes(range(32)))
OTHER = Signer(bytes(32))
KEY = VerifierKey.of(NAME, SIGNER.public_key)
WITNESS_KEY = VerifierKey.of(WITNESS, OTHER.public_key, COSIGNATURE_V1)


def published():
    if not vectors.VECTORS.is_dir():
        return []
    cases = vectors.read_json("signed-note/notes.json")["cases"]
    return [pytest.param(case, id=case["name"]) for case in cases]


@vectors.needs_vectors
@pytest.mark.parametrize("case", published())
def test_it_agrees_with_the_published_notes(case):
    keys = [VerifierKey.parse(vkey) for vkey in case["vkeys"]]
    if case["valid"] is False:
        with pytest.raises(NoteError):
            open_note(case["note"], keys)
        return
    note = open_note(case["note"].encode(), keys)
    found = len(note.verified), len(note.unverified)
    assert found == (case["valid"], case["unverified"])


def signed(text=TEXT):
    return assemble(text, [sign(text, NAME, SIGNER)])


def test_it_opens_what_was_signed():
    note = open_note(signed(), [KEY])
    assert note.text == TEXT
    [signature] = note.verified
    assert (signature.name, signature.algorithm) == (NAME, ED25519)
    assert signature.timestamp is None


def test_a_signature_gives_its_line_again():
    [signature] = open_note(signed(), [KEY]).verified
    assert signature.line == sign(TEXT, NAME, SIGNER)


def test_a_cosignature_states_its_time():
    lines = [sign(TEXT, NAME, SIGNER), cosign(TEXT, WITNESS, OTHER, 1795346231)]
    _, cosignature = open_note(assemble(TEXT, lines), [KEY, WITNESS_KEY]).verified
    assert cosignature.algorithm == COSIGNATURE_V1
    assert cosignature.timestamp == 1795346231


def test_a_cosignature_of_another_time_is_wrong():
    _, [signature] = parse(assemble(TEXT, [cosign(TEXT, WITNESS, OTHER, 1)]))
    later = (2).to_bytes(8, "big") + signature.blob[8:]
    encoded = base64.b64encode(signature.key_id + later).decode()
    with pytest.raises(InvalidSignature):
        open_note(assemble(TEXT, [f"— {WITNESS} {encoded}\n"]), [WITNESS_KEY])


def test_a_plain_signature_is_no_cosignature():
    # The same key under both types: neither can be taken for the other.
    plain = VerifierKey.of(WITNESS, OTHER.public_key)
    with pytest.raises(UnverifiedNote):
        open_note(assemble(TEXT, [cosign(TEXT, WITNESS, OTHER, 1)]), [plain])
    with pytest.raises(UnverifiedNote):
        open_note(assemble(TEXT, [sign(TEXT, WITNESS, OTHER)]), [WITNESS_KEY])


def test_a_cosignature_too_short_for_its_time_is_wrong():
    encoded = base64.b64encode(WITNESS_KEY.key_id + b"\0").decode()
    with pytest.raises(InvalidSignature):
        open_note(assemble(TEXT, [f"— {WITNESS} {encoded}\n"]), [WITNESS_KEY])


@pytest.mark.parametrize("seconds", [-1, 2**63])
def test_no_cosignature_is_made_at_an_impossible_time(seconds):
    with pytest.raises(ValueError, match="seconds"):
        cosign(TEXT, WITNESS, OTHER, seconds)


def test_an_unverified_note_is_inside_the_error():
    with pytest.raises(UnverifiedNote) as caught:
        open_note(signed(), [])
    assert caught.value.note.text == TEXT
    assert [item.name for item in caught.value.note.unverified] == [NAME]


def test_a_signature_repeated_counts_once():
    line = sign(TEXT, NAME, SIGNER)
    stranger = sign(TEXT, "other.example", OTHER)
    note = open_note(assemble(TEXT, [line, stranger, line, stranger]), [KEY])
    assert (len(note.verified), len(note.unverified)) == (1, 1)


def test_one_wrong_signature_by_a_known_key_spoils_the_note():
    other = VerifierKey.of("other.example", OTHER.public_key)
    forged = sign("another text\n", "other.example", OTHER)
    with pytest.raises(InvalidSignature):
        open_note(assemble(TEXT, [sign(TEXT, NAME, SIGNER), forged]), [KEY, other])


def test_every_flipped_bit_is_caught():
    note = signed().encode()
    for bit in range(len(note) * 8):
        flipped = bytearray(note)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(NoteError):
            open_note(bytes(flipped), [KEY])


@given(st.binary(max_size=300))
def test_it_raises_nothing_but_note_errors(data):
    with pytest.raises(NoteError):
        open_note(data, [KEY])


@pytest.mark.parametrize(
    "note",
    [
        pytest.param(b"\xff\n\n\xe2\x80\x94 a AAAAAAA=\n", id="not UTF-8"),
        pytest.param("\ud800\n\n— a AAAAAAA=\n", id="lone surrogate"),
        pytest.param("a\tb\n\n— a AAAAAAA=\n", id="tab"),
        pytest.param("a\n\n— a AAAAAA==\n", id="key id alone"),
        pytest.param("a\n\n— a AAAAAAB=\n", id="bits left over"),
        pytest.param("a\n\n— a AAAA AAA=\n", id="space in base64"),
        pytest.param("a\n\n— a\n", id="no signature"),
        pytest.param("a\n\n— a+b AAAAAAA=\n", id="plus in the name"),
        pytest.param("a\n\n— a\u00a0b AAAAAAA=\n", id="Unicode space in the name"),
        pytest.param("a\n\n—  AAAAAAA=\n", id="empty name"),
        pytest.param("a\n" * 500_000 + "\n— a AAAAAAA=\n", id="over a megabyte"),
        pytest.param("", id="empty"),
    ],
)
def test_a_malformed_note_is_refused(note):
    with pytest.raises(MalformedNote):
        open_note(note, [KEY])


@pytest.mark.parametrize("text", ["", "no newline", "control\x01\n", "cr\r\n"])
def test_only_a_note_text_is_signed(text):
    with pytest.raises(MalformedNote):
        sign(text, NAME, SIGNER)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\nb", "\ud800"])
def test_a_bad_name_is_no_key_name(name):
    with pytest.raises(MalformedNote):
        sign(TEXT, name, SIGNER)
    with pytest.raises(MalformedKey):
        VerifierKey.of(name, SIGNER.public_key)


@pytest.mark.parametrize("key", [KEY, WITNESS_KEY], ids=["plain", "cosigner"])
def test_a_vkey_reads_back(key):
    assert VerifierKey.parse(str(key)) == key


def encoded(algorithm, public_key):
    return base64.b64encode(bytes([algorithm]) + public_key).decode()


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        NAME,
        f"{NAME}+{KEY.key_id.hex()}",
        f"{NAME}+{KEY.key_id.hex()}+",
        f"{NAME}+{KEY.key_id.hex()}+!!!!",
        f"{NAME}+00000000+{encoded(1, SIGNER.public_key)}",
        f"{NAME}+{KEY.key_id.hex().upper()}+{encoded(1, SIGNER.public_key)}",
        f"other.example+{KEY.key_id.hex()}+{encoded(1, SIGNER.public_key)}",
        f"{NAME}+{KEY.key_id.hex()}+{encoded(2, SIGNER.public_key)}",
        f"{NAME}+{KEY.key_id.hex()}+{encoded(1, bytes(32))}",
        f"{NAME}+{KEY.key_id.hex()}+{encoded(1, SIGNER.public_key[:31])}",
        f"{KEY}\n",
    ],
)
def test_a_malformed_vkey_is_refused(vkey):
    with pytest.raises(MalformedKey):
        VerifierKey.parse(vkey)


def test_two_keys_of_one_name_and_id_are_refused():
    twin = VerifierKey(NAME, KEY.key_id, ED25519, OTHER.public_key)
    with pytest.raises(MalformedKey, match="two keys"):
        open_note(signed(), [KEY, twin])


def test_the_same_key_twice_is_one_key():
    assert len(open_note(signed(), [KEY, KEY]).verified) == 1


@given(st.binary(max_size=50))
def test_base64_has_one_spelling(data):
    text = base64.b64encode(data).decode()
    assert decode_base64(text) == data


@pytest.mark.parametrize("text", ["AA", "AB==", "AA==\n", "A-==", "AA==AA==", "é"])
def test_another_spelling_of_base64_is_refused(text):
    with pytest.raises(ValueError, match="base64"):
        decode_base64(text)
