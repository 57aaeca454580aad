import pytest

from receipts.merkle import (
    leaf_hash,
    node_hash,
    root_from_inclusion,
    tree_root,
    verify_inclusion,
)
from receipts.verifier import Verdict, verify
from tests.receipts.auditor import (
    audit,
    dumps,
    fetch,
    grow,
    log_size,
    read_checkpoint,
    receipt_path,
    vkey,
)
from tests.receipts.conftest import SIZES

MEMBERS = {
    *("run_id", "receipt_hash", "leaf", "leaf_hash", "leaf_index"),
    *("proof", "siblings", "directions", "root", "tree_size", "origin"),
    *("checkpoint", "proof_type", "key_set", "vkey"),
}
BOUNDARIES = [0, 1, 254, 255, 256, 257, 510, 511, 512, 513, 598, 599]


def prove(caller, name, query=""):
    answer = fetch(caller, receipt_path(name, "proof") + query)
    assert answer.keys() == {"success", "proof"}
    assert answer["success"] is True
    return answer["proof"]


def hashes(proof):
    return [bytes.fromhex(item) for item in proof["proof"]]


def test_it_has_these_members(alice):
    receipt = grow(alice, 2)[1]
    proof = prove(alice, "run-1")
    assert proof.keys() == MEMBERS
    assert proof["run_id"] == "run-1"
    assert proof["receipt_hash"] == receipt["receipt_hash"]
    assert (proof["leaf_index"], proof["tree_size"]) == (1, 2)
    assert proof["origin"] == f"localhost/log/{alice.tenant.slug}"
    assert proof["proof_type"] == "rfc6962"
    assert proof["proof"] == proof["siblings"]
    assert proof["directions"] == ["L"]


def test_it_is_found_by_either_id(alice):
    receipt = grow(alice, 2)[1]
    assert prove(alice, receipt["receipt_id"]) == prove(alice, "run-1")


def test_the_only_leaf_needs_no_hashes(alice):
    grow(alice, 1)
    proof = prove(alice, "run-0")
    assert (proof["proof"], proof["directions"]) == ([], [])
    assert proof["root"] == proof["leaf_hash"]


def test_the_proof_of_a_test_receipt_is_of_the_test_log(alice_test):
    alice_test.record(run_id="run-1")
    assert prove(alice_test, "run-1")["origin"].endswith("/test")
    assert audit(alice_test, "run-1").verdict is Verdict.VALID


def test_unknown_is_404(alice):
    assert alice.get(receipt_path("run-1", "proof")).status_code == 404


class TestInALogOfSixHundred:
    @pytest.mark.parametrize("index", BOUNDARIES)
    def test_a_receipt_verifies_from_the_answers_alone(
        self, database, six_hundred, index
    ):
        assert audit(six_hundred.caller, f"run-{index}").verdict is Verdict.VALID

    def test_every_receipt_is_proven(self, database, six_hundred):
        leaves = [leaf_hash(entry) for entry in six_hundred.entries]
        root = tree_root(leaves)
        for index in range(0, 600, 7):
            proof = prove(six_hundred.caller, f"run-{index}")
            assert (proof["leaf_index"], proof["root"]) == (index, root.hex())
            verify_inclusion(index, 600, leaves[index], hashes(proof), root)

    def test_in_every_tree_it_has_been(self, database, six_hundred):
        # An index for each size, so that they come from all over these trees.
        leaves = [leaf_hash(entry) for entry in six_hundred.entries]
        for size in {*range(1, 601, 5), *SIZES, *(edge + 1 for edge in BOUNDARIES)}:
            index = 7919 * 13 % size
            proof = prove(six_hundred.caller, f"run-{index}", f"?size={size}")
            root = tree_root(leaves[:size])
            assert (proof["tree_size"], proof["root"]) == (size, root.hex())
            verify_inclusion(index, size, leaves[index], hashes(proof), root)

    @pytest.mark.parametrize("size", SIZES)
    def test_the_checkpoint_that_was_signed_at_a_size_verifies_its_proof(
        self, database, six_hundred, size
    ):
        caller, note = six_hundred.caller, six_hundred.checkpoints[size]
        head = read_checkpoint(note, vkey(caller))
        proof = prove(caller, f"run-{size // 2}", f"?size={size}")
        assert head.root.hex() == proof["root"]
        receipt = six_hundred.receipts[size // 2]
        result = verify(receipt, dumps(proof | {"checkpoint": note}), [vkey(caller)])
        assert result.verdict is Verdict.VALID

    def test_directions_say_on_which_side_a_sibling_is(self, database, six_hundred):
        proof = prove(six_hundred.caller, "run-299")
        root = bytes.fromhex(proof["leaf_hash"])
        for side, sibling in zip(proof["directions"], hashes(proof), strict=True):
            pair = (sibling, root) if side == "L" else (root, sibling)
            root = node_hash(*pair)
        assert root.hex() == proof["root"]


class TestSize:
    def test_without_one_it_is_the_newest(self, alice):
        grow(alice, 3)
        proof = prove(alice, "run-1")
        assert proof == prove(alice, "run-1", "?size=3")
        head = read_checkpoint(proof["checkpoint"], vkey(alice))
        assert (head.size, head.root.hex()) == (3, proof["root"])

    def test_an_older_one_has_no_checkpoint(self, alice):
        # Only the newest is kept: whoever asks has the one that made them ask.
        grow(alice, 3)
        assert prove(alice, "run-1", "?size=2")["checkpoint"] is None

    def test_a_proof_stays_what_it_was_while_the_log_grows(self, alice):
        grow(alice, 3)
        before = prove(alice, "run-1")
        grow(alice, 300)
        after = prove(alice, "run-1", "?size=3")
        for name in ("proof", "directions", "root", "leaf_hash", "tree_size"):
            assert after[name] == before[name]

    def test_the_smallest_tree_ends_with_the_receipt(self, alice):
        grow(alice, 5)
        proof = prove(alice, "run-2", "?size=3")
        leaf = bytes.fromhex(proof["leaf_hash"])
        assert root_from_inclusion(2, 3, leaf, hashes(proof)).hex() == proof["root"]

    @pytest.mark.parametrize(
        "size", ["0", "2", "6", "-1", "a", "", "1.5", str(2**63), "9" * 40, "%2B3"]
    )
    def test_one_without_the_receipt_is_400(self, alice, size):
        grow(alice, 5)
        answer = alice.get(receipt_path("run-2", "proof") + f"?size={size}")
        assert answer.status_code == 400
        assert [*answer.json()["details"]] == ["size"]


@pytest.mark.parametrize("size", [1, 100, 256, 300, 513])
def test_the_number_of_queries_does_not_grow_with_the_log(
    alice, django_assert_max_num_queries, size
):
    grow(alice, size)
    prove(alice, "run-0")
    # The key; the receipt with its log; full tiles, partial ones of two levels; for
    # the keyring the tenant, log and its keys; the key set.
    with django_assert_max_num_queries(9):
        prove(alice, f"run-{size - 1}")
    assert log_size(alice) == size
