"""Reading a log: tiles, bundles and proofs from the rows that the ledger wrote.

Only full tiles are stored. A partial tile's hashes are the newest leaf hashes, or
the roots of the newest full tiles of the level below.
"""

import base64
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from lucid.api.errors import unavailable
from receipts import merkle
from receipts.key_publication import signed_key_set
from receipts.keyring import Keyring, keyring_for
from receipts.ledger_view import ATTEMPTS
from receipts.merkle import HASH_BYTES, Node
from receipts.models import Log, Receipt
from receipts.models import Tile as StoredTile
from receipts.tiles import (
    ENTRIES,
    TILE_HEIGHT,
    TILE_WIDTH,
    Tile,
    encode_bundle,
    locate,
    node_from_tile,
)

Place = tuple[int, int]  # tile level, tile index


class LogReader:
    """Answers for a log as it was when `log` was read from the database.

    The log only grows, so every answer fits the size and root in that row
    whatever is appended meanwhile.
    """

    def __init__(self, log: Log) -> None:
        self.log = log
        self._partials: dict[Place, bytes] = {}

    def receipts(self, start: int, stop: int) -> QuerySet[Receipt]:
        return Receipt.objects.filter(
            tenant_id=self.log.tenant_id,
            log=self.log,
            leaf_index__gte=start,
            leaf_index__lt=stop,
        ).order_by("leaf_index")

    def tile(self, tile: Tile) -> bytes | None:
        """Return the tile's bytes, None while the log does not reach that far."""
        start = tile.index * TILE_WIDTH
        stop = start + tile.width
        if stop > self._width(tile.level):
            return None
        if tile.level == ENTRIES:
            entries = self.receipts(start, stop).values_list("entry", flat=True)
            return encode_bundle(map(bytes, entries))
        place = (tile.level, tile.index)
        return self._tiles([place])[place][: tile.width * HASH_BYTES]

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        nodes = self._nodes(merkle.inclusion_nodes(index, size))
        return merkle.inclusion_proof(index, size, lambda *node: nodes[node])

    def inclusion_proofs(self, indexes: Sequence[int]) -> list[list[bytes]]:
        """Return the proofs of many leaves in the newest tree, with one query more or
        less however many they are.
        """
        size = self.log.size
        wanted = [merkle.inclusion_nodes(index, size) for index in indexes]
        nodes = self._nodes({node for path in wanted for node in path})
        return [
            merkle.inclusion_proof(index, size, lambda *node: nodes[node])
            for index in indexes
        ]

    def consistency_proof(self, old_size: int, new_size: int) -> list[bytes]:
        nodes = self._nodes(merkle.consistency_nodes(old_size, new_size))
        return merkle.consistency_proof(old_size, new_size, lambda *node: nodes[node])

    def _width(self, level: int) -> int:
        """Return how many hashes (or entries) the level has in all."""
        return self.log.size >> TILE_HEIGHT * max(level, 0)

    def _nodes(self, nodes: Iterable[Node]) -> dict[Node, bytes]:
        where = {node: locate(*node) for node in nodes}
        tiles = self._tiles({(at.tile_level, at.tile_index) for at in where.values()})
        return {
            node: node_from_tile(
                at.inner_level, at.inner_index, tiles[at.tile_level, at.tile_index]
            )
            for node, at in where.items()
        }

    def _tiles(self, places: Iterable[Place]) -> dict[Place, bytes]:
        """Return tiles as wide as they are: one query for all the full ones."""
        tiles: dict[Place, bytes] = {}
        full: dict[int, list[int]] = {}
        for level, index in places:
            if (index + 1) * TILE_WIDTH <= self._width(level):
                full.setdefault(level, []).append(index)
            else:
                tiles[level, index] = self._partial(level, index)
        if full:
            stored = [Q(level=level, index__in=full[level]) for level in full]
            rows = StoredTile.objects.filter(
                reduce(or_, stored), tenant_id=self.log.tenant_id, log=self.log
            )
            for row in rows:
                tiles[row.level, row.index] = bytes(row.hashes)
        return tiles

    def _partial(self, level: int, index: int) -> bytes:
        """Return the last tile of a level, which is asked for again and again."""
        place = (level, index)
        if place not in self._partials:
            self._partials[place] = self._made(level, index)
        return self._partials[place]

    def _made(self, level: int, index: int) -> bytes:
        start, stop = index * TILE_WIDTH, self._width(level)
        if level == 0:
            hashes = list(
                self.receipts(start, stop).values_list("leaf_hash", flat=True)
            )
        else:
            below = StoredTile.objects.filter(
                tenant_id=self.log.tenant_id,
                log=self.log,
                level=level - 1,
                index__gte=start,
                index__lt=stop,
            )
            hashes = list(below.order_by("index").values_list("root", flat=True))
        return b"".join(map(bytes, hashes))


def read_with_keyring(
    tenant_id: UUID, mode: str, read: Callable[[], Receipt]
) -> tuple[Receipt, Keyring]:
    """Return a receipt with its log, and the keys that have signed its checkpoint.

    `read` reads it with `log__tenant`. Keys may change between the two look-ups. Those
    of the keyring are of its version when the log's row, read later, is still of that
    version. Raises the 503 where they keep changing.
    """
    for _ in range(ATTEMPTS):
        keyring = keyring_for(tenant_id, mode)
        receipt = read()
        if receipt.log.tenant.keyring_version == keyring.version:
            return receipt, keyring
    raise unavailable()


def proof_json(
    receipt: Receipt, log: Log, size: int, keyring: Keyring
) -> dict[str, Any]:
    """Return the inclusion proof of a receipt in the tree of `size` (WIRE section 2).

    The checkpoint comes along for the newest size; for an older one the caller has
    the checkpoint that made it ask.
    """
    index = receipt.leaf_index
    hashes = LogReader(log).inclusion_proof(index, size)
    leaf_hash = bytes(receipt.leaf_hash)
    proof = [item.hex() for item in hashes]
    return {
        "run_id": receipt.run_id,
        "receipt_hash": bytes(receipt.receipt_hash).hex(),
        "leaf": base64.b64encode(bytes(receipt.entry)).decode(),
        "leaf_hash": leaf_hash.hex(),
        "leaf_index": index,
        "proof": proof,
        "siblings": proof,
        "directions": merkle.directions(index, size),
        "root": merkle.root_from_inclusion(index, size, leaf_hash, hashes).hex(),
        "tree_size": size,
        "origin": log.origin,
        "checkpoint": log.checkpoint if size == log.size else None,
        "proof_type": "rfc6962",
        "key_set": signed_key_set(log, keyring),
        "vkey": keyring.vkey,
    }
