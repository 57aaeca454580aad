from uuid import UUID

import pytest

from tests.receipts.auditor import fetch, receipt_path


def get(caller, name):
    answer = fetch(caller, receipt_path(name))
    assert answer.keys() == {"success", "receipt"}
    assert answer["success"] is True
    return answer["receipt"]


def test_by_run_id(alice):
    alice.record(run_id="other")
    receipt = alice.record(run_id="run-1")
    assert get(alice, "run-1") == receipt


def test_by_receipt_id(alice):
    alice.record(run_id="other")
    receipt = alice.record(run_id="run-1")
    assert get(alice, receipt["receipt_id"]) == receipt


def test_by_receipt_id_in_capitals(alice):
    receipt = alice.record()
    assert get(alice, receipt["receipt_id"].upper()) == receipt


def test_a_run_id_may_be_batch(alice):
    # Where POST is another endpoint.
    receipt = alice.record(run_id="batch")
    assert get(alice, "batch") == receipt


@pytest.mark.parametrize("action", ["verify", "proof"])
def test_the_receipt_called_batch_has_its_actions(alice, action):
    alice.record(run_id="batch")
    assert alice.get(f"/v1/receipts/batch/{action}").status_code == 200


def test_batch_is_404_without_such_a_run(alice):
    alice.record()
    assert alice.get("/v1/receipts/batch").status_code == 404


@pytest.mark.parametrize(
    "run_id",
    [
        "0197b2e4-0000-7000-8000-000000000000",
        "0197B2E4-0000-7000-8000-000000000000",
        "0197b2e4000070008000000000000000",
        "{0197b2e4-0000-7000-8000-000000000000}",
        "urn:uuid:0197b2e4-0000-7000-8000-000000000000",
    ],
)
def test_a_run_id_may_look_like_a_uuid(alice, run_id):
    receipt = alice.record(run_id=run_id)
    assert get(alice, run_id) == receipt


def test_a_receipt_id_comes_before_a_run_id(alice):
    first = alice.record(run_id="run-1")
    alice.record(run_id=first["receipt_id"])
    assert get(alice, first["receipt_id"]) == first


@pytest.mark.parametrize(
    "name",
    ["run-2", "RUN-1", "run-1 ", "0197b2e4-0000-7000-8000-000000000000", "a" * 500],
)
def test_unknown_is_404(alice, name):
    alice.record(run_id="run-1")
    answer = alice.get(receipt_path(name))
    assert answer.status_code == 404
    assert answer.json()["error_code"] == "NOT_FOUND"


def test_bob_may_read_what_alice_reported(alice, bob):
    receipt = alice.record(run_id="run-1")
    assert get(bob, "run-1") == receipt


@pytest.mark.parametrize("by", ["run_id", "receipt_id"])
def test_to_an_outsider_it_does_not_exist(alice, charlie, by):
    answer = charlie.get(receipt_path(alice.record()[by]))
    assert answer.status_code == 404


@pytest.mark.parametrize("by", ["run_id", "receipt_id"])
def test_a_test_key_sees_no_live_data(alice, alice_test, by):
    assert alice_test.get(receipt_path(alice.record()[by])).status_code == 404


@pytest.mark.parametrize("by", ["run_id", "receipt_id"])
def test_a_live_key_sees_no_test_data(alice, alice_test, by):
    assert alice.get(receipt_path(alice_test.record()[by])).status_code == 404


@pytest.mark.parametrize("by", ["run_id", "receipt_id"])
def test_it_takes_two_queries(alice, django_assert_num_queries, by):
    name = alice.record(run_id="run-1")[by]
    get(alice, name)
    with django_assert_num_queries(2):  # the key, the receipt
        get(alice, name)


def test_the_receipt_id_is_spelled_as_uuids_are(alice):
    receipt_id = alice.record()["receipt_id"]
    assert receipt_id == str(UUID(receipt_id))
