"""A receipt's place in its log as a drawing: its leaf, the siblings, the root.

The path goes up in the middle; a sibling is on the side on which it is hashed.
"""

from dataclasses import dataclass

from receipts import merkle

WIDTH = 480
LEVEL = 38  # from one row of nodes to the next
BOX = (132, 24)
MARGIN = 2
CENTRES = {"L": 76, "": 240, "R": 404}  # x


@dataclass(frozen=True, slots=True)
class Box:
    """A node: its whole hash, what it is, and where its top left corner is."""

    name: str
    hash: str
    side: str  # L or R for a sibling, "" on the path
    x: int
    y: int

    @property
    def text_x(self) -> int:
        return self.x + BOX[0] // 2

    @property
    def text_y(self) -> int:
        return self.y + BOX[1] // 2

    @property
    def bottom(self) -> int:
        return self.y + BOX[1]

    @property
    def short(self) -> str:
        return f"{self.hash[:6]}…{self.hash[-6:]}"


@dataclass(frozen=True, slots=True)
class Step:
    """From a node on the path and its sibling to the node above."""

    number: int
    node: Box
    sibling: Box
    parent: Box

    @property
    def meeting_y(self) -> int:
        """Half-way between the rows, where the lines from both come together."""
        return (self.parent.bottom + self.node.y) // 2

    @property
    def side(self) -> str:
        return "left" if self.sibling.side == "L" else "right"


@dataclass(frozen=True, slots=True)
class MerklePath:
    index: int
    size: int
    leaf: Box
    root: Box
    steps: list[Step]
    leads_to_root: bool  # to the one that the log has

    @property
    def width(self) -> int:
        return WIDTH

    @property
    def height(self) -> int:
        return self.leaf.bottom + MARGIN

    @property
    def box_width(self) -> int:
        return BOX[0]

    @property
    def box_height(self) -> int:
        return BOX[1]


def draw(
    index: int, size: int, leaf_hash: bytes, proof: list[bytes], root: bytes
) -> MerklePath:
    """Lay out an inclusion proof; raises ProofError where it has another length."""
    reached = merkle.root_from_inclusion(index, size, leaf_hash, proof)
    sides = merkle.directions(index, size)
    bottom = MARGIN + LEVEL * len(proof)
    node = leaf = _box("Leaf" if proof else "Leaf and root", leaf_hash, "", bottom)
    steps = []
    digest = leaf_hash
    for number, (side, sibling) in enumerate(zip(sides, proof, strict=True), 1):
        pair = (sibling, digest) if side == "L" else (digest, sibling)
        digest = merkle.node_hash(*pair)
        name = "Root" if number == len(proof) else f"Node {number}"
        parent = _box(name, digest, "", bottom - LEVEL * number)
        beside = _box(f"Sibling {number}", sibling, side, node.y)
        steps.append(Step(number, node, beside, parent))
        node = parent
    return MerklePath(index, size, leaf, node, steps, reached == root)


def _box(name: str, digest: bytes, side: str, y: int) -> Box:
    return Box(name, digest.hex(), side, CENTRES[side] - BOX[0] // 2, y)
