import base64

import pytest

from receipts import checkpoint, ed25519
from receipts.key_set import KeySet, KeySetError, ReceiptKey, from_jwks, parse
from tests.receipts.small_log import (
    LOG_SIGNER,
    ORIGIN,
    RECEIPT_SIGNER,
    SmallLog,
    receipt_key,
)

OLD = receipt_key(LOG_SIGNER, 0, 4, "retired")
STOLEN = receipt_key(ed25519.Signer(bytes(32)), 5, 9, "revoked")
NEW = receipt_key(RECEIPT_SIGNER, 10)
KEYS = KeySet(ORIGIN, 12, (OLD, STOLEN, NEW))


def test_a_key_set_reads_back():
    assert parse(KEYS.text()) == KEYS


def test_a_key_set_is_these_lines():
    encoded = base64.b64encode(NEW.public_key).decode()
    assert KeySet(ORIGIN, 12, (NEW,)).text() == (
        f"{ORIGIN}/keys\nlucid-key-set/v1\nsize 12\n{NEW.kid} {encoded} 10 - active\n"
    )


def test_a_key_set_may_be_empty():
    empty = KeySet(ORIGIN, 0, ())
    assert parse(empty.text()) == empty


def test_a_key_set_is_no_checkpoint():
    with pytest.raises(checkpoint.CheckpointError):
        checkpoint.parse(KEYS.text())


@pytest.mark.parametrize("origin", [ORIGIN, f"{ORIGIN}/keys"])
def test_a_checkpoint_is_no_key_set(origin):
    head = checkpoint.Checkpoint(origin, 12, bytes(32))
    with pytest.raises(KeySetError):
        parse(head.text())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/keys\n", "\n"),
        ("key-set/v1", "key-set/v2"),
        ("size 12", "size 012"),
        ("size 12", "12"),
        (" 10 -", " 010 -"),
        (" 10 -", " -1 -"),
        (" 10 -", " 10  -"),
        ("- active", "- retired"),
        ("- active", "- unknown"),
        ("- active", "- active "),
        (" 4 retired", " - retired"),
        (OLD.kid, NEW.kid),
        (OLD.kid, OLD.kid[:-1]),
        ("= 0 4", " 0 4"),
        ("active\n", "active\n\n"),
        ("active\n", "active"),
    ],
)
def test_a_malformed_key_set_is_refused(old, new):
    text = KEYS.text()
    assert old in text
    with pytest.raises(KeySetError):
        parse(text.replace(old, new, 1))


def test_a_key_counts_from_its_first_to_its_last_index():
    counting = [index for index in range(20) if STOLEN.counts_at(index)]
    assert counting == [5, 6, 7, 8, 9]


NEVER = receipt_key(ed25519.Signer(b"never".ljust(32, b".")), 1, 0, "revoked")


def test_a_key_that_never_counts_has_an_empty_range():
    keys = KeySet(ORIGIN, 12, (NEVER, NEW))
    assert keys.text().splitlines()[3].endswith(" 1 0 revoked")
    assert parse(keys.text()) == keys
    assert not any(NEVER.counts_at(index) for index in (0, 1, 2, 2**63 - 1))


def test_an_index_is_revoked_after_the_last_one():
    assert [index for index in range(12) if STOLEN.is_revoked_at(index)] == [10, 11]
    assert all(NEVER.is_revoked_at(index) for index in range(12))


@pytest.mark.parametrize("key", [OLD, NEW])
def test_no_index_is_revoked_of_a_key_that_is_not(key):
    assert not any(key.is_revoked_at(index) for index in range(12))


def test_an_open_range_does_not_end():
    assert NEW.counts_at(2**63 - 1)
    assert not NEW.counts_at(9)


def test_a_key_is_found_by_its_kid():
    assert KEYS.find(NEW.kid) is NEW
    assert KEYS.find("unknown") is None


def test_a_signed_set_speaks_for_entries_below_its_size():
    assert KEYS.speaks_for(11)
    assert not KEYS.speaks_for(12)


def test_a_key_listed_twice_is_refused():
    with pytest.raises(KeySetError, match="twice"):
        KeySet(ORIGIN, 12, (NEW, NEW))


@pytest.mark.parametrize("public_key", [bytes(32), b"\x01".ljust(32, b"\0"), b"short"])
def test_a_weak_key_is_refused(public_key):
    with pytest.raises(KeySetError):
        ReceiptKey(ed25519.thumbprint(public_key), public_key, 0, None, "active")


def jwks():
    return SmallLog(keys=(OLD, STOLEN, NEW)).jwks()


def test_a_jwks_gives_the_same_keys():
    assert from_jwks(jwks()) == [KeySet(ORIGIN, None, (OLD, STOLEN, NEW))]


def test_a_jwks_gives_a_set_for_each_log():
    both = jwks()
    test_mode = SmallLog(keys=(NEW,), origin=f"{ORIGIN}/test").jwks()
    both["keys"] += test_mode["keys"]
    assert [(keys.origin, len(keys.keys)) for keys in from_jwks(both)] == [
        (ORIGIN, 3),
        (f"{ORIGIN}/test", 1),
    ]


def test_a_jwks_has_checkpoint_keys_too():
    with_log_key = jwks()
    with_log_key["keys"].append({"purpose": "checkpoint", "vkey": SmallLog().vkey})
    assert from_jwks(with_log_key) == from_jwks(jwks())


def log_key(**members):
    key = SmallLog().jwk(receipt_key(LOG_SIGNER, 0, 4, "revoked"))
    return key | {"purpose": "checkpoint"} | members


def test_a_revoked_checkpoint_key_of_a_jwks_is_kept():
    document = jwks()
    document["keys"].append(log_key())
    [keys] = from_jwks(document)
    assert keys.keys == (OLD, STOLEN, NEW)
    [revoked] = keys.revoked_log_keys
    assert revoked.public_key == LOG_SIGNER.public_key
    assert revoked.is_revoked_at(5)


@pytest.mark.parametrize("status", ["active", "retiring", "retired"])
def test_another_checkpoint_key_of_a_jwks_is_passed_over(status):
    document = jwks()
    document["keys"].append(log_key(status=status))
    assert from_jwks(document) == from_jwks(jwks())


@pytest.mark.parametrize("change", [{"x": None}, {"last_index": None}, {"kid": "x"}])
def test_a_malformed_revoked_checkpoint_key_is_refused(change):
    document = jwks()
    document["keys"].append(log_key(**change))
    with pytest.raises(KeySetError):
        from_jwks(document)


def test_a_set_out_of_a_jwks_has_no_text():
    [keys] = from_jwks(jwks())
    with pytest.raises(KeySetError, match="size"):
        keys.text()


@pytest.mark.parametrize(
    "change",
    [
        {"kty": "EC"},
        {"crv": "X25519"},
        {"use": "enc"},
        {"x": "AAAA"},
        {"x": "A" * 43},
        {"x": "!" * 43},
        {"x": None},
        {"kid": "another"},
        {"kid": None},
        {"status": "lost"},
        {"status": []},
        {"first_index": -1},
        {"first_index": "0"},
        {"first_index": True},
        {"last_index": 2**63},
        {"last_index": None},
        {"origin": []},
    ],
    ids=str,
)
def test_a_malformed_key_in_a_jwks_is_refused(change):
    malformed = jwks()
    malformed["keys"][0] |= change
    with pytest.raises(KeySetError):
        from_jwks(malformed)


@pytest.mark.parametrize("name", sorted(SmallLog().jwks()["keys"][0].keys() - {"mode"}))
def test_a_jwks_lacks_nothing(name):
    lacking = jwks()
    del lacking["keys"][0][name]
    with pytest.raises(KeySetError):
        from_jwks(lacking)


@pytest.mark.parametrize("document", [None, [], "", {}, {"keys": {}}, {"keys": [1]}])
def test_anything_else_is_no_jwks(document):
    with pytest.raises(KeySetError):
        from_jwks(document)
