"""Receipts and proofs, good ones and every way to spoil them, for two verifiers.

What a case is called says what was done. No verdict is written down here: the browser
has to find what `receipts.verifier` finds, whatever that is.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from receipts import canonical, ed25519, note
from receipts.checkpoint import Checkpoint
from receipts.key_set import from_jwks
from receipts.note import VerifierKey
from receipts.verifier import Result, verify
from tests.receipts.small_log import (
    LOG_KEY,
    LOG_SIGNER,
    ORIGIN,
    WITNESS_SIGNER,
    SmallLog,
    body,
    receipt_key,
    seal,
)

STRANGER = ed25519.Signer(bytes(32))
BEYOND = [None, True, False, 0, 3.0, -1, "", "x", "00" * 32, [], [None], {}, {"a": 1}]


@dataclass(frozen=True)
class Case:
    name: str
    receipt: bytes
    proof: bytes
    vkeys: tuple[str, ...] = (str(LOG_KEY),)
    jwks: Any = None
    origin: str | None = None

    def verify(self) -> Result:
        keys = [VerifierKey.parse(vkey) for vkey in self.vkeys]
        key_sets = None if self.jwks is None else from_jwks(self.jwks)
        return verify(self.receipt, self.proof, keys, key_sets, self.origin)

    def for_browser(self) -> dict[str, Any]:
        return {
            "receipt": base64.b64encode(self.receipt).decode(),
            "proof": base64.b64encode(self.proof).decode(),
            "vkeys": self.vkeys,
            "jwks": None if self.jwks is None else json.dumps(self.jwks),
            "origin": self.origin,
        }


def dumps(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


TYPES: list[dict[str, Any]] = [
    body(0),
    body(1)
    | {
        "trace_id": "tr",
        "attestation": {
            "a": None,
            "b": [1, 1.5, 1e-7, 1e21, -0.0, 100.0],
            "é": "\u2028",
        },
        "metrics": {"ttft_ms": 85, "tokens_in": 2**53 - 1, "tokens_out": 0},
    },
    {
        "schema_version": "1.0",
        "receipt_type": "inference",
        "run_id": "call-\U0001f600",
        "timestamp": 1795346223,
        "issued_at": 1795346224,
        "orchestration_id": "maip-orch:01KATVZ3Z0N4YB6T7V9H2QWE5R",
        "agent_id": "summarizer",
        "model": "gpt-4o",
        "provider": "openai",
        "usage": {"input": 120, "output": 40},
        "cost": {"amount": "0.05439", "currency": "USD", "unit": "cent"},
        "observed": "witnessed",
    },
    {
        "schema_version": "1.0",
        "receipt_type": "orchestration",
        "run_id": "maip-orch:01KATVZ3Z0N4YB6T7V9H2QWE5R",
        "timestamp": 1795346223,
        "issued_at": 1795346224,
        "orchestration_id": "maip-orch:01KATVZ3Z0N4YB6T7V9H2QWE5R",
        "status": "completed",
        "totals": {"calls": 1, "cost_cents": "0.05439"},
        "inferences": {"count": 1, "root": "00" * 32},
    },
    {
        "schema_version": "1.0",
        "receipt_type": "action",
        "run_id": "act-1",
        "timestamp": 0,
        "issued_at": 1,
        "action": "tool_invocation",
        "metadata": {"\ufb33": 1, "\U0001f600": 2, 'quo"te\\': "\u0000\u001f\u007f"},
    },
    {
        "schema_version": "1.0",
        "receipt_type": "key_rotation",
        "run_id": "rotation-1",
        "timestamp": 1,
        "issued_at": 1,
        "new_kid": "x",
        "reason": "",
    },
    {
        "schema_version": "1.0",
        "receipt_type": "adjustment",
        "run_id": "adjustment-1",
        "timestamp": 1,
        "issued_at": 1,
        "receipt_id": "an extra, which nobody signs",
    },
]

LOG = SmallLog()
RECEIPT, PROOF = LOG.receipt(3), LOG.proof(3)


def cases() -> list[Case]:
    """Every case, each with a name of its own."""
    made = [
        *good(),
        *logs_of_every_size(),
        *spoilt_receipts(),
        *spoilt_proofs(),
        *spoilt_tlog_proofs(),
        *spoilt_notes(),
        *key_ranges(),
        *pins(),
        *spellings(),
    ]
    assert len({case.name for case in made}) == len(made)
    return made


GOOD = Case("good", dumps(RECEIPT), dumps(PROOF))


def with_receipt(name: str, receipt: Any) -> Case:
    return replace(GOOD, name=f"receipt: {name}", receipt=dumps(receipt))


def with_proof(name: str, proof: Any) -> Case:
    return replace(GOOD, name=f"proof: {name}", proof=dumps(proof))


def good() -> Iterator[Case]:
    log = SmallLog([seal(unsealed) for unsealed in TYPES])
    for index, unsealed in enumerate(TYPES):
        kind = f"{unsealed['receipt_type']} {index}"
        receipt, proof = dumps(log.receipt(index)), dumps(log.proof(index))
        yield Case(f"good {kind}", receipt, proof)
        yield Case(f"good {kind}, nothing pinned", receipt, proof, ())
        tlog_proof = log.tlog_proof(index).encode()
        yield Case(f"good {kind}, tlog-proof", receipt, tlog_proof, jwks=log.jwks())
        wrapped = dumps({"success": True, "receipt": log.receipt(index)})
        answered = dumps({"success": True, "proof": log.proof(index)})
        yield Case(f"good {kind}, as the API answers", wrapped, answered)
        entry = canonical.dumps(log.entries[index])
        yield Case(f"good {kind}, the entry alone", entry, proof)


def logs_of_every_size() -> Iterator[Case]:
    entries = [seal(body(number)) for number in range(20)]
    for size in (1, 2, 3, 4, 5, 8, 9, 16, 17, 20):
        log = SmallLog(entries[:size])
        for index in {0, size // 2, size - 1}:
            receipt, proof = dumps(log.receipt(index)), dumps(log.proof(index))
            yield Case(f"entry {index} of {size}", receipt, proof)


def spoilt_receipts() -> Iterator[Case]:
    for name in sorted(RECEIPT):
        yield with_receipt(f"{name} is left out", _without(RECEIPT, name))
        for value in BEYOND:
            yield with_receipt(f"{name} is {value!r}", RECEIPT | {name: value})
    yield with_receipt("a member added", RECEIPT | {"verified": True})
    yield with_receipt("another's envelope", {"receipt": RECEIPT, "run_id": "x"})
    yield with_receipt("never logged", seal(body(99)))
    yield with_receipt("another", LOG.receipt(2))
    forged = seal(body(3) | {"run_id": "forged"}, STRANGER)
    yield with_receipt("by a stranger", forged)
    for member in ("signer_kid", "signer_pubkey", "receipt_signature"):
        yield with_receipt(
            f"by a stranger under our {member}", forged | {member: RECEIPT[member]}
        )
    upper = RECEIPT["receipt_hash"].upper()
    yield with_receipt("an upper-case hash", RECEIPT | {"receipt_hash": upper})
    signature = bytes.fromhex(RECEIPT["receipt_signature"])
    for name, spoilt in _signatures(signature).items():
        yield with_receipt(name, RECEIPT | {"receipt_signature": spoilt.hex()})


def _signatures(signature: bytes) -> dict[str, bytes]:
    order = 2**252 + 27742317777372353535851937790883648493
    s = int.from_bytes(signature[32:], "little")
    return {
        "a bit of R": bytes([signature[0] ^ 1]) + signature[1:],
        "a bit of S": signature[:32] + bytes([signature[32] ^ 1]) + signature[33:],
        "S beyond the order": signature[:32] + (s + order).to_bytes(32, "little"),
        "too short": signature[:-1],
        "too long": signature + b"\0",
        "R of low order": bytes([1]) + bytes(31) + signature[32:],
        "nothing but zeros": bytes(64),
    }


def spoilt_proofs() -> Iterator[Case]:
    for name in sorted(PROOF):
        yield with_proof(f"{name} is left out", _without(PROOF, name))
        for value in BEYOND:
            yield with_proof(f"{name} is {value!r}", PROOF | {name: value})
    for index in (-1, 0, 2, 4, 6, 7, 8, 2**53 - 1, 2**53, 3.5):
        yield with_proof(f"leaf_index {index}", PROOF | {"leaf_index": index})
    path = PROOF["proof"]
    paths = {
        "one less": path[:-1],
        "the last alone": path[1:],
        "one more": [*path, path[0]],
        "none": [],
        "the other way round": path[::-1],
        "64 more": path + [path[0]] * 64,
        "a short hash": [path[0][:-2], *path[1:]],
        "an empty hash": ["", *path[1:]],
        "odd digits": [path[0][:-1], *path[1:]],
        "upper case": [path[0].upper(), *path[1:]],
        "spaces": [f"{path[0][:2]} {path[0][2:]}", *path[1:]],
        "a number": [1, *path[1:]],
        "a bit": [f"{'1' if path[0][0] == '0' else '0'}{path[0][1:]}", *path[1:]],
    }
    for name, hashes in paths.items():
        yield with_proof(f"path, {name}", PROOF | {"proof": hashes})
        both = {"proof": hashes, "siblings": hashes}
        yield with_proof(f"path and siblings, {name}", PROOF | both)
        yield with_proof(f"siblings, {name}", PROOF | {"siblings": hashes})
    yield with_proof("another receipt's", LOG.proof(2))
    yield with_proof("with more members", PROOF | {"verified": True})
    yield with_proof("directions", PROOF | {"directions": PROOF["directions"][::-1]})
    yield with_proof("an envelope with more", {"proof": PROOF, "run_id": "x"})
    vkeys = {
        "of another key": str(VerifierKey.of(ORIGIN, STRANGER.public_key)),
        "of another log": str(VerifierKey.of("other.example", LOG_SIGNER.public_key)),
        "with the id of another": f"{ORIGIN}+00000000+{str(LOG_KEY).split('+', 2)[2]}",
        "a cosigner": str(VerifierKey.of(ORIGIN, LOG_SIGNER.public_key, 0x04)),
        "of low order": _weak_vkey(bytes([1]) + bytes(31)),
        "not canonical": _weak_vkey((2**255 - 18).to_bytes(32, "little")),
        "not on the curve": _weak_vkey((2).to_bytes(32, "little")),
        "a kind of key nobody knows": _weak_vkey(LOG_SIGNER.public_key, 0x05),
        "with a space": str(LOG_KEY).replace("/", " ", 1),
        "with a no-break space": str(LOG_KEY).replace("/", "\u00a0", 1),
    }
    for name, vkey in vkeys.items():
        changed = PROOF | {"vkey": vkey}
        yield with_proof(f"vkey {name}", changed)
        yield replace(with_proof(f"vkey {name}, not pinned", changed), vkeys=())


def _weak_vkey(public_key: bytes, algorithm: int = 0x01) -> str:
    identifier = note.key_id(ORIGIN, public_key, algorithm).hex()
    encoded = base64.b64encode(bytes([algorithm]) + public_key).decode()
    return f"{ORIGIN}+{identifier}+{encoded}"


def spoilt_tlog_proofs() -> Iterator[Case]:
    text = LOG.tlog_proof(3)
    header, index, *path = text.split("\n\n")[0].split("\n")
    note_text = text.split("\n\n", 1)[1]

    def written(*lines: str, end: str = note_text) -> str:
        return "\n".join(lines) + f"\n\n{end}"

    texts = {
        "as it is": text,
        "with an extra": written(header, "extra AAAA", index, *path),
        "with an empty extra": written(header, "extra ", index, *path),
        "with a bad extra": written(header, "extra A", index, *path),
        "no index": written(header, *path),
        "an index with a zero": written(header, "index 03", *path),
        "index 2": written(header, "index 2", *path),
        "index 7": written(header, "index 7", *path),
        "index 2^63": written(header, f"index {2**63}", *path),
        "index 2^63-1": written(header, f"index {2**63 - 1}", *path),
        "one hash less": written(header, index, *path[:-1]),
        "one hash more": written(header, index, *path, path[0]),
        "64 hashes": written(header, index, *[path[0]] * 64),
        "63 hashes": written(header, index, *[path[0]] * 63),
        "a short hash": written(header, index, "AAAA", *path[1:]),
        "no padding": written(header, index, path[0].rstrip("="), *path[1:]),
        "leftover bits": written(header, index, f"{path[0][:-2]}B=", *path[1:]),
        "no checkpoint": written(header, index, *path, end=""),
        "another version": text.replace("@v1", "@v2", 1),
        "carriage returns": text.replace("\n", "\r\n"),
        "a line too many": written(header, index, *path, end=f"\n{note_text}"),
        "no end of line": text.rstrip("\n"),
        "a byte order mark": f"\ufeff{text}",
    }
    for name, spoilt in texts.items():
        case = Case(f"tlog-proof: {name}", dumps(RECEIPT), spoilt.encode())
        yield replace(case, jwks=LOG.jwks())
    case = Case("tlog-proof: no receipt keys", dumps(RECEIPT), text.encode())
    yield case
    yield replace(case, name="tlog-proof: no log key", vkeys=(), jwks=LOG.jwks())
    yield replace(case, name="tlog-proof: no key at all", vkeys=())
    not_text = text.encode().replace(b"index", b"\xff", 1)
    yield replace(case, name="tlog-proof: not UTF-8", proof=not_text)


def spoilt_notes() -> Iterator[Case]:
    for name in ("checkpoint", "key_set"):
        for what, spoilt in _notes(PROOF[name]).items():
            changed = PROOF | {name: spoilt}
            yield with_proof(f"{name}, {what}", changed)
            yield replace(with_proof(f"{name}, {what}, unpinned", changed), vkeys=())
    root = bytes.fromhex(PROOF["root"])
    encoded = base64.b64encode(root).decode()
    texts = {
        "of another origin": Checkpoint("other.example", 7, root).text(),
        "of size 8": Checkpoint(ORIGIN, 8, root).text(),
        "of size 3": Checkpoint(ORIGIN, 3, root).text(),
        "of size 0": Checkpoint(ORIGIN, 0, root).text(),
        "of size 2^63-1": Checkpoint(ORIGIN, 2**63 - 1, root).text(),
        "of another root": Checkpoint(ORIGIN, 7, bytes(32)).text(),
        "with extensions": Checkpoint(ORIGIN, 7, root, ("one", "two")).text(),
        "with a size of 07": f"{ORIGIN}\n07\n{encoded}\n",
        "with a size of 2^63": f"{ORIGIN}\n{2**63}\n{encoded}\n",
        "with a short root": f"{ORIGIN}\n7\nAAAA\n",
        "with two lines": f"{ORIGIN}\n7\n",
        "with an empty line": f"{ORIGIN}\n7\n{encoded}\n\n\n",
    }
    for what, text in texts.items():
        yield with_proof(f"a head {what}", PROOF | {"checkpoint": LOG.signed(text)})
    keys = note.parse(PROOF["key_set"])[0]
    key_sets = {
        "of another log": keys.replace(ORIGIN, "other.example"),
        "without a suffix": keys.replace("/keys", "", 1),
        "of another version": keys.replace("v1", "v2"),
        "with a size of 07": keys.replace("size 7", "size 07"),
        "with a status nobody knows": keys.replace("active", "lost"),
        "with a revoked key without an end": keys.replace("active", "revoked"),
        "with a key of another kid": keys.replace(" 0 - ", "x 0 - ", 1),
        "with a word more": keys.replace("active", "active now"),
        "with a key twice": keys + keys.split("\n")[3] + "\n",
        "with no key": LOG.key_set().text().split("\n", 3)[0]
        + "\nlucid-key-set/v1\nsize 7\n",
        "that is too old": LOG.key_set(3).text(),
        "that is old enough": LOG.key_set(4).text(),
    }
    for what, text in key_sets.items():
        yield with_proof(f"a key set {what}", PROOF | {"key_set": LOG.signed(text)})
    for name in ("checkpoint", "key_set"):
        other = "key_set" if name == "checkpoint" else "checkpoint"
        yield with_proof(f"{other} for {name}", PROOF | {name: PROOF[other]})


def _notes(signed: str) -> dict[str, str]:
    text, (signature,) = note.parse(signed)
    witness = note.cosign(text, "witness.example/w1", WITNESS_SIGNER, 1)
    own = signature.line
    other = replace(signature, blob=bytes(64)).line
    return {
        "not signed": f"{text}\n",
        "no empty line": text + own,
        "signed by a stranger": f"{text}\n{note.sign(text, ORIGIN, STRANGER)}",
        "signed with another name": f"{text}\n{note.sign(text, 'x.x', LOG_SIGNER)}",
        "with a wrong signature": f"{text}\n{other}",
        "with a wrong signature first": f"{text}\n{other}{own}",
        "with a wrong signature last": f"{text}\n{own}{other}",
        "with a cosignature": f"{text}\n{own}{witness}",
        "with a cosignature first": f"{text}\n{witness}{own}",
        "with 100 signatures": f"{text}\n{own}{witness * 99}",
        "with 101 signatures": f"{text}\n{own}{witness * 100}",
        "with a short signature": f"{text}\n— {ORIGIN} AAAAAA==\n",
        "with a signature that is not base64": f"{text}\n— {ORIGIN} !\n",
        "with a hyphen for the dash": f"{text}\n{own.replace('—', '-')}",
        "with a space too many": f"{text}\n{own.replace(' ', '  ', 1)}",
        "with a tab": f"{text}\n{own}".replace("\n", "\t\n", 1),
        "with a carriage return": signed.replace("\n", "\r\n", 1),
        "changed": signed.replace("7", "8", 1),
        "cut off": signed[:-1],
        "with a line after it": f"{signed}x\n",
        "too long": f"{'x' * 1_000_000}\n{signed}",
        "empty": "",
    }


def key_ranges() -> Iterator[Case]:
    ranges = [
        (0, None, "active"),
        (3, None, "active"),
        (4, None, "active"),
        (0, 3, "active"),
        (0, 2, "active"),
        (0, 3, "retired"),
        (0, 2, "retired"),
        (0, 3, "revoked"),
        (0, 2, "revoked"),
        (1, 0, "revoked"),
        (4, 9, "revoked"),
    ]
    for first, last, status in ranges:
        log = SmallLog(keys=(receipt_key(first=first, last=last, status=status),))
        name = f"a key {first} to {last}, {status}"
        receipt = dumps(log.receipt(3))
        yield Case(name, receipt, dumps(log.proof(3)))
        yield Case(f"{name}, by JWKS", receipt, dumps(log.proof(3)), jwks=log.jwks())
    two = SmallLog(keys=(receipt_key(STRANGER), receipt_key()))
    yield Case("two keys", dumps(two.receipt(3)), dumps(two.proof(3)))
    for last in (-1, 0, 3, 5, 6, 7):
        key = receipt_key(LOG_SIGNER, max(last + 1, 0), max(last, 0), "revoked")
        if last > 0:
            key = receipt_key(LOG_SIGNER, 0, last, "revoked")
        jwk = LOG.jwk(key) | {"purpose": "checkpoint"}
        jwks = {"keys": [*LOG.jwks()["keys"], jwk]}
        yield replace(GOOD, name=f"the log's key revoked at {last}", jwks=jwks)


def pins() -> Iterator[Case]:
    stranger = str(VerifierKey.of(ORIGIN, STRANGER.public_key))
    elsewhere = str(VerifierKey.of("other.example", LOG_SIGNER.public_key))
    yield replace(GOOD, name="pinned: another key", vkeys=(stranger,))
    yield replace(GOOD, name="pinned: both keys", vkeys=(stranger, str(LOG_KEY)))
    yield replace(GOOD, name="pinned: a key of another log", vkeys=(elsewhere,))
    yield replace(GOOD, name="pinned: the origin", origin=ORIGIN)
    yield replace(GOOD, name="pinned: another origin", origin="other.example")
    yield replace(GOOD, name="pinned: another origin, no key", vkeys=(), origin="o")
    yield replace(GOOD, name="pinned: the keys", jwks=LOG.jwks())
    yield replace(GOOD, name="pinned: no keys", jwks={"keys": []})
    other = SmallLog(keys=(receipt_key(STRANGER),))
    yield replace(GOOD, name="pinned: other keys", jwks=other.jwks())
    away = SmallLog(origin="other.example")
    yield replace(GOOD, name="pinned: keys of another log", jwks=away.jwks())
    forked = SmallLog(signer=STRANGER)
    yield Case(
        "another log of this name", dumps(forked.receipt(3)), dumps(forked.proof(3))
    )
    proof = dict(PROOF)
    for name in ("checkpoint", "key_set"):
        text = note.parse(PROOF[name])[0]
        proof[name] += note.sign(text, ORIGIN, STRANGER)
    proof["vkey"] = stranger
    for vkeys in ((str(LOG_KEY),), (stranger,), (stranger, str(LOG_KEY)), ()):
        name = f"two keys sign, pinned {len(vkeys)} {vkeys[:1] == (stranger,)}"
        yield replace(with_proof(name, proof), vkeys=vkeys)
    only = proof | {"key_set": PROOF["key_set"]}
    yield replace(with_proof("the new key has not signed the keys", only), vkeys=())


def spellings() -> Iterator[Case]:
    """What one parser reads so, and another otherwise; and what none should read."""
    receipt = dumps(RECEIPT)
    spaced = json.dumps(RECEIPT, indent=2).encode()
    run_id = b'"run_id":"run_3"'
    issued, ttft = b'"issued_at":1795346224', b'"ttft_ms":85'
    texts = {
        "with spaces": spaced,
        "in another order": dumps(dict(reversed(RECEIPT.items()))),
        "with escapes": receipt.replace(run_id, b'"run_id":"\\u0072un_3"'),
        "with a name escaped": receipt.replace(run_id, b'"\\u0072un_id":"run_3"'),
        "with a slash escaped": receipt.replace(run_id, b'"run_id":"run_3\\/"'),
        "a duplicate": receipt.replace(run_id, run_id + b"," + run_id),
        "a duplicate, escaped": receipt.replace(
            run_id, run_id + b',"\\u0072un_id":"run_3"'
        ),
        "a duplicate inside": receipt.replace(ttft, ttft + b"," + ttft),
        "a duplicate, and no end": b'{"a":1,"a":2',
        "a duplicate inside and outside": b'{"a":1,"a":{"b":1,"b":2}}',
        "__proto__": receipt.replace(run_id, run_id + b',"__proto__":{"a":1}'),
        "constructor": receipt.replace(run_id, run_id + b',"constructor":1'),
        "a number as a name": receipt.replace(run_id, run_id + b',"10":1,"9":2'),
        "a float": receipt.replace(issued, b'"issued_at":1795346224.0'),
        "an exponent": receipt.replace(issued, b'"issued_at":1.795346224e9'),
        "a large exponent": receipt.replace(issued, b'"issued_at":1795346224E0'),
        "-0": receipt.replace(b'"_mmr_leaf_index":3', b'"_mmr_leaf_index":-0'),
        "3.0": receipt.replace(b'"_mmr_leaf_index":3', b'"_mmr_leaf_index":3.0'),
        "2^53": receipt.replace(issued, b'"issued_at":9007199254740992'),
        "-2^53": receipt.replace(issued, b'"issued_at":-9007199254740992'),
        "2^53 as a float": receipt.replace(issued, b'"issued_at":9007199254740992.0'),
        "1e20": receipt.replace(issued, b'"issued_at":1e20'),
        "1e21": receipt.replace(issued, b'"issued_at":1e21'),
        "1e400": receipt.replace(issued, b'"issued_at":1e400'),
        "1e-400": receipt.replace(issued, b'"issued_at":1e-400'),
        "5,000 digits": receipt.replace(issued, b'"issued_at":' + b"9" * 5000),
        "a leading zero": receipt.replace(issued, b'"issued_at":01'),
        "a plus": receipt.replace(issued, b'"issued_at":+1'),
        "a dot": receipt.replace(issued, b'"issued_at":1.'),
        "hexadecimal": receipt.replace(issued, b'"issued_at":0x1'),
        "NaN": receipt.replace(issued, b'"issued_at":NaN'),
        "Infinity": receipt.replace(issued, b'"issued_at":Infinity'),
        "-Infinity": receipt.replace(issued, b'"issued_at":-Infinity'),
        "True": receipt.replace(issued, b'"issued_at":True'),
        "a comma at the end": receipt[:-1] + b",}",
        "something after it": receipt + b"x",
        "a comment": receipt.replace(b"{", b"{/**/", 1),
        "single quotes": receipt.replace(b'"', b"'"),
        "a vertical tab": b"\x0b" + receipt,
        "a no-break space": "\u00a0".encode() + receipt,
        "space around it": b" \t\r\n" + receipt + b"\n",
        "a byte order mark": b"\xef\xbb\xbf" + receipt,
        "UTF-16": receipt.decode().encode("utf-16"),
        "not UTF-8": receipt.replace(b"run_3", b"run_\xff"),
        "overlong UTF-8": receipt.replace(b"run_3", b"run_\xc0\xaf"),
        "a surrogate in UTF-8": receipt.replace(b"run_3", b"run_\xed\xa0\x80"),
        "a lone surrogate": receipt.replace(b"run_3", b"\\ud800"),
        "a lone low surrogate": receipt.replace(b"run_3", b"\\udc00x"),
        "a lone surrogate inside": receipt.replace(
            b'"ttft_ms":85', b'"a":[1,{"b":"\\ud800"}]'
        ),
        "a lone surrogate in a name": receipt.replace(b'"ttft_ms"', b'"\\ud800"'),
        "a pair of surrogates": receipt.replace(b"run_3", b"\\ud83d\\ude00"),
        "a raw control character": receipt.replace(b"run_3", b"run\x1f3"),
        "a raw newline": receipt.replace(b"run_3", b"run\n3"),
        "DEL": receipt.replace(b"run_3", b"run\x7f3"),
        "an escape nobody knows": receipt.replace(b"run_3", b"\\x41"),
        "half an escape": receipt.replace(b"run_3", b"\\u00g0"),
        "an escape at the end": b'{"a":"\\',
        "32 deep": receipt.replace(issued, b'"a":' + b"[" * 31 + b"]" * 31),
        "33 deep": receipt.replace(issued, b'"a":' + b"[" * 32 + b"]" * 32),
        "33 deep, objects": receipt.replace(
            issued, b'"a":' + b'{"b":' * 32 + b"1" + b"}" * 32
        ),
        "100 deep": b"[" * 100 + b"]" * 100,
        "5,000 deep": b"[" * 5000 + b"]" * 5000,
        "5,000 openings": b"[" * 5000,
        "empty": b"",
        "space": b" ",
        "an array": b"[]",
        "a string": b'"receipt"',
        "null": b"null",
        "an empty object": b"{}",
        "no end": receipt[:-1],
    }
    for name, text in texts.items():
        yield replace(GOOD, name=f"receipt spelled: {name}", receipt=text)
    proof = dumps(PROOF)
    index = b'"leaf_index":3'
    proofs = {
        "with spaces": json.dumps(PROOF, indent=1).encode(),
        "3.0": proof.replace(index, b'"leaf_index":3.0'),
        "3e0": proof.replace(index, b'"leaf_index":3e0'),
        "2^53": proof.replace(index, b'"leaf_index":9007199254740992'),
        "a duplicate": proof.replace(index, index + b"," + index),
        "a tree size of 7.0": proof.replace(b'"tree_size":7', b'"tree_size":7.0'),
        "an array": b"[]",
        "empty": b"",
        "text": b"c2sp.org/tlog",
        "no end": proof[:-1],
    }
    for name, text in proofs.items():
        yield replace(GOOD, name=f"proof spelled: {name}", proof=text)


def _without(members: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in members.items() if key != name}
