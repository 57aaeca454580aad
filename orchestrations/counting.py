"""Which inferences an orchestration counted, to be checked offline.

    python -m orchestrations.counting FINAL PAGE [PAGE ...]

The final receipt's `inferences.root` is the RFC 6962 tree head over the 32-byte
receipt hashes of its inference receipts, in the order of the log. So the receipts
together show that these were counted and no other; for one of them the path that
`inclusion` gives is enough.

FINAL is the final receipt (the answer of GET /v1/receipts/{id}, say), PAGEs are the
answers of GET /v1/orchestrations/{id}/receipts, in order. Every hash is made anew from
the receipt it is of. Whether FINAL itself is to be believed is for receipts.verifier.
Exits 0 if exactly these were counted, 1 if not, 64 if a file cannot be understood.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lucid.api import strict_json
from receipts import canonical
from receipts.merkle import inclusion_proof, leaf_hash, tree_root
from receipts.verifier import EXTRAS, SEAL
from receipts.verifier_command import EXIT_USAGE


def root_over(receipt_hashes: Sequence[bytes]) -> bytes:
    """Return the root that a final receipt over these inferences must have."""
    return tree_root(map(leaf_hash, receipt_hashes))


def inclusion(receipt_hashes: Sequence[bytes], receipt_hash: bytes) -> dict[str, Any]:
    """Return index, size, root and path of a hash that is among the others.

    Raises ValueError where it is not.
    """
    leaves = [leaf_hash(data) for data in receipt_hashes]
    index = receipt_hashes.index(receipt_hash)

    def node(level: int, position: int) -> bytes:
        return tree_root(leaves[position << level : (position + 1) << level])

    path = inclusion_proof(index, len(leaves), node)
    return {
        "leaf_index": index,
        "tree_size": len(leaves),
        "root": tree_root(leaves).hex(),
        "proof": [element.hex() for element in path],
    }


def complaint(final: dict[str, Any], receipts: Sequence[dict[str, Any]]) -> str | None:
    """Return what contradicts that `final` counted just these; None if nothing does.

    Raises ValueError or KeyError for what are no such receipts.
    """
    hashes = []
    for number, receipt in enumerate(receipts):
        body = {n: v for n, v in receipt.items() if n not in SEAL | EXTRAS}
        digest = hashlib.sha256(canonical.dumps(body)).digest()
        if receipt["receipt_hash"] != digest.hex():
            return f"receipt {number} ({receipt['run_id']}) is not what its hash is of"
        if receipt.get("orchestration_id") != final["orchestration_id"]:
            return f"receipt {number} ({receipt['run_id']}) is of another orchestration"
        hashes.append(digest)
    counted = final["inferences"]
    if counted["count"] != len(hashes):
        return f"{counted['count']} inferences were counted, {len(hashes)} are here"
    if counted["root"] != root_over(hashes).hex():
        return "other inferences were counted, or in another order"
    return None


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m orchestrations.counting")
    parser.add_argument("final", type=Path, help="the final receipt")
    parser.add_argument("pages", type=Path, nargs="+", help="its inference receipts")
    arguments = parser.parse_args(argv)
    try:
        answer = strict_json.loads(arguments.final.read_bytes())
        final = answer.get("final_receipt") or answer.get("receipt") or answer
        pages = [strict_json.loads(page.read_bytes()) for page in arguments.pages]
        receipts = [receipt for page in pages for receipt in page["receipts"]]
        wrong = complaint(final, receipts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        print(f"cannot be read: {type(error).__name__}: {error}", file=sys.stderr)
        return EXIT_USAGE
    print(wrong or f"VALID: exactly these {len(receipts)} inferences were counted")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
