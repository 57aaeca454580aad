"""Evidence bundles, good ones and spoilt ones, for two verifiers."""

import io
import json
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from receipts import canonical, manifest
from receipts.bundle_verifier import BundleResult, verify_bundle
from receipts.ed25519 import Signer
from receipts.key_set import from_jwks
from receipts.note import VerifierKey
from tests.receipts.bundles import LOG, Files, bundle, packed, resealed, unpacked
from tests.receipts.small_log import LOG_KEY, ORIGIN, SmallLog, body, receipt_key, seal

GOOD = unpacked(bundle())
STRANGER = Signer(bytes(32))


@dataclass(frozen=True)
class Case:
    name: str
    data: bytes
    vkeys: tuple[str, ...] = ()
    jwks: Any = None
    origin: str | None = None

    def verify(self, folder: Path) -> BundleResult:
        path = folder / "evidence.zip"
        path.write_bytes(self.data)
        keys = [VerifierKey.parse(vkey) for vkey in self.vkeys]
        key_sets = None if self.jwks is None else from_jwks(self.jwks)
        return verify_bundle(path, keys, key_sets, self.origin)


def cases() -> list[Case]:
    made = [*good(), *spoilt(), *hostile(), *nonsense(), *zips()]
    assert len({case.name for case in made}) == len(made)
    return made


def of_files(name: str, files: Files) -> Case:
    return Case(name, packed(files))


def good() -> Iterator[Case]:
    case = Case("good", bundle())
    yield case
    yield replace(case, name="good, pinned", vkeys=(str(LOG_KEY),), origin=ORIGIN)
    yield replace(case, name="good, keys pinned", jwks=LOG.jwks())
    yield replace(case, name="no receipt keys pinned", jwks={"keys": []})
    yield replace(case, name="another origin pinned", origin="other.example")
    stranger = str(VerifierKey.of(ORIGIN, STRANGER.public_key))
    yield replace(case, name="another key pinned", vkeys=(stranger,))
    for last in (0, 2, 3, 5, 6):
        log = SmallLog(keys=(receipt_key(last=last, status="revoked"),))
        yield Case(f"a receipt key revoked at {last}", bundle(log))
        yield replace(case, name=f"revoked at {last}, pinned", jwks=log.jwks())
        key = LOG.jwk(receipt_key(LOG.signer, last=last, status="revoked"))
        jwks = {"keys": [*LOG.jwks()["keys"], key | {"purpose": "checkpoint"}]}
        yield Case(f"the log's key revoked at {last}", bundle(jwks=jwks))
    yield Case("a key nobody named", bundle(SmallLog(keys=(receipt_key(STRANGER),))))
    yield Case("one receipt", bundle(indexes=(0,)))
    yield Case("all receipts", bundle(indexes=range(LOG.size)))


def spoilt() -> Iterator[Case]:
    for name, data in GOOD.items():
        without = {other: data for other, data in GOOD.items() if other != name}
        flipped = data[:-2] + bytes([data[-2] ^ 1]) + data[-1:]
        yield of_files(f"{name} is missing", without)
        yield of_files(f"{name} is changed", GOOD | {name: flipped})
        if name not in (manifest.MANIFEST, manifest.SIGNATURE):
            yield of_files(f"{name} is missing, resealed", resealed(without))
            changed = resealed(GOOD | {name: flipped})
            yield of_files(f"{name} is changed, resealed", changed)
    for name in ("receipts/2.json", "proofs/2.tlog-proof", "extra.txt"):
        yield of_files(f"{name} is added", GOOD | {name: b"{}"})
        yield of_files(f"{name} is added, resealed", resealed(GOOD | {name: b"{}"}))
    note = LOG.checkpoint().encode()
    yield of_files("a checkpoint signs", GOOD | {manifest.SIGNATURE: note})


def hostile() -> Iterator[Case]:
    """Of an operator who signs a manifest of whatever there is."""
    receipt, proof = manifest.receipt_name(3), manifest.proof_name(3)
    forked = SmallLog(entries=[*LOG.entries[:-1], seal(body(99))])
    shorter = SmallLog(entries=LOG.entries[:5])
    away = SmallLog(origin="other.example")
    unsigned = json.loads(GOOD[receipt]) | {"receipt_signature": ""}
    changes: dict[str, Files] = {
        "a changed entry": {receipt: GOOD[receipt].replace(b"vllm", b"sglg")},
        "signed anew": {receipt: canonical.dumps(seal(body(3) | {"runtime": "x"}))},
        "another spelling": {receipt: json.dumps(json.loads(GOOD[receipt])).encode()},
        "with extras": {receipt: canonical.dumps(LOG.receipt(3))},
        "not signed": {receipt: canonical.dumps(unsigned)},
        "another proof": {proof: GOOD[manifest.proof_name(1)]},
        "two trees": {proof: forked.tlog_proof(3).encode()},
        "a smaller tree": {proof: shorter.tlog_proof(3).encode()},
        "another log's proof": {proof: away.tlog_proof(3).encode()},
        "a smaller checkpoint": {manifest.CHECKPOINT: shorter.checkpoint().encode()},
        "another root": {manifest.CHECKPOINT: forked.checkpoint().encode()},
        "another log's head": {manifest.CHECKPOINT: away.checkpoint().encode()},
        "old keys": {manifest.KEY_SET: LOG.signed(LOG.key_set(3).text()).encode()},
        "other keys": {manifest.JWKS: _jwks(receipt_key(last=3, status="retired"))},
        "no keys": {manifest.JWKS: b'{"keys": []}'},
    }
    for name, changed in changes.items():
        yield of_files(f"resealed, {name}", resealed(GOOD | changed))
    moved = {name: data for name, data in GOOD.items() if "3." not in name}
    yield of_files("a receipt less than counted", resealed(moved))
    moved[manifest.receipt_name(4)] = GOOD[receipt]
    moved[manifest.proof_name(4)] = GOOD[proof]
    yield of_files("at another index", resealed(moved))
    none = {name: data for name, data in GOOD.items() if "/" not in name}
    yield of_files("no receipts", resealed(none, counts={"receipts": 0}))
    forms: list[dict[str, Any]] = [
        {"schema_version": "2.0"},
        {"kind": "receipts"},
        {"log": {}},
        {"log": []},
        {"counts": None},
        {"counts": {"receipts": "3"}},
        {"counts": {"receipts": 3.0}},
        {"made_at": 5},
    ]
    for members in forms:
        yield of_files(f"manifest {members}", resealed(GOOD, **members))


def _jwks(*keys: Any) -> bytes:
    return json.dumps(SmallLog(keys=keys).jwks()).encode()


def nonsense() -> Iterator[Case]:
    for name in sorted(GOOD):
        for data in (b"", b"\xff\xfe", b"\n\n", b"[]", b"{}", b'{"a":1,"a":1}'):
            files = GOOD | {name: data}
            if name not in (manifest.MANIFEST, manifest.SIGNATURE):
                files = resealed(files)
            yield of_files(f"{name} is {data!r}", files)


def zips() -> Iterator[Case]:
    data = bundle()
    yield Case("no zip", b"PK\x03\x04 and nothing more")
    yield Case("empty", b"")
    yield Case("cut off", data[:-1])
    yield Case("half", data[: len(data) // 2])
    yield Case("something after it", data + b"x")
    yield Case("something before it", b"PK\x03\x04" + data)
    yield Case("nothing in it", packed({}))
    yield Case("with folders", packed({"receipts/": b"", "proofs/": b"", **GOOD}))
    names = ["../outside.json", "/etc/passwd", "more/", "receipts/01.json", "\x1b[2J"]
    for name in [*names, "receipts\\1.json", "RECEIPTS/1.json", "receipts/\u0663.json"]:
        yield of_files(f"a file {name!r}", GOOD | {name: b"{}"})
    yield of_files("a long receipt", GOOD | {"receipts/1.json": b" " * (1 << 18)})
    yield of_files("a long note", GOOD | {"keys.txt": b"0" * 1_000_001})
    yield Case("stored", _stored(GOOD))
    yield Case("another way of packing", _listed(data, "README.txt", 10, b"\x0c\x00"))
    yield Case("encrypted", _listed(data, "README.txt", 8, b"\x01\x00"))
    yield Case(
        "longer than it says", _listed(packed(GOOD), "keys.txt", 24, b"\x0a\0\0\0")
    )
    yield Case("no head where it says", _listed(data, "keys.txt", 42, b"\x01\0\0\0"))
    yield Case("more files than there are", _end(data, 10, struct.pack("<H", 60_000)))
    yield Case("a comment", _end(data, 20, struct.pack("<H", 5)) + b"hello")


def _stored(files: Files) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _listed(data: bytes, name: str, offset: int, value: bytes) -> bytes:
    """Change a file's entry in the zip's list of files."""
    place = data.rindex(name.encode()) - 46
    assert data[place:][:4] == b"PK\x01\x02"
    place += offset
    return data[:place] + value + data[place + len(value) :]


def _end(data: bytes, offset: int, value: bytes) -> bytes:
    place = data.rindex(b"PK\x05\x06") + offset
    return data[:place] + value + data[place + len(value) :]
