import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receipts.merkle import (
    EMPTY_ROOT,
    MAX_SIZE,
    ProofError,
    consistency_nodes,
    consistency_proof,
    verify_consistency,
)
from tests import vectors
from tests.receipts.rfc6962 import mth, read, subproof

NEAR_POWERS = [255, 256, 257, 65_535, 65_536, 65_537]
sizes = st.integers(1, 300) | st.sampled_from(NEAR_POWERS)
pairs = st.tuples(sizes, sizes).map(sorted)
growths = pairs.filter(lambda pair: pair[0] < pair[1])


# The subtree variants are left out: we serve no subtree proofs.
@vectors.needs_vectors
@pytest.mark.parametrize(
    "name", vectors.names("transparency-dev-merkle/testdata/consistency/**/*.json")
)
def test_it_agrees_with_transparency_dev(name):
    case = vectors.read_json(name)
    old_root, new_root, *proof = (
        base64.b64decode(item)
        for item in [case["root1"], case["root2"], *(case["proof"] or [])]
    )
    try:
        verify_consistency(case["size1"], case["size2"], old_root, new_root, proof)
        refused = False
    except ProofError:
        refused = True
    assert refused is case["wantErr"]


def test_every_proof_between_small_trees_is_that_of_the_rfc():
    for new in range(1, 65):
        for old in range(1, new + 1):
            assert consistency_proof(old, new, read) == subproof(old, 0, new, True)


@given(pairs)
def test_a_proof_is_that_of_the_rfc(pair):
    old, new = pair
    assert consistency_proof(old, new, read) == subproof(old, 0, new, True)


@given(pairs)
def test_a_proof_holds(pair):
    old, new = pair
    proof = consistency_proof(old, new, read)
    verify_consistency(old, new, mth(0, old), mth(0, new), proof)


@given(pairs)
def test_a_proof_reads_the_nodes_named_before(pair):
    asked = []

    def asking(level, index):
        asked.append((level, index))
        return read(level, index)

    old, new = pair
    consistency_proof(old, new, asking)
    assert asked == consistency_nodes(old, new)


@given(growths, st.data())
def test_a_flipped_bit_is_caught(pair, data):
    old, new = pair
    proof = consistency_proof(old, new, read)
    everything = bytearray(b"".join([mth(0, old), mth(0, new), *proof]))
    bit = data.draw(st.integers(0, len(everything) * 8 - 1))
    everything[bit // 8] ^= 1 << bit % 8
    parts = [bytes(everything[at : at + 32]) for at in range(0, len(everything), 32)]
    with pytest.raises(ProofError):
        verify_consistency(old, new, parts[0], parts[1], parts[2:])


@given(growths, st.data())
def test_a_proof_of_another_length_is_caught(pair, data):
    old, new = pair
    proof = consistency_proof(old, new, read)
    at = data.draw(st.integers(0, len(proof) - 1))
    for other in (proof[:at] + proof[at + 1 :], [*proof[:at], bytes(32), *proof[at:]]):
        with pytest.raises(ProofError):
            verify_consistency(old, new, mth(0, old), mth(0, new), other)


def test_a_rewritten_history_is_caught():
    proof = consistency_proof(5, 8, read)
    with pytest.raises(ProofError, match="other roots"):
        verify_consistency(5, 8, mth(0, 4), mth(0, 8), proof)


@pytest.mark.parametrize("size", [0, 1, 7])
def test_from_a_size_to_itself_or_from_nothing_there_is_nothing_to_prove(size):
    assert consistency_proof(size, size, read) == []
    assert consistency_proof(0, size, read) == []


@pytest.mark.parametrize(("size", "proof"), [(0, []), (3, []), (3, [bytes(32)])])
def test_a_proof_from_the_empty_tree_proves_nothing(size, proof):
    with pytest.raises(ProofError, match="nothing is proven"):
        verify_consistency(0, size, EMPTY_ROOT, mth(0, size), proof)


@pytest.mark.parametrize(
    ("old", "new"),
    [(2, 1), (-1, 1), (1, 2**64), (1, MAX_SIZE + 1), (True, 2), (1, 2.0)],
)
def test_sizes_that_no_history_has_are_refused(old, new):
    with pytest.raises(ProofError):
        consistency_nodes(old, new)
    with pytest.raises(ProofError):
        verify_consistency(old, new, bytes(32), bytes(32), [bytes(32)])
