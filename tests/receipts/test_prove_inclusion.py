import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receipts.merkle import (
    MAX_SIZE,
    ProofError,
    directions,
    inclusion_nodes,
    inclusion_proof,
    node_hash,
    root_from_inclusion,
    verify_inclusion,
)
from tests import vectors
from tests.receipts.rfc6962 import leaf, mth, path, read

NEAR_POWERS = [255, 256, 257, 65_535, 65_536, 65_537]
sizes = st.integers(1, 300) | st.sampled_from(NEAR_POWERS)


@st.composite
def leaves(draw):
    size = draw(sizes)
    return draw(st.integers(0, size - 1)), size


# The subtree variants are left out: we serve no subtree proofs.
@vectors.needs_vectors
@pytest.mark.parametrize(
    "name", vectors.names("transparency-dev-merkle/testdata/inclusion/**/*.json")
)
def test_it_agrees_with_transparency_dev(name):
    case = vectors.read_json(name)
    root, leaf_hash, *proof = (
        base64.b64decode(item)
        for item in [case["root"], case["leafHash"], *(case["proof"] or [])]
    )
    try:
        verify_inclusion(case["leafIdx"], case["treeSize"], leaf_hash, proof, root)
        refused = False
    except ProofError:
        refused = True
    assert refused is case["wantErr"]


def test_every_proof_in_small_trees_is_that_of_the_rfc():
    places = [(index, size) for size in range(1, 65) for index in range(size)]
    for index, size in places:
        assert inclusion_proof(index, size, read) == path(index, 0, size)


@given(leaves())
def test_a_proof_is_that_of_the_rfc(place):
    index, size = place
    assert inclusion_proof(index, size, read) == path(index, 0, size)


@given(leaves())
def test_a_proof_leads_to_the_root(place):
    index, size = place
    proof = inclusion_proof(index, size, read)
    assert root_from_inclusion(index, size, leaf(index), proof) == mth(0, size)


@given(leaves())
def test_a_proof_reads_the_nodes_named_before(place):
    asked = []

    def asking(level, index):
        asked.append((level, index))
        return read(level, index)

    index, size = place
    inclusion_proof(index, size, asking)
    assert asked == inclusion_nodes(index, size)


@given(leaves())
def test_the_directions_alone_lead_to_the_root(place):
    index, size = place
    root = leaf(index)
    sides = directions(index, size)
    for side, sibling in zip(sides, path(index, 0, size), strict=True):
        root = node_hash(sibling, root) if side == "L" else node_hash(root, sibling)
    assert root == mth(0, size)


@given(leaves(), st.data())
def test_a_flipped_bit_is_caught(place, data):
    index, size = place
    proof = inclusion_proof(index, size, read)
    everything = bytearray(b"".join([leaf(index), *proof]))
    bit = data.draw(st.integers(0, len(everything) * 8 - 1))
    everything[bit // 8] ^= 1 << bit % 8
    flipped = [bytes(everything[at : at + 32]) for at in range(0, len(everything), 32)]
    with pytest.raises(ProofError):
        verify_inclusion(index, size, flipped[0], flipped[1:], mth(0, size))


@given(leaves(), st.integers(-1, 300))
def test_a_proof_is_of_one_index_only(place, other):
    index, size = place
    if other == index:
        return
    with pytest.raises(ProofError):
        verify_inclusion(
            other, size, leaf(index), inclusion_proof(index, size, read), mth(0, size)
        )


NO_PLACES = [
    (0, 0),
    (1, 1),
    (-1, 1),
    (2**64 - 1, 8),
    (0, 2**64),
    (0, MAX_SIZE + 1),
    (0, -1),
    (False, 1),
    (0, True),
    (0.0, 1),
]


@pytest.mark.parametrize(("index", "size"), NO_PLACES)
def test_no_proof_is_made_for_a_place_outside_the_tree(index, size):
    with pytest.raises(ProofError):
        inclusion_nodes(index, size)


@pytest.mark.parametrize(("index", "size"), NO_PLACES)
def test_no_proof_is_taken_for_a_place_outside_the_tree(index, size):
    with pytest.raises(ProofError):
        verify_inclusion(index, size, leaf(0), [], leaf(0))


def test_the_largest_tree_has_proofs():
    proof = inclusion_proof(MAX_SIZE - 1, MAX_SIZE, lambda level, index: bytes(32))
    assert len(proof) == len(directions(MAX_SIZE - 1, MAX_SIZE)) == 62


def test_a_short_hash_is_refused():
    with pytest.raises(ProofError, match="32 bytes"):
        root_from_inclusion(0, 2, leaf(0), [b"short"])
