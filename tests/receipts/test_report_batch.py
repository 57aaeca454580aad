import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from receipts.verifier import Verdict
from tests.caller import RUN
from tests.receipts.auditor import audit, fetch, grow, log_size, receipt_path

PATH = "/v1/receipts/batch"


def report(caller, runs):
    answer = caller.post(PATH, {"receipts": runs})
    assert answer.status_code == 200, answer.content
    assert answer.json().keys() == {"success", "results"}
    assert answer.json()["success"] is True
    return answer.json()["results"]


def run(number, **claims):
    return RUN | {"run_id": f"run-{number}"} | claims


def test_it_answers_a_receipt_for_each_in_the_order_given(alice):
    results = report(alice, [run(number) for number in (3, 1, 2)])
    assert [result["status"] for result in results] == [200, 200, 200]
    receipts = [result["receipt"] for result in results]
    assert [receipt["run_id"] for receipt in receipts] == ["run-3", "run-1", "run-2"]
    assert [receipt["_mmr_leaf_index"] for receipt in receipts] == [0, 1, 2]


def test_its_receipts_are_those_of_single_reports(alice):
    single = alice.record(run_id="run-0")
    (result,) = report(alice, [run(1)])
    assert result.keys() == {"status", "receipt"}
    assert result["receipt"].keys() == single.keys()
    assert fetch(alice, receipt_path("run-1"))["receipt"] == result["receipt"]


def test_every_receipt_verifies(alice):
    grow(alice, 5)
    for number in range(5):
        assert audit(alice, f"run-{number}").verdict is Verdict.VALID


def test_runs_without_an_id_get_one_each(alice):
    results = report(alice, [RUN, RUN])
    assert len({result["receipt"]["run_id"] for result in results}) == 2


def test_a_thousand_are_taken(alice):
    assert [result["status"] for result in report(alice, [RUN] * 1000)] == [200] * 1000
    assert log_size(alice) == 1000


@pytest.mark.parametrize(
    "receipts",
    [
        pytest.param([RUN] * 1001, id="1,001"),
        pytest.param([], id="none"),
        pytest.param(None, id="null"),
        pytest.param(RUN, id="an object"),
        pytest.param("run-1", id="a string"),
        pytest.param(1, id="a number"),
    ],
)
def test_what_is_no_batch_is_400(alice, receipts):
    answer = alice.post(PATH, {"receipts": receipts})
    assert answer.status_code == 400
    assert [*answer.json()["details"]] == ["receipts"]
    assert log_size(alice) == 0


class TestABadMember:
    @pytest.mark.parametrize(
        ("bad", "field"),
        [
            (run(1, tokens_in=-1), "tokens_in"),
            (run("a/b"), "run_id"),
            (run(1, timestamp=9 * 10**12), "timestamp"),
            ({}, "model_passport_id"),
            ([], "body"),
            (None, "body"),
            ("run-1", "body"),
            (42, "body"),
            ([RUN], "body"),
        ],
    )
    def test_it_does_not_fail_the_others(self, alice, bad, field):
        results = report(alice, [run(0), bad, run(2)])
        assert [result["status"] for result in results] == [200, 400, 200]
        assert results[2]["receipt"]["_mmr_leaf_index"] == 1
        assert field in results[1]["error"]["details"]

    def test_its_error_is_the_error_body(self, alice):
        answer = alice.post(PATH, {"receipts": [run(0, runtime="")]})
        assert answer.json()["results"] == [
            {
                "status": 400,
                "error": {
                    "success": False,
                    "error": "runtime: Expected `str` of length >= 1",
                    "message": "runtime: Expected `str` of length >= 1",
                    "error_code": "INVALID_REQUEST",
                    "code": "INVALID_REQUEST",
                    "http_status": 400,
                    "details": {"runtime": ["Expected `str` of length >= 1"]},
                    "request_id": answer["X-Request-ID"],
                },
            }
        ]

    def test_all_may_be_bad(self, alice):
        results = report(alice, [{}, run(1, runtime=7)])
        assert [result["status"] for result in results] == [400, 400]
        assert log_size(alice) == 0

    def test_what_cannot_be_read_alike_by_all_fails_the_batch(self, alice):
        # Strict JSON is of the document: a number beyond 2^53 is not a member's.
        answer = alice.post(PATH, {"receipts": [run(0), run(1, tokens_in=2**53)]})
        assert answer.status_code == 400
        assert [*answer.json()["details"]] == ["receipts.1.tokens_in"]
        assert log_size(alice) == 0


class TestRepeats:
    def test_of_a_batch_answer_the_stored_receipts(self, alice):
        first = report(alice, [run(0), run(1)])
        assert report(alice, [run(0), run(1)]) == first
        assert log_size(alice) == 2

    def test_within_a_batch_are_one_receipt(self, alice):
        results = report(alice, [run(0), run(1), run(0)])
        assert results[2] == results[0]
        assert log_size(alice) == 2

    def test_some_members_may_be_new(self, alice):
        stored = alice.record(run_id="run-0")
        results = report(alice, [run(0), run(1)])
        assert results[0]["receipt"] == stored
        assert results[1]["receipt"]["_mmr_leaf_index"] == 1

    def test_with_other_content_are_a_conflict_of_that_member(self, alice):
        alice.record(run_id="run-0")
        results = report(alice, [run(0, tokens_in=1), run(1)])
        assert [result["status"] for result in results] == [409, 200]
        assert results[0]["error"]["error_code"] == "RUN_ID_CONFLICT"
        assert results[1]["receipt"]["_mmr_leaf_index"] == 1

    def test_with_other_content_within_a_batch_are_a_conflict(self, alice):
        results = report(alice, [run(0), run(0, tokens_in=1)])
        assert [result["status"] for result in results] == [200, 409]
        assert log_size(alice) == 1


@pytest.mark.parametrize("count", [2, 10, 40])
def test_the_number_of_queries_is_the_same_for_any_number(
    alice, django_assert_num_queries, count
):
    report(alice, [run("first")])
    with CaptureQueriesContext(connection) as queries:
        report(alice, [run("one")])
    with django_assert_num_queries(len(queries)):
        report(alice, [run(number) for number in range(count)])


def test_it_costs_django_no_query_once_the_key_is_known(
    alice, django_assert_num_queries, on_postgresql
):
    if not on_postgresql:
        pytest.skip("on SQLite the ledger has no connection of its own")
    alice.record()
    with django_assert_num_queries(0):
        report(alice, [run(number) for number in range(100)])


def test_bob_who_may_only_read_may_not_report(bob):
    answer = bob.post(PATH, {"receipts": [RUN]})
    assert answer.status_code == 403
    assert answer.json()["error_code"] == "INSUFFICIENT_SCOPE"
