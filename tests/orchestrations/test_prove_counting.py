"""An auditor checks offline which calls a run counted."""

import json

import pytest

from orchestrations.counting import inclusion, main, root_over
from receipts.merkle import leaf_hash, verify_inclusion
from tests.orchestrations.runs import get, post, record, start


@pytest.fixture
def ended(alice):
    run = start(alice)
    for _ in range(5):
        record(alice, run)
    assert post(alice, run, "complete", {}).status_code == 200
    return run


@pytest.fixture
def check(alice, ended, tmp_path):
    """Write the pages an auditor was given, changed by a test, and check them."""

    def run(change=lambda pages: None):
        pages, path = [], f"/v1/orchestrations/{ended}/receipts?limit=2"
        cursor = ""
        while cursor is not None:
            page = alice.get(path + (f"&cursor={cursor}" if cursor else "")).json()
            pages.append(page)
            cursor = page["next_cursor"]
        final = tmp_path / "final.json"
        final.write_text(json.dumps(pages[0]))
        change(pages)
        files = []
        for number, page in enumerate(pages):
            files.append(tmp_path / f"page-{number}.json")
            files[-1].write_text(json.dumps(page))
        return main([str(final), *map(str, files)])

    return run


def test_exactly_these_were_counted(check, capsys):
    assert check() == 0
    expected = "VALID: exactly these 5 inferences were counted\n"
    assert capsys.readouterr().out == expected


def leave_one_out(pages):
    pages[1]["receipts"].pop()


def swap(pages):
    pages[0]["receipts"].reverse()


def repeat_one_for_another(pages):
    pages[0]["receipts"][1] = pages[0]["receipts"][0]


def change_a_cost(pages):
    pages[0]["receipts"][0]["cost"]["cents"] = "0.01"


def take_from_elsewhere(pages):
    pages[0]["receipts"][0]["orchestration_id"] = "maip-orch:other"


@pytest.mark.parametrize(
    "change",
    [
        leave_one_out,
        swap,
        repeat_one_for_another,
        change_a_cost,
        take_from_elsewhere,
    ],
)
def test_anything_else_is_told(check, change):
    assert check(change) == 1


def test_what_cannot_be_read_is_no_verdict(tmp_path):
    file = tmp_path / "x.json"
    file.write_text("[]")
    assert main([str(file), str(file)]) == 64
    assert main([str(file), str(tmp_path / "none")]) == 64


def test_the_path_of_each_leads_to_the_root_of_the_final_receipt(alice, ended):
    page = alice.get(f"/v1/orchestrations/{ended}/receipts").json()
    root = bytes.fromhex(page["final_receipt"]["inferences"]["root"])
    for receipt in page["receipts"]:
        answer = alice.get(f"/v1/inferences/{receipt['run_id']}/proof").json()["proof"]
        verify_inclusion(
            answer["leaf_index"],
            answer["tree_size"],
            leaf_hash(bytes.fromhex(receipt["receipt_hash"])),
            [bytes.fromhex(element) for element in answer["proof"]],
            root,
        )
    assert get(alice, ended)["inferences"]["root"] == root.hex()


def test_a_hash_that_was_not_counted_has_no_path():
    hashes = [bytes([number]) * 32 for number in range(3)]
    with pytest.raises(ValueError, match="not in"):
        inclusion(hashes, bytes(32)[:31] + b"\xff")
    assert inclusion(hashes, hashes[1])["root"] == root_over(hashes).hex()
