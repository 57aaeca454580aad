"""What the server gives to a browser that remembers an earlier checkpoint."""

import pytest

from receipts.merkle import verify_consistency
from tests.conftest import new_caller
from tests.receipts.auditor import grow, read_checkpoint, vkey
from tests.tenants.people import Person, new_person


@pytest.fixture
def auditor(acme) -> Person:
    return new_person(acme, "auditor")


def ask(person, query):
    return person.get(f"/receipts/consistency?{query}")


def head(caller):
    text = caller.get(f"/log/{caller.tenant.slug}/checkpoint").content
    return read_checkpoint(text, vkey(caller))


def test_it_proves_that_the_log_has_grown(alice, auditor):
    grow(alice, 3)
    older = head(alice)
    grow(alice, 5)
    newer = head(alice)
    answer = ask(auditor, "from=3&to=8").json()
    hashes = [bytes.fromhex(item) for item in answer["proof"]]
    verify_consistency(3, 8, older.root, newer.root, hashes)
    assert answer["origin"] == newer.origin


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("to=2", "from"),
        ("from=x", "from"),
        ("from=-1", "from"),
        ("from=3&to=2", "from"),
        ("from=1&to=4", "to"),
        ("from=1&to=99999999999999999999999", "to"),
        ("from=4", "from"),
    ],
)
def test_a_size_it_never_had_is_refused_with_the_one_it_has(
    alice, auditor, query, field
):
    grow(alice, 3)
    answer = ask(auditor, query)
    assert answer.status_code == 400
    assert field in answer.json()["details"]
    assert answer.json()["size"] == 3


def test_a_tenant_without_receipts_has_no_log(auditor):
    answer = ask(auditor, "from=1")
    assert (answer.status_code, answer.json()["size"]) == (404, 0)


def test_live_and_test_data_have_logs_of_their_own(acme, alice, auditor):
    grow(new_caller(acme, mode="test"), 5)
    grow(alice, 2)
    assert ask(auditor, "from=1").json()["to"] == 2
    assert ask(auditor, "from=1&mode=test").json()["to"] == 5


def test_the_page_for_files_is_for_everybody(client, database):
    answer = client.get("/verify")
    assert answer.status_code == 200
    assert "No file is uploaded" in answer.content.decode()
