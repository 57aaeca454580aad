"""The verifier as a command, which a bundle carries as `verify.py`.

Check an evidence bundle, a zip or the folder that it was unpacked in:

    python -m receipts.verifier BUNDLE [--key VKEY] [--keys JWKS] [--origin ORIGIN]

or one receipt, the answer of GET /v1/receipts/{id}, with the answer of .../proof or a
.tlog-proof:

    python -m receipts.verifier RECEIPT --proof PROOF [--key VKEY] [--keys JWKS]

What is not pinned with --key, --keys and --origin is taken from the files themselves,
and the result says so. Every verdict has its own exit code, 0 is VALID; 64 means that
a file could not be read or the command was not understood.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from lucid.api import strict_json
from receipts import key_set
from receipts.bundle_verifier import BundleResult, verify_bundle
from receipts.key_set import KeySet
from receipts.note import VerifierKey
from receipts.verifier import Result, verify

EXIT_USAGE = 64


class _UsageError(ValueError):
    pass


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _UsageError(message)


def main(argv: Sequence[str] | None = None, program: Path | None = None) -> int:
    """Run the command and return its exit code.

    `program` is the verify.py that runs: its folder is checked where no other bundle
    is named.
    """
    name = "verify.py" if program else "receipts.verifier"
    try:
        arguments = _parser(name, program and program.parent).parse_args(argv)
        result = _check(arguments, program)
    except (OSError, ValueError) as error:
        print(_ascii(f"{name}: {error}"), file=sys.stderr)
        return EXIT_USAGE
    print(_as_json(result) if arguments.json else _as_text(result))
    return result.verdict.exit_code


def _check(given: argparse.Namespace, program: Path | None) -> Result | BundleResult:
    log_keys = [VerifierKey.parse(vkey) for vkey in given.key]
    key_sets = _read_jwks(given.keys) if given.keys else None
    if given.proof:
        receipt, proof = given.path.read_bytes(), given.proof.read_bytes()
        return verify(receipt, proof, log_keys, key_sets, given.origin)
    if _is_receipt(given.path):
        raise _UsageError("a receipt is checked with its --proof")
    source = program.read_bytes() if program else None
    return verify_bundle(given.path, log_keys, key_sets, given.origin, source)


def _is_receipt(path: Path) -> bool:
    if path.is_dir():
        return False
    with path.open("rb") as file:
        return file.read(1) == b"{"


def _parser(name: str, here: Path | None) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=name,
        description="Check an evidence bundle, or one receipt with its proof, offline."
        " Exits with 0 for VALID and with another number for every other verdict.",
    )
    add = parser.add_argument
    add(
        "path",
        type=Path,
        nargs="?" if here else None,
        default=here,
        help="a bundle (zip, or the folder it was unpacked in), or receipt JSON",
    )
    add("--proof", type=Path, help="proof JSON or .tlog-proof, of receipt JSON")
    add("--key", action="append", default=[], help="the log's vkey; repeatable")
    add("--keys", type=Path, help="JWKS with the receipt keys")
    add("--origin", help="the log's origin")
    add("--json", action="store_true", help="print one JSON object")
    return parser


def _read_jwks(path: Path) -> list[KeySet]:
    return key_set.from_jwks(strict_json.loads(path.read_bytes()))


def _as_json(result: Result | BundleResult) -> str:
    return json.dumps(asdict(result), default=repr)


def _as_text(result: Result | BundleResult) -> str:
    lines = [
        f"{'ok' if step.ok else 'FAILED':8}{step.name:19}{step.detail}"
        for step in result.steps
    ]
    if isinstance(result, BundleResult):
        lines += _told_of_receipts(result)
    if result.expected is not None:
        lines += [f"expected: {result.expected}", f"found: {result.found}"]
    lines += [f"note: {note}" for note in result.notes]
    return "\n".join(map(_ascii, [*lines, result.verdict.value]))


def _told_of_receipts(result: BundleResult) -> list[str]:
    """Say how many receipts have which verdict, where they are not all of one."""
    lines = [f"        {bad.file}: {bad.verdict}: {bad.detail}" for bad in result.bad]
    counts = [f"{count} {verdict}" for verdict, count in result.verdicts.items()]
    if result.bad:
        noun = "receipt" if result.receipts == 1 else "receipts"
        lines.append(f"of {result.receipts} {noun}: {', '.join(counts)}")
    if result.field and not result.bad:
        lines.append(f"at: {result.field}")
    return lines


def _ascii(line: str) -> str:
    """Escape what a file could send to the terminal to be read as ours."""
    return ascii(line)[1:-1]


if __name__ == "__main__":
    sys.exit(main())
