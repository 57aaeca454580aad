"""The Merkle tree of RFC 6962 section 2.1 and RFC 9162 section 2.1, over SHA-256.

A node is named by (level, index): the root of the complete subtree over leaves
[index * 2^level, (index + 1) * 2^level). Every other hash of a tree is folded from
such nodes, so whoever can read nodes can make any proof.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

HASH_BYTES = 32
MAX_SIZE = 2**63 - 1
EMPTY_ROOT = hashlib.sha256(b"").digest()


class ProofError(ValueError):
    """A proof that proves nothing, or a request for one that cannot exist."""


Node = tuple[int, int]  # level, index
NodeReader = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 || entry), 32 bytes."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right), 32 bytes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def tree_root(leaf_hashes: Iterable[bytes]) -> bytes:
    """Return the root, MTH of RFC 6962 section 2.1, over the given leaf hashes."""
    return Frontier().append(leaf_hashes).root()


@dataclass(frozen=True, slots=True)
class Frontier:
    """The right edge of a tree: all it takes to append to it and to know its root.

    One 32-byte hash for every set bit of the size, the largest subtree first.
    Raises ValueError where size and number of hashes do not fit.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        _check_size(self.size)
        if len(self.hashes) != self.size.bit_count():
            raise ValueError(f"a frontier of size {self.size} has other hashes")

    def append(self, leaf_hashes: Iterable[bytes]) -> Frontier:
        """Return the frontier after the leaves: one SHA-256 a leaf, amortised."""
        size, hashes = self.size, list(self.hashes)
        for node in leaf_hashes:
            # Each trailing one bit of the size is a subtree the leaf completes.
            carry = size
            while carry & 1:
                node = node_hash(hashes.pop(), node)
                carry >>= 1
            hashes.append(node)
            size += 1
        return Frontier(size, tuple(hashes))

    def root(self) -> bytes:
        return _fold(self.hashes) if self.hashes else EMPTY_ROOT

    def to_bytes(self) -> bytes:
        return b"".join(self.hashes)

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Frontier:
        """Read what to_bytes wrote; ValueError unless the length fits the size."""
        _check_size(size)
        if len(data) != size.bit_count() * HASH_BYTES:
            raise ValueError(f"a frontier of size {size} has another length")
        starts = range(0, len(data), HASH_BYTES)
        return cls(size, tuple(data[start : start + HASH_BYTES] for start in starts))


# Making proofs. Each element is the root over a range of leaves [begin, end) and
# is folded from the nodes of that range. The *_nodes functions name all nodes a
# proof reads, so that a caller can fetch them with one query.

Range = tuple[int, int]


def root_nodes(size: int) -> list[Node]:
    _check_size(size)
    return _range_nodes(0, size)


def root_at(size: int, read: NodeReader) -> bytes:
    """Return the root the tree had at that size."""
    _check_size(size)
    return _range_root((0, size), read) if size else EMPTY_ROOT


def inclusion_nodes(index: int, size: int) -> list[Node]:
    return _nodes(_inclusion_ranges(index, size))


def inclusion_proof(index: int, size: int, read: NodeReader) -> list[bytes]:
    """PATH(m, D[n]) of RFC 6962 section 2.1.1, the leaf's sibling first."""
    return [_range_root(part, read) for part in _inclusion_ranges(index, size)]


def consistency_nodes(old_size: int, new_size: int) -> list[Node]:
    return _nodes(_consistency_ranges(old_size, new_size))


def consistency_proof(old_size: int, new_size: int, read: NodeReader) -> list[bytes]:
    """PROOF(m, D[n]) of RFC 6962 section 2.1.2; empty from size 0 or to the same."""
    parts = _consistency_ranges(old_size, new_size)
    return [_range_root(part, read) for part in parts]


def _inclusion_ranges(index: int, size: int) -> list[Range]:
    _check_index(index, size)
    ranges: list[Range] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = _split(begin, end)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((begin, middle))
            begin = middle
    return ranges[::-1]


def _consistency_ranges(old_size: int, new_size: int) -> list[Range]:
    _check_sizes(old_size, new_size)
    if old_size == 0:
        return []
    ranges: list[Range] = []
    begin, end = 0, new_size
    while end != old_size:
        middle = _split(begin, end)
        if old_size <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((begin, middle))
            begin = middle
    if begin > 0:  # from 0 it is the old root itself, which the verifier has
        ranges.append((begin, end))
    return ranges[::-1]


def _split(begin: int, end: int) -> int:
    """RFC 6962: k is the largest power of two smaller than the number of leaves."""
    return begin + (1 << (end - begin - 1).bit_length() - 1)


def _range_nodes(begin: int, end: int) -> list[Node]:
    nodes: list[Node] = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        nodes.append((level, begin >> level))
        begin += 1 << level
    return nodes


def _nodes(ranges: list[Range]) -> list[Node]:
    return [node for part in ranges for node in _range_nodes(*part)]


def _range_root(part: Range, read: NodeReader) -> bytes:
    return _fold([read(level, index) for level, index in _range_nodes(*part)])


def _fold(hashes: Sequence[bytes]) -> bytes:
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


# Checking proofs.


def directions(index: int, size: int) -> list[Literal["L", "R"]]:
    """Say for each element of the inclusion proof on which side the sibling is."""
    _check_index(index, size)
    sides: list[Literal["L", "R"]] = []
    node, last = index, size - 1
    while last:
        if node & 1:
            sides.append("L")
        elif node < last:
            sides.append("R")
        # An even last node has no sibling: it moves up as it is.
        node, last = node >> 1, last >> 1
    return sides


def root_from_inclusion(
    index: int, size: int, leaf_hash: bytes, proof: Sequence[bytes]
) -> bytes:
    """Return the root the proof leads to (RFC 9162 section 2.1.3.2)."""
    sides = directions(index, size)
    if len(proof) != len(sides):
        raise ProofError(f"the proof has {len(proof)} hashes, not {len(sides)}")
    _check_hashes([leaf_hash, *proof])
    root = leaf_hash
    for side, sibling in zip(sides, proof, strict=True):
        pair = (sibling, root) if side == "L" else (root, sibling)
        root = node_hash(*pair)
    return root


def verify_inclusion(
    index: int, size: int, leaf_hash: bytes, proof: Sequence[bytes], root: bytes
) -> None:
    """Raise ProofError unless the leaf is at the index of the tree with that root."""
    if root_from_inclusion(index, size, leaf_hash, proof) != root:
        raise ProofError("the inclusion proof leads to another root")


def verify_consistency(
    old_size: int,
    new_size: int,
    old_root: bytes,
    new_root: bytes,
    proof: Sequence[bytes],
) -> None:
    """Raise ProofError unless the new tree extends the old (RFC 9162 2.1.4.2).

    Every tree extends the empty one: from size 0, even to size 0, nothing can be
    proven and everything is refused, as transparency-dev/merkle does.
    """
    _check_sizes(old_size, new_size)
    if old_size == 0:
        raise ProofError("nothing is proven about the empty tree")
    if old_size == new_size:
        if proof or old_root != new_root:
            raise ProofError("two trees of one size have one root and no proof")
        return
    if not proof:
        raise ProofError("a larger tree needs a proof")
    _check_hashes(proof)
    if (old_size & old_size - 1) == 0:
        proof = [old_root, *proof]
    if _roots_from_consistency(old_size, new_size, proof) != (old_root, new_root):
        raise ProofError("the consistency proof leads to other roots")


def _roots_from_consistency(
    old_size: int, new_size: int, proof: Sequence[bytes]
) -> tuple[bytes, bytes]:
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old_root = new_root = proof[0]
    for sibling in proof[1:]:
        if last == 0:
            raise ProofError("the consistency proof is too long")
        if node & 1 or node == last:
            old_root = node_hash(sibling, old_root)
            new_root = node_hash(sibling, new_root)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            new_root = node_hash(new_root, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofError("the consistency proof is too short")
    return old_root, new_root


def _check_size(size: int) -> None:
    if type(size) is not int or not 0 <= size <= MAX_SIZE:
        raise ProofError("a tree size is an integer from 0 to 2^63-1")


def _check_sizes(old_size: int, new_size: int) -> None:
    _check_size(old_size)
    _check_size(new_size)
    if old_size > new_size:
        raise ProofError("a tree does not shrink")


def _check_index(index: int, size: int) -> None:
    _check_size(size)
    if type(index) is not int or not 0 <= index < size:
        raise ProofError("a leaf index is an integer below the tree size")


def _check_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(item) != HASH_BYTES for item in hashes):
        raise ProofError(f"a hash has {HASH_BYTES} bytes")
