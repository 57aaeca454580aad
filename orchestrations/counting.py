"""Which inferences an orchestration counted: a Merkle tree over their receipt hashes.

The final receipt's `inferences.root` is the RFC 6962 tree head over the 32-byte
receipt hashes in the order of the log. With the path that `inclusion` gives anybody
can check that a call is among them; all the hashes together show that no other is.
"""

from collections.abc import Sequence
from typing import Any

from receipts.merkle import inclusion_proof, leaf_hash, tree_root


def root_over(receipt_hashes: Sequence[bytes]) -> bytes:
    """Return the root that a final receipt over these inferences must have."""
    return tree_root(map(leaf_hash, receipt_hashes))


def inclusion(receipt_hashes: Sequence[bytes], receipt_hash: bytes) -> dict[str, Any]:
    """Return index, size, root and path of a hash that is among the others."""
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
