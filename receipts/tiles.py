"""C2SP tlog-tiles: the tree cut into tiles of 256 hashes, the entries into bundles."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from receipts.merkle import HASH_BYTES, MAX_SIZE, tree_root

TILE_HEIGHT = 8
TILE_WIDTH = 256
MAX_LEVEL = 63
MAX_ENTRY_BYTES = 65_535

# The level of an entry bundle, the tile under the leaf hashes.
ENTRIES = -1


class TilePathError(ValueError):
    """Not the path of a tile, or not its one spelling."""


class BundleError(ValueError):
    """Not an entry bundle."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Tile `index` of a level, with `width` hashes (or entries) from 1 to 256.

    Hash i of tile (L, N) is the root over leaves [(N*256+i) * 256^L, ... + 256^L).
    """

    level: int
    index: int
    width: int = TILE_WIDTH


class Location(NamedTuple):
    """Where a node is: the tile, and the node's place inside of it."""

    tile_level: int
    tile_index: int
    inner_level: int
    inner_index: int


def tile_path(tile: Tile) -> str:
    """Return the path under the log's prefix, as `tile/0/x001/x234/067.p/8`."""
    level = "entries" if tile.level == ENTRIES else str(tile.level)
    partial = "" if tile.width == TILE_WIDTH else f".p/{tile.width}"
    return f"tile/{level}/{_index_path(tile.index)}{partial}"


_PATH = re.compile(
    r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([0-9]{1,3}))?"
)


def parse_tile_path(path: str) -> Tile:
    """The inverse of tile_path; raises TilePathError for any other spelling, for a
    tile beyond level 63 and for one that starts after the last possible leaf.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise TilePathError(f"{path!r:.80} is not a tile path")
    level, groups, width = match.groups()
    tile = Tile(
        ENTRIES if level == "entries" else int(level),
        int(groups.replace("x", "").replace("/", "")),
        TILE_WIDTH if width is None else int(width),
    )
    if not _exists(tile) or tile_path(tile) != path:
        raise TilePathError(f"{path!r:.80} is not the path of a tile")
    return tile


def _exists(tile: Tile) -> bool:
    first_leaf = tile.index << TILE_HEIGHT * (max(tile.level, 0) + 1)
    return (
        tile.level <= MAX_LEVEL
        and 1 <= tile.width <= TILE_WIDTH
        and first_leaf < MAX_SIZE
    )


def _index_path(index: int) -> str:
    """Groups of three digits, all but the last prefixed: 1234067 = x001/x234/067."""
    path = f"{index % 1000:03}"
    while index := index // 1000:
        path = f"x{index % 1000:03}/{path}"
    return path


def tiles_for(size: int) -> Iterator[Tile]:
    """Yield every hash tile of a tree of that size, by level, a partial one last."""
    level = 0
    while size:
        yield from _row(level, size)
        level, size = level + 1, size >> TILE_HEIGHT


def bundles_for(size: int) -> Iterator[Tile]:
    """Yield every entry bundle of a log of that size, a partial one last."""
    return _row(ENTRIES, size)


def _row(level: int, width: int) -> Iterator[Tile]:
    full, partial = divmod(width, TILE_WIDTH)
    for index in range(full):
        yield Tile(level, index)
    if partial:
        yield Tile(level, full, partial)


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """Join entries, each after its length (uint16, big-endian); or BundleError."""
    parts = []
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise BundleError(f"an entry has at most {MAX_ENTRY_BYTES} bytes")
        parts += [len(entry).to_bytes(2, "big"), entry]
    return b"".join(parts)


def decode_bundle(data: bytes) -> list[bytes]:
    """The inverse of encode_bundle; raises BundleError where an entry is cut off."""
    entries = []
    start = 0
    while start < len(data):
        end = start + 2 + int.from_bytes(data[start : start + 2], "big")
        if start + 2 > len(data) or end > len(data):
            raise BundleError(f"the entry at byte {start} is cut off")
        entries.append(data[start + 2 : end])
        start = end
    return entries


def locate(level: int, index: int) -> Location:
    """Find the tile that holds the node (level, index) of the tree."""
    tile_level, inner_level = divmod(level, TILE_HEIGHT)
    tile_index, inner_index = divmod(index, TILE_WIDTH >> inner_level)
    return Location(tile_level, tile_index, inner_level, inner_index)


def node_from_tile(inner_level: int, inner_index: int, tile: bytes) -> bytes:
    """Return the node at a level (0-8) and index inside a tile, given as its bytes.

    Raises ValueError when the tile is too narrow to hold the whole node.
    """
    span = HASH_BYTES << inner_level
    part = tile[inner_index * span : (inner_index + 1) * span]
    if len(part) != span:
        raise ValueError("the tile does not reach that far")
    starts = range(0, span, HASH_BYTES)
    return tree_root(part[start : start + HASH_BYTES] for start in starts)
