"""Check a whole evidence bundle offline: that it is as it was made, then each receipt.

First the log's signature on the manifest, the SHA-256 of every file, and that none is
missing or added; then the checkpoint and the key set; then every receipt with every
step of `receipts.verifier`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as member
from pathlib import Path
from typing import Any

from lucid.api import strict_json
from receipts import checkpoint, key_set, manifest, tlog_proof
from receipts.bundle_files import BundleError, Files, open_bundle
from receipts.checkpoint import Checkpoint
from receipts.key_set import KeySet
from receipts.manifest import Manifest
from receipts.note import ED25519, VerifierKey, open_note
from receipts.verifier import (
    Refused,
    Result,
    Step,
    Verdict,
    conclude,
    differs,
    expect,
    not_pinned,
    verify_entry,
)

MAX_LISTED = 100  # receipts that are not VALID

SOURCE = "bundle"
OTHER_PROGRAM = (
    "verify.py in the bundle is not the program that has checked it: of another"
    " version, or made to say something else. Do not go by what that one says."
)


@dataclass(frozen=True, slots=True)
class Bad:
    """A receipt that is not VALID: its file, and what is wrong with it."""

    file: str
    verdict: Verdict
    step: str
    detail: str


@dataclass(frozen=True, slots=True)
class BundleResult:
    """The first bad verdict, with the steps that led to it.

    `verdicts` counts the receipts by verdict, all of them: after a bad one the rest is
    checked too. `bad` lists the first of those that are not VALID.
    """

    verdict: Verdict
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    field: str | None = None
    expected: Any = None
    found: Any = None
    receipts: int = 0
    verdicts: dict[str, int] = member(default_factory=dict)
    bad: tuple[Bad, ...] = ()


def verify_bundle(
    path: Path,
    log_keys: Sequence[VerifierKey] = (),
    key_sets: Iterable[KeySet] | None = None,
    origin: str | None = None,
    program: bytes | None = None,
) -> BundleResult:
    """Check the bundle in a zip or a folder; raises OSError where there is none.

    `log_keys`, `key_sets` and `origin` are pinned from outside, as for `verify`; what
    is not is taken from the bundle, and the result says so. It also says where the
    verifier in the bundle is not this `program`.
    """
    notes = not_pinned(SOURCE, log_keys, key_sets, origin)
    try:
        with open_bundle(path) as files:
            case = _Case(files, log_keys, key_sets, origin, program)
            return _verify(case, notes)
    except BundleError as error:
        step = Step("files", False, str(error))
        return BundleResult(Verdict.INVALID, (step,), notes, error.field)


def _verify(case: _Case, notes: tuple[str, ...]) -> BundleResult:
    steps = [
        ("manifest", case.read_manifest),
        ("signature", case.check_signature),
        ("files", case.check_files),
        ("checkpoint", case.open_checkpoint),
        ("key_set", case.open_key_set),
        ("receipts", case.check_receipts),
    ]
    result = conclude([(name, _reading(check)) for name, check in steps], notes)
    return BundleResult(
        verdict=result.verdict,
        steps=result.steps,
        notes=(*notes, *case.notes),
        field=result.field,
        expected=result.expected,
        found=result.found,
        receipts=sum(case.verdicts.values()),
        verdicts={str(verdict): count for verdict, count in case.verdicts.items()},
        bad=tuple(case.bad),
    )


def _reading(check: Callable[[], str]) -> Callable[[], str]:
    """Say of a file that cannot be read, or is none of ours, which one it is."""

    def checked() -> str:
        try:
            return check()
        except BundleError as error:
            raise Refused(Verdict.INVALID, str(error), error.field) from None

    return checked


@dataclass(slots=True)
class _Case:
    """What is given, and what each step has established from it for the next."""

    files: Files
    log_keys: Sequence[VerifierKey]
    key_sets: Iterable[KeySet] | None
    origin: str | None
    program: bytes | None

    manifest: Manifest = member(init=False)
    digest: str = member(init=False)  # of the manifest, in hex
    note: str = member(init=False)  # the checkpoint's
    head: Checkpoint = member(init=False)
    keys: KeySet = member(init=False)
    verdicts: dict[Verdict, int] = member(default_factory=dict)
    bad: list[Bad] = member(default_factory=list)
    notes: list[str] = member(default_factory=list)

    def read_manifest(self) -> str:
        data = self.read(manifest.MANIFEST)
        self.digest = hashlib.sha256(data).hexdigest()
        self.manifest = manifest.parse(data)
        if not self.log_keys:
            self.log_keys = [VerifierKey.parse(vkey) for vkey in self.manifest.vkeys]
        return f"made at {self.manifest.made_at}"

    def check_signature(self) -> str:
        """The log that the manifest is of has signed it, with a key of its own."""
        if manifest.SIGNATURE not in self.files.names:
            detail = "nobody has signed the manifest"
            raise Refused(Verdict.UNSIGNED, detail, manifest.SIGNATURE)
        text = self.open_note(manifest.SIGNATURE, self.manifest.origin)
        origin, digest = manifest.parse_note(text)
        expect(manifest.SIGNATURE, self.manifest.origin, origin)
        expect(manifest.MANIFEST, digest, self.digest)
        return f"{origin} signed the manifest"

    def check_files(self) -> str:
        """There are the files of the manifest, no other, each as it was made."""
        self.check_names()
        listed = self.manifest.files
        for name, digest in listed.items():
            expect(name, digest, hashlib.sha256(self.read(name)).hexdigest())
        if self.program not in (None, self.read(manifest.VERIFIER)):
            self.notes.append(OTHER_PROGRAM)
        return f"{len(listed)} files are as the manifest says"

    def check_names(self) -> None:
        there = self.files.names - {manifest.MANIFEST, manifest.SIGNATURE}
        listed = self.manifest.files.keys()
        if missing := sorted(listed - there):
            raise Refused(Verdict.INVALID, "the file is missing", missing[0])
        if added := sorted(there - listed):
            detail = "the manifest does not name this file"
            raise Refused(Verdict.INVALID, detail, added[0])
        for name in manifest.LISTED:
            if name not in listed:
                raise Refused(Verdict.INVALID, "every bundle has this file", name)

    def open_checkpoint(self) -> str:
        self.note = self.read(manifest.CHECKPOINT).decode()
        origin, said = self.manifest.origin, self.manifest
        self.head = checkpoint.parse(self.open_note(manifest.CHECKPOINT, origin))
        expect("origin", self.origin or origin, self.head.origin)
        expect("origin", origin, self.head.origin)
        expect("size", said.size, self.head.size)
        expect("root", said.root, self.head.root.hex())
        return f"{origin} signed size {self.head.size}"

    def open_key_set(self) -> str:
        """The keys of the note and of the JWKS are the same; pinned ones come first."""
        origin = self.head.origin
        keys = key_set.parse(self.open_note(manifest.KEY_SET, origin))
        expect(manifest.KEY_SET, origin, keys.origin)
        expect(manifest.KEY_SET, self.head.size, keys.size)
        repeated = self.keys_of_jwks()
        if repeated.keys != keys.keys:
            raise Refused(
                Verdict.INVALID, "not the keys that are signed", manifest.JWKS
            )
        self.keys = replace(keys, revoked_log_keys=repeated.revoked_log_keys)
        if self.key_sets is None:
            return f"{len(keys.keys)} keys, signed by the log at {keys.size}"
        given = [pinned for pinned in self.key_sets if pinned.origin == origin]
        self.keys = given[0] if given else KeySet(origin, None, ())
        return f"{len(self.keys.keys)} keys, given from outside"

    def keys_of_jwks(self) -> KeySet:
        sets = key_set.from_jwks(strict_json.loads(self.read(manifest.JWKS)))
        (found,) = sets if len(sets) == 1 else [None]
        if found is None or found.origin != self.head.origin:
            detail = "not the keys of this log alone"
            raise Refused(Verdict.INVALID, detail, manifest.JWKS)
        return found

    def check_receipts(self) -> str:
        indexes = self.indexes()
        first: Refused | None = None
        for index in indexes:
            result = self.check_receipt(index)
            self.verdicts[result.verdict] = self.verdicts.get(result.verdict, 0) + 1
            if result.verdict is not Verdict.VALID:
                first = first or self.as_refused(index, result)
                self.list_bad(index, result)
        if first:
            raise first
        return _all_valid(len(indexes))

    def indexes(self) -> list[int]:
        """Return the leaf indexes of the receipts, each of which has a proof."""
        receipts, proofs = self.listed("receipts/"), self.listed("proofs/")
        if receipts != proofs:
            index = min(receipts ^ proofs)
            lacking = (
                manifest.proof_name if index in receipts else manifest.receipt_name
            )
            raise Refused(Verdict.INVALID, "the file is missing", lacking(index))
        expect("counts.receipts", self.manifest.receipts, len(receipts))
        if not receipts:
            raise Refused(Verdict.INVALID, "there is no receipt to verify", "receipts")
        return sorted(receipts)

    def listed(self, folder: str) -> set[int]:
        names = [name for name in self.files.names if name.startswith(folder)]
        return {int(name.removeprefix(folder).partition(".")[0]) for name in names}

    def check_receipt(self, index: int) -> Result:
        entry = self.read(manifest.receipt_name(index))
        proof = self.read(manifest.proof_name(index))
        result = verify_entry(entry, proof, self.log_keys, self.keys, self.head.origin)
        if result.verdict is not Verdict.VALID:
            return result
        placed = conclude([("place", lambda: self.check_place(index, proof))])
        return replace(placed, steps=(*result.steps, *placed.steps))

    def check_place(self, index: int, proof: bytes) -> str:
        """The proof is of this index, and of the one checkpoint of the bundle."""
        parsed = tlog_proof.parse(proof.decode())
        expect("index", index, parsed.index)
        if parsed.checkpoint != self.note:
            raise self.other_checkpoint(parsed.checkpoint)
        return "the proof is of checkpoint.txt"

    def other_checkpoint(self, note: str) -> Refused:
        """Two trees of one size, both signed, are two histories."""
        other = checkpoint.parse(open_note(note, self.log_keys).text)
        if (other.origin, other.size) == (self.head.origin, self.head.size):
            detail = f"the log has signed two trees of size {other.size}"
            root, found = self.head.root.hex(), other.root.hex()
            if root != found:
                return Refused(Verdict.INCONSISTENT, detail, "root", root, found)
        return Refused(Verdict.INVALID, "not of checkpoint.txt", "checkpoint")

    def as_refused(self, index: int, result: Result) -> Refused:
        step = result.steps[-1]
        detail = f"leaf {index}: {step.detail}"
        where = f"{manifest.receipt_name(index)}: {result.field}"
        return Refused(result.verdict, detail, where, result.expected, result.found)

    def list_bad(self, index: int, result: Result) -> None:
        if len(self.bad) < MAX_LISTED:
            step = result.steps[-1]
            name = manifest.receipt_name(index)
            self.bad.append(Bad(name, result.verdict, step.name, step.detail))

    def read(self, name: str) -> bytes:
        if name not in self.files.names:
            raise BundleError("the file is missing", name)
        return self.files.read(name)

    def open_note(self, name: str, origin: str) -> str:
        """Return the text of a note that the log has signed."""
        opened = open_note(self.read(name), self.log_keys)
        signers = [item.name for item in opened.verified if item.algorithm == ED25519]
        if origin not in signers:
            raise differs(name, signers, origin)
        return opened.text


def _all_valid(count: int) -> str:
    return (
        "the one receipt is VALID" if count == 1 else f"all {count} receipts are VALID"
    )
