import pytest
from hypothesis import given
from hypothesis import strategies as st

from receipts.tiles import (
    ENTRIES,
    TILE_WIDTH,
    BundleError,
    Tile,
    TilePathError,
    bundles_for,
    decode_bundle,
    encode_bundle,
    locate,
    node_from_tile,
    parse_tile_path,
    tile_path,
    tiles_for,
)
from tests.receipts.rfc6962 import read

tiles = st.builds(
    Tile, st.integers(ENTRIES, 3), st.integers(0, 2**31 - 1), st.integers(1, 256)
)


@given(tiles)
def test_a_path_reads_back(tile):
    assert parse_tile_path(tile_path(tile)) == tile


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 1234067), "tile/0/x001/x234/067"),
        (Tile(0, 0), "tile/0/000"),
        (Tile(1, 999, 17), "tile/1/999.p/17"),
        (Tile(2, 1000), "tile/2/x001/000"),
        (Tile(63, 0, 1), "tile/63/000.p/1"),
        (Tile(ENTRIES, 273, 112), "tile/entries/273.p/112"),
    ],
)
def test_a_path_is_that_of_the_specification(tile, path):
    assert tile_path(tile) == path
    assert parse_tile_path(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile",
        "tile/0/",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001",
        "tile/00/001",
        "tile/01/001",
        "tile/64/000",
        "tile/-1/000",
        "tile/data/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/x001.p/5/000",
        "tile/0/000/",
        "tile/0/000\n",
        "/tile/0/000",
        "tile/0/\u0660\u0660\u0660",
        "tile/7/001",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/0/x001/x001/x001/x001/x001/x001/x001/001",
        "tile/0/../000",
    ],
)
def test_any_other_spelling_is_refused(path):
    with pytest.raises(TilePathError):
        parse_tile_path(path)


def test_a_tree_of_70000_has_the_tiles_of_the_specification():
    tiles = list(tiles_for(70_000))
    assert tiles == [
        *(Tile(0, index) for index in range(273)),
        Tile(0, 273, 112),
        Tile(1, 0),
        Tile(1, 1, 17),
        Tile(2, 0, 1),
    ]


def test_a_full_tile_starts_a_partial_one_above():
    assert list(tiles_for(256)) == [Tile(0, 0), Tile(1, 0, 1)]


def test_an_empty_log_has_no_tiles():
    assert [*tiles_for(0), *bundles_for(0)] == []


def test_bundles_are_cut_as_the_leaf_hashes():
    assert list(bundles_for(600)) == [
        Tile(ENTRIES, 0),
        Tile(ENTRIES, 1),
        Tile(ENTRIES, 2, 88),
    ]


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_reads_back(entries):
    assert decode_bundle(encode_bundle(entries)) == entries


def test_a_bundle_is_lengths_and_entries():
    assert encode_bundle([b"ab", b""]) == b"\x00\x02ab\x00\x00"


def test_a_bundle_takes_the_longest_entry():
    entry = bytes(65_535)
    assert decode_bundle(encode_bundle([entry])) == [entry]


def test_a_bundle_refuses_a_longer_entry():
    with pytest.raises(BundleError):
        encode_bundle([bytes(65_536)])


@pytest.mark.parametrize("data", [b"\x00", b"\x00\x01", b"\x00\x01a\x00"])
def test_a_bundle_cut_off_is_refused(data):
    with pytest.raises(BundleError):
        decode_bundle(data)


@given(st.integers(0, 16), st.data())
def test_a_node_is_found_in_its_tile(level, data):
    index = data.draw(st.integers(0, (2**16 >> level) - 1))
    tile_level, tile_index, inner_level, inner_index = locate(level, index)
    first = tile_index * TILE_WIDTH
    width = min(TILE_WIDTH, (2**16 >> 8 * tile_level) - first)
    tile = b"".join(read(8 * tile_level, first + at) for at in range(width))
    assert node_from_tile(inner_level, inner_index, tile) == read(level, index)


def test_a_node_beyond_a_partial_tile_is_refused():
    with pytest.raises(ValueError, match="does not reach"):
        node_from_tile(1, 1, bytes(32 * 3))
