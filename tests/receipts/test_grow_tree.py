import pytest
from hypothesis import given
from hypothesis import strategies as st

from receipts.merkle import (
    EMPTY_ROOT,
    MAX_SIZE,
    Frontier,
    leaf_hash,
    node_hash,
    root_at,
    root_nodes,
    tree_root,
)
from tests.receipts.rfc6962 import leaf, mth, read

SIZES = [*range(301), 65_535, 65_536, 65_537]


def grown(size):
    return Frontier().append(leaf(index) for index in range(size))


def test_the_empty_root_is_the_hash_of_nothing():
    assert EMPTY_ROOT.hex() == (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )


def test_leaves_and_nodes_are_hashed_apart():
    # From the RFC 6962 test data: the empty leaf, and the node of two of them.
    empty = leaf_hash(b"")
    assert empty.hex() == (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )
    assert node_hash(empty, empty) != leaf_hash(empty + empty)


def test_every_root_on_the_way_is_that_of_the_rfc():
    frontier = Frontier()
    for size in SIZES:
        frontier = frontier.append(leaf(at) for at in range(frontier.size, size))
        assert frontier.root() == mth(0, size)


def test_a_root_is_found_again_from_the_nodes():
    assert [root_at(size, read) for size in SIZES] == [mth(0, size) for size in SIZES]


def test_tree_root_takes_any_leaf_hashes():
    assert tree_root(leaf(index) for index in range(7)) == mth(0, 7)


@given(st.lists(st.integers(0, 40), max_size=8))
def test_batches_grow_the_same_tree_as_single_leaves(batches):
    frontier, size = Frontier(), 0
    for batch in batches:
        frontier = frontier.append(leaf(index) for index in range(size, size + batch))
        size += batch
    assert frontier == grown(size)


def test_appending_leaves_the_old_frontier_as_it_was():
    old = grown(3)
    old.append([leaf(3)])
    assert old == grown(3)


def test_a_frontier_is_the_nodes_of_its_root():
    assert list(grown(300).hashes) == [read(*node) for node in root_nodes(300)]


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257])
def test_a_frontier_reads_back(size):
    frontier = grown(size)
    data = frontier.to_bytes()
    assert len(data) == 32 * size.bit_count()
    assert Frontier.from_bytes(size, data) == frontier


@pytest.mark.parametrize("size", [-1, MAX_SIZE + 1, True, 2.0, 4, 7])
def test_a_frontier_of_another_size_is_refused(size):
    with pytest.raises(ValueError, match="size"):
        Frontier.from_bytes(size, bytes(64))


def test_a_frontier_needs_its_hashes():
    with pytest.raises(ValueError, match="frontier"):
        Frontier(3, (bytes(32),))


def test_a_tree_does_not_outgrow_its_counter():
    full = Frontier(MAX_SIZE, (bytes(32),) * 63)
    with pytest.raises(ValueError, match="tree size"):
        full.append([bytes(32)])
