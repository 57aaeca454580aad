"""A whole log made by other software, recomputed from its entries."""

import json

import pytest

from receipts import merkle, note, tlog_proof
from receipts.checkpoint import parse
from receipts.tiles import (
    bundles_for,
    decode_bundle,
    encode_bundle,
    locate,
    node_from_tile,
    tile_path,
    tiles_for,
)
from tests import vectors

LOG = "peer-verified-log"

pytestmark = vectors.needs_vectors


@pytest.fixture(scope="module")
def meta():
    return vectors.read_json(f"{LOG}/meta.json")


@pytest.fixture(scope="module")
def entries(meta):
    numbers = range(meta["size"])
    return [json.dumps({"n": n, "m": "receipt"}).encode() for n in numbers]


@pytest.fixture(scope="module")
def leaves(entries):
    return [merkle.leaf_hash(entry) for entry in entries]


@pytest.fixture
def keys(meta):
    names = ("log_vkey", "witness_vkey")
    return [note.VerifierKey.parse(meta[name]) for name in names]


@pytest.fixture
def opened(keys):
    return note.open_note(vectors.read_bytes(f"{LOG}/checkpoint"), keys)


def read_node(level, index):
    size = 600
    place = locate(level, index)
    [tile] = [
        tile
        for tile in tiles_for(size)
        if (tile.level, tile.index) == (place.tile_level, place.tile_index)
    ]
    data = vectors.read_bytes(f"{LOG}/{tile_path(tile)}")
    return node_from_tile(place.inner_level, place.inner_index, data)


def test_the_checkpoint_is_of_these_entries(meta, opened, leaves):
    checkpoint = parse(opened.text)
    assert checkpoint.origin == meta["origin"]
    assert checkpoint.size == len(leaves)
    assert checkpoint.root == merkle.tree_root(leaves)


def test_the_checkpoint_is_signed_and_cosigned(opened):
    assert [item.algorithm for item in opened.verified] == [
        note.ED25519,
        note.COSIGNATURE_V1,
    ]


def test_the_cosignature_states_its_time(opened):
    assert opened.verified[1].timestamp == 0x6B02D1F7


def test_there_are_no_other_files(meta):
    tiles = [*tiles_for(meta["size"]), *bundles_for(meta["size"])]
    paths = vectors.names(f"{LOG}/tile/**/*")
    files = [path for path in paths if (vectors.VECTORS / path).is_file()]
    assert files == sorted(f"{LOG}/{tile_path(tile)}" for tile in tiles)


def test_every_bundle_is_of_these_entries(entries):
    for tile in bundles_for(len(entries)):
        data = vectors.read_bytes(f"{LOG}/{tile_path(tile)}")
        expected = entries[tile.index * 256 :][: tile.width]
        assert decode_bundle(data) == expected
        assert encode_bundle(expected) == data


def test_every_tile_is_of_these_entries(leaves):
    for tile in tiles_for(len(leaves)):
        span = 256**tile.level
        first = tile.index * 256
        hashes = [
            merkle.tree_root(leaves[at * span : (at + 1) * span])
            for at in range(first, first + tile.width)
        ]
        assert vectors.read_bytes(f"{LOG}/{tile_path(tile)}") == b"".join(hashes)


def test_the_tlog_proof_proves_its_entry(meta, keys, leaves):
    text = vectors.read_bytes(f"{LOG}/{meta['tlog_proof']['file']}").decode()
    proof = tlog_proof.parse(text)
    assert proof.index == meta["tlog_proof"]["index"]
    head = parse(note.open_note(proof.checkpoint, keys).text)
    merkle.verify_inclusion(
        proof.index, head.size, leaves[proof.index], proof.hashes, head.root
    )


def test_the_tlog_proof_is_made_again_from_the_tiles(meta):
    text = vectors.read_bytes(f"{LOG}/{meta['tlog_proof']['file']}").decode()
    index = meta["tlog_proof"]["index"]
    hashes = merkle.inclusion_proof(index, meta["size"], read_node)
    checkpoint = vectors.read_bytes(f"{LOG}/checkpoint").decode()
    assert tlog_proof.TlogProof(index, tuple(hashes), checkpoint).text() == text


@pytest.mark.parametrize("old_size", [1, 255, 256, 257, 512, 599])
def test_consistency_is_proven_from_the_tiles(opened, leaves, old_size):
    head = parse(opened.text)
    proof = merkle.consistency_proof(old_size, head.size, read_node)
    old_root = merkle.tree_root(leaves[:old_size])
    merkle.verify_consistency(old_size, head.size, old_root, head.root, proof)
