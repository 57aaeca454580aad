import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connections
from django.utils import timezone

from orchestrations.counting import root_over
from orchestrations.models import Orchestration
from orchestrations.settling import settle_all
from receipts.fsck import check_log
from receipts.models import Receipt
from receipts.verifier import Verdict
from tenants.models import Mode
from tests.caller import Caller
from tests.conftest import new_caller
from tests.orchestrations.runs import AGENT, CALL, exact, get, post, record, start
from tests.receipts.auditor import audit, log_size
from tests.receipts.tampering import log_row

EMPTY_ROOT = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
HASH = "ab" * 32
ENDINGS = {
    "complete": ({"output": {"answer": 42}}, "completed"),
    "fail": ({"code": "E_TOOL", "message": "It broke."}, "failed"),
    "cancel": ({"reason": "No longer wanted."}, "cancelled"),
}
every_ending = pytest.mark.parametrize(
    ("how", "body", "status"),
    [(how, body, status) for how, (body, status) in ENDINGS.items()],
    ids=ENDINGS,
)


@pytest.fixture
def alice_test(acme) -> Caller:
    """Alice with a key for test data."""
    return new_caller(acme, mode=Mode.TEST)


def end(caller, run, how, body=None):
    answer = post(caller, run, how, ENDINGS[how][0] if body is None else body)
    assert answer.status_code == 200, answer.content
    return exact(answer)


def assert_refused(answer, status, code):
    assert answer.status_code == status, answer.content
    assert answer.json()["error_code"] == code
    return answer.json()


def assert_not_running(answer, status):
    assert assert_refused(answer, 409, "NOT_RUNNING")["status"] == status


def refusal(answer):
    return assert_refused(answer, 400, "INVALID_REQUEST")["details"]


def final_receipt(caller, run):
    return receipts_of(caller, run)["final_receipt"]


def receipts_of(caller, run, query="limit=200"):
    answer = caller.get(f"/v1/orchestrations/{run}/receipts?{query}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def let_time_pass(run, seconds=1):
    """Move a run's beginning and end back, so that its time is over since then."""
    row = Orchestration.objects.get(pk=run)
    over = timezone.now() - timedelta(seconds=seconds)
    Orchestration.objects.filter(pk=run).update(
        started_at=over - timedelta(seconds=row.timeout_seconds), expires_at=over
    )
    return over


def settled(run):
    return Orchestration.objects.get(pk=run)


def unix(text):
    return int(datetime.fromisoformat(text).timestamp())


def assert_sound(caller):
    assert check_log(log_row(caller).pk, lambda done: None) is None


def at_once(*actions):
    """Do these at the same time; return their results in the same order."""
    barrier = threading.Barrier(len(actions))
    results = [None] * len(actions)

    def act(place, action):
        try:
            barrier.wait()
            results[place] = action()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=act, args=item) for item in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@every_ending
class TestEveryEnding:
    def test_it_is_200_and_what_is_read_back(self, alice, how, body, status):
        run = start(alice)
        record(alice, run)
        answer = end(alice, run, how)
        assert answer["status"] == status
        found = get(alice, run)
        beside = {"agents", "input", "parameters", "metadata", "steps", "sequence"}
        beside.add("adjusted_cost_cents")
        assert answer == {n: v for n, v in found.items() if n not in beside}

    def test_it_has_a_receipt_that_verifies(self, alice, how, body, status):
        run = start(alice)
        answer = end(alice, run, how)
        assert audit(alice, answer["receipt_id"]).verdict is Verdict.VALID
        assert final_receipt(alice, run)["receipt_id"] == answer["receipt_id"]
        assert log_size(alice) == 1
        assert_sound(alice)

    def test_repeats_answer_the_same(self, alice, how, body, status):
        run = start(alice)
        first = end(alice, run, how)
        assert [end(alice, run, how) for _ in range(2)] == [first, first]
        assert log_size(alice) == 1

    def test_any_other_ending_is_a_conflict(self, alice, how, body, status):
        run = start(alice)
        before = end(alice, run, how)
        for other, (claims, _) in ENDINGS.items():
            if other == how:
                claims = {name: f"other {value}" for name, value in body.items()}
            refused = assert_refused(post(alice, run, other, claims), 409, "CONFLICT")
            assert refused["status"] == status
        assert get(alice, run)["receipt_id"] == before["receipt_id"]
        assert log_size(alice) == 1

    def test_nothing_is_recorded_after_it(self, alice, how, body, status):
        run = start(alice)
        end(alice, run, how)
        before = get(alice, run)
        assert_not_running(post(alice, run, "inferences", CALL), status)
        assert_not_running(post(alice, run, "steps", {"action": "decision"}), status)
        batch = post(alice, run, "inferences/batch", {"inferences": [CALL, CALL]})
        results = batch.json()["results"]
        assert [result["status"] for result in results] == [409, 409]
        assert {r["error"]["error_code"] for r in results} == {"NOT_RUNNING"}
        assert get(alice, run) == before
        assert log_size(alice) == 1

    def test_it_may_have_an_idempotency_key(self, alice, how, body, status):
        path = f"/v1/orchestrations/{start(alice)}/{how}"
        first = alice.post(path, body, Idempotency_Key="k")
        again = alice.post(path, body, Idempotency_Key="k")
        assert again.content == first.content
        assert again["Idempotent-Replayed"] == "true"
        other = alice.post(path, body | {"x": 1}, Idempotency_Key="k")
        assert_refused(other, 409, "IDEMPOTENCY_CONFLICT")

    def test_nobody_else_can_end_it(
        self, alice, alice_test, charlie, how, body, status
    ):
        run = start(alice)
        for outsider in (alice_test, charlie):
            assert_refused(post(outsider, run, how, body), 404, "NOT_FOUND")
        assert get(alice, run)["status"] == "running"

    def test_it_needs_orchestrations_write(self, alice, acme, how, body, status):
        run = start(alice)
        reader = new_caller(acme, ("orchestrations:read",))
        refused = post(reader, run, how, body)
        assert refused.status_code == 403
        assert refused.json()["details"] == {"scope": ["orchestrations:write"]}

    def test_of_what_is_not_there_is_404(self, alice, how, body, status):
        assert_refused(post(alice, "maip-orch:1", how, body), 404, "NOT_FOUND")


class TestCompleting:
    @pytest.mark.parametrize("body", [b"", b"{}", b'{"output": null}'])
    def test_nothing_need_be_said(self, alice, body):
        answer = end(alice, start(alice), "complete", body)
        assert (answer["output"], answer["output_hash"]) == (None, None)

    @pytest.mark.parametrize(
        "output", ["text", 42, 1.5, False, 0, "", [], {}, [1, {"a": None}]]
    )
    def test_the_output_is_any_json(self, alice, output):
        run = start(alice)
        answer = end(alice, run, "complete", {"output": output})
        assert answer["output"] == get(alice, run)["output"] == output

    def test_the_output_is_in_no_receipt_but_its_hash_is(self, alice):
        run = start(alice)
        secret = {"output": "a secret", "output_hash": HASH.upper()}
        answer = end(alice, run, "complete", secret)
        assert answer["output_hash"] == HASH
        assert final_receipt(alice, run)["output_hash"] == HASH
        (entry,) = Receipt.objects.filter(pk=answer["receipt_id"]).values_list("entry")
        assert b"a secret" not in bytes(entry[0])

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"output_hash": "x"}, "output_hash"),
            ({"output_hash": "a" * 63}, "output_hash"),
            ({"output_hash": ""}, "output_hash"),
            ({"output_hash": 1}, "output_hash"),
            ({"output": "\0"}, "output"),
            ({"output": {"a": ["\0"]}}, "output"),
            ({"output": "x" * (64 << 10)}, "output"),
            ([], "body"),
            ("x", "body"),
        ],
    )
    def test_it_refuses(self, alice, body, field):
        run = start(alice)
        assert [*refusal(post(alice, run, "complete", body))] == [field]
        assert get(alice, run)["status"] == "running"

    @pytest.mark.parametrize(
        ("first", "other"), [(1, True), (0, False), (1, 1.5), ("1", 1), ([], {})]
    )
    def test_another_output_is_a_conflict(self, alice, first, other):
        run = start(alice)
        end(alice, run, "complete", {"output": first})
        answer = post(alice, run, "complete", {"output": other})
        assert_refused(answer, 409, "CONFLICT")

    @pytest.mark.parametrize(
        ("first", "again"),
        [
            (b"1e25", b"1e25"),
            (b"1.5e300", b"1.5e300"),
            (b"1e-300", b"1e-300"),
            (b"1.0", b"1"),
            (b"-0.0", b"0"),
            (b'{"a":1,"b":2}', b'{"b":2.0,"a":1}'),
            (b'"\\u00fc"', '"ü"'.encode()),
        ],
    )
    def test_one_output_in_two_spellings_is_the_same(self, alice, first, again):
        run = start(alice)
        for output in (first, again):
            end(alice, run, "complete", b'{"output":%s}' % output)

    def test_an_output_left_out_is_another_ending(self, alice):
        run = start(alice)
        end(alice, run, "complete", {"output": 1})
        assert_refused(post(alice, run, "complete", {}), 409, "CONFLICT")


class TestFailing:
    def test_the_error_is_shown_and_signed(self, alice):
        run = start(alice)
        error = {"code": "E_TOOL", "message": "Zwei\nZeilen"}
        assert end(alice, run, "fail", error)["error"] == error
        assert get(alice, run)["error"] == error
        assert final_receipt(alice, run)["error"] == error

    def test_a_message_may_be_left_out(self, alice):
        answer = end(alice, start(alice), "fail", {"code": "E"})
        assert answer["error"] == {"code": "E", "message": ""}

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            (b"", None),
            ({}, "code"),
            ({"message": "m"}, "code"),
            *(({"code": code}, "code") for code in ("", None, 7, "a\nb", "x" * 101)),
            ({"code": "E", "message": 7}, "message"),
            ({"code": "E", "message": "x" * 2001}, "message"),
            ({"code": "E", "message": "\0"}, "message"),
        ],
    )
    def test_it_refuses(self, alice, body, field):
        run = start(alice)
        answer = post(alice, run, "fail", body)
        assert answer.status_code in {400, 415}
        if field:
            assert [*refusal(answer)] == [field]
        assert get(alice, run)["status"] == "running"

    def test_the_longest_error_fits_the_receipt(self, alice):
        body = {"code": "\N{GRINNING FACE}" * 100, "message": "\x01" * 2000}
        run = start(alice, agent_id="\N{GRINNING FACE}" * 200)
        assert end(alice, run, "fail", body)["error"] == body


class TestCancelling:
    @pytest.mark.parametrize("body", [b"", b"{}", b'{"reason": null}'])
    def test_nothing_need_be_said(self, alice, body):
        answer = end(alice, start(alice), "cancel", body)
        assert answer["error"] == {"code": "CANCELLED", "message": ""}

    def test_the_reason_is_shown_and_signed(self, alice):
        run = start(alice)
        end(alice, run, "cancel", {"reason": "No."})
        assert final_receipt(alice, run)["error"] == get(alice, run)["error"]
        assert get(alice, run)["error"] == {"code": "CANCELLED", "message": "No."}

    @pytest.mark.parametrize("reason", [7, "x" * 2001, "\0", ["a"]])
    def test_it_refuses(self, alice, reason):
        answer = post(alice, start(alice), "cancel", {"reason": reason})
        assert [*refusal(answer)] == ["reason"]


class TestTheFinalReceipt:
    def test_of_a_run_without_calls(self, alice):
        run = start(alice)
        answer = end(alice, run, "complete", {})
        receipt = final_receipt(alice, run)
        assert receipt["receipt_type"] == "orchestration"
        assert receipt["inferences"] == {"count": 0, "root": EMPTY_ROOT}
        assert receipt["orchestration_id"] == run
        assert receipt["agent_id"] == AGENT
        assert receipt["status"] == "completed"
        assert receipt["started_at"] == unix(answer["started_at"])
        assert receipt["ended_at"] == unix(answer["completed_at"])
        assert not receipt.keys() & {"error", "output_hash", "workflow_id"}

    def test_it_names_the_workflow_of_a_run_that_has_one(self, alice):
        run = start(alice, workflow_id="w")
        end(alice, run, "complete", {})
        assert final_receipt(alice, run)["workflow_id"] == "w"

    def test_its_totals_are_those_of_the_calls_and_steps(self, alice):
        run = start(alice)
        usage = {
            "input_tokens": 3,
            "cache_creation_input_tokens": 12_304,
            "output_tokens": 550,
        }
        told = {"prompt_tokens": None, "completion_tokens": None, "usage": usage}
        record(alice, run, model="claude-sonnet-4-6", cost_cents=None, **told)
        record(alice, run, model="nobody-knows", cost_cents=Decimal("0.000001"))
        record(alice, run, model="nobody-knows", cost_cents=None)
        contradictory = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 9}
        record(alice, run, provider="openai", usage=contradictory)
        step = {"action": "tool_call", "cost_cents": 1.5}
        assert post(alice, run, "steps", step).status_code == 201
        end(alice, run, "complete", {})
        totals = final_receipt(alice, run)["totals"]
        assert totals == {
            "input_tokens": 3 + 42 + 42 + 1,
            "cache_read_tokens": 0,
            "cache_write_5m_tokens": 12_304,
            "cache_write_1h_tokens": 0,
            "output_tokens": 550 + 128 + 128 + 1,
            "reasoning_tokens": 0,
            "cost_cents": "5.689901",
            "list_price_cents": "5.4399",
            "unpriced": 1,
            "contradictory": 1,
            "failed": 0,
            "steps": 1,
            "step_cost_cents": "1.5",
        }

    def test_its_root_is_over_the_receipts_of_the_run(self, alice):
        run, other = start(alice), start(alice)
        for _ in range(4):
            record(alice, run)
            record(alice, other)
        record(alice, run)
        calls = {"inferences": [CALL] * 3}
        assert post(alice, run, "inferences/batch", calls).status_code == 200
        end(alice, run, "complete", {})
        hashes, cursor = [], ""
        while cursor is not None:
            page = receipts_of(alice, run, f"limit=3{cursor}")
            hashes += [bytes.fromhex(r["receipt_hash"]) for r in page["receipts"]]
            cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
        final = final_receipt(alice, run)
        assert len(hashes) == final["inferences"]["count"] == 8
        assert final["inferences"]["root"] == root_over(hashes).hex()
        assert get(alice, run)["inferences"] == final["inferences"]
        assert_sound(alice)

    def test_it_comes_after_its_calls_in_the_log(self, alice):
        run = start(alice)
        for _ in range(3):
            record(alice, run)
        end(alice, run, "complete", {})
        page = receipts_of(alice, run)
        indexes = [receipt["_mmr_leaf_index"] for receipt in page["receipts"]]
        assert indexes == [0, 1, 2]
        assert page["final_receipt"]["_mmr_leaf_index"] == 3

    def test_while_it_runs_there_is_none(self, alice):
        run = start(alice)
        assert final_receipt(alice, run) is None


class TestTimeOuts:
    def assert_timed_out(self, caller, run, over):
        found = get(caller, run)
        assert found["status"] == "timeout"
        assert found["error"]["code"] == "TIMEOUT"
        assert datetime.fromisoformat(found["completed_at"]) == over
        receipt = final_receipt(caller, run)
        assert receipt["receipt_id"] == found["receipt_id"]
        assert receipt["status"] == "timeout"
        assert receipt["ended_at"] == int(over.timestamp())
        assert receipt["error"]["code"] == "TIMEOUT"
        assert audit(caller, found["receipt_id"]).verdict is Verdict.VALID
        assert_sound(caller)

    @pytest.mark.parametrize("path", ["", "/inferences", "/receipts"])
    def test_it_ends_when_it_is_looked_at(self, alice, path):
        run = start(alice)
        record(alice, run)
        over = let_time_pass(run)
        assert alice.get(f"/v1/orchestrations/{run}{path}").status_code == 200
        assert settled(run).status == "timeout"
        self.assert_timed_out(alice, run, over)

    def test_it_ends_when_a_proof_is_asked_for(self, alice):
        run = start(alice)
        name = record(alice, run)["inference_id"]
        over = let_time_pass(run)
        proof = alice.get(f"/v1/inferences/{name}/proof").json()["proof"]
        assert proof["final_receipt_id"] == str(settled(run).receipt_id)
        self.assert_timed_out(alice, run, over)

    def test_it_ends_when_runs_are_listed(self, alice):
        run, other = start(alice), start(alice)
        over = let_time_pass(run)
        shown = alice.get("/v1/orchestrations").json()["orchestrations"]
        statuses = {item["id"]: item["status"] for item in shown}
        assert statuses == {run: "timeout", other: "running"}
        self.assert_timed_out(alice, run, over)

    def test_a_list_of_running_ones_does_not_show_it(self, alice):
        run = start(alice)
        let_time_pass(run)
        answer = alice.get("/v1/orchestrations?status=running").json()
        assert answer["orchestrations"] == []
        answer = alice.get("/v1/orchestrations?status=timeout").json()
        assert [item["id"] for item in answer["orchestrations"]] == [run]

    def test_it_ends_when_a_call_is_recorded(self, alice):
        run = start(alice)
        over = let_time_pass(run)
        assert_not_running(post(alice, run, "inferences", CALL), "timeout")
        assert settled(run).status == "timeout"
        self.assert_timed_out(alice, run, over)
        assert final_receipt(alice, run)["inferences"]["count"] == 0

    def test_it_ends_when_a_batch_is_recorded(self, alice):
        run = start(alice)
        over = let_time_pass(run)
        body = {"inferences": [CALL, {}]}
        results = post(alice, run, "inferences/batch", body).json()["results"]
        assert [result["status"] for result in results] == [409, 400]
        assert settled(run).status == "timeout"
        self.assert_timed_out(alice, run, over)

    def test_it_ends_when_a_step_is_recorded(self, alice):
        run = start(alice)
        over = let_time_pass(run)
        assert_not_running(post(alice, run, "steps", {"action": "decision"}), "timeout")
        assert settled(run).status == "timeout"
        self.assert_timed_out(alice, run, over)

    @every_ending
    def test_it_cannot_end_otherwise(self, alice, how, body, status):
        run = start(alice)
        over = let_time_pass(run)
        refused = assert_refused(post(alice, run, how, body), 409, "CONFLICT")
        assert refused["status"] == "timeout"
        self.assert_timed_out(alice, run, over)

    def test_its_calls_are_counted(self, alice):
        run = start(alice)
        for _ in range(3):
            record(alice, run)
        let_time_pass(run)
        assert get(alice, run)["inference_count"] == 3
        assert final_receipt(alice, run)["totals"]["cost_cents"] == "0.75"

    def test_a_second_is_a_second(self, alice):
        run = start(alice, timeout_seconds=1)
        record(alice, run)
        threading.Event().wait(1.05)
        assert_not_running(post(alice, run, "inferences", CALL), "timeout")
        found = get(alice, run)
        assert found["completed_at"] == found["expires_at"]

    def test_one_that_has_ended_stays_as_it_is(self, alice):
        run = start(alice)
        end(alice, run, "complete")
        let_time_pass(run)
        assert get(alice, run)["status"] == "completed"
        assert log_size(alice) == 1

    def test_many_who_look_at_once_end_it_once(self, alice):
        run = start(alice)
        record(alice, run)
        let_time_pass(run)
        found = at_once(*[lambda: get(alice, run)] * 6)
        assert {item["status"] for item in found} == {"timeout"}
        assert len({item["receipt_id"] for item in found}) == 1
        assert log_size(alice) == 2
        assert_sound(alice)

    def test_settling_ends_all_that_are_due_of_every_tenant(
        self, alice, alice_test, charlie
    ):
        due = {caller: start(caller) for caller in (alice, alice_test, charlie)}
        late = {caller: let_time_pass(run) for caller, run in due.items()}
        running = [start(caller) for caller in due]
        assert settle_all() >= 3
        for caller, run in due.items():
            assert settled(run).status == "timeout"
            self.assert_timed_out(caller, run, late[caller])
        assert {settled(run).status for run in running} == {"running"}
        assert settle_all() == 0

    def test_settling_goes_on_until_nothing_is_due(self, alice):
        runs = [start(alice) for _ in range(5)]
        for run in runs:
            let_time_pass(run)
        assert settle_all() >= 5
        assert {settled(run).status for run in runs} == {"timeout"}


class TestMaxSteps:
    def test_as_many_as_were_asked_for_are_recorded(self, alice):
        run = start(alice, max_steps=3)
        for number in (1, 2, 3):
            answer = post(alice, run, "steps", {"action": "decision"})
            assert answer.json()["step_number"] == number
        assert get(alice, run)["status"] == "running"
        assert end(alice, run, "complete")["step_count"] == 3

    def test_one_more_fails_the_run(self, alice):
        run = start(alice, max_steps=1)
        post(alice, run, "steps", {"action": "decision"})
        assert_not_running(post(alice, run, "steps", {"action": "decision"}), "failed")
        found = get(alice, run)
        assert found["status"] == "failed"
        assert found["error"]["code"] == "MAX_STEPS_EXCEEDED"
        assert len(found["steps"]) == found["step_count"] == 1
        receipt = final_receipt(alice, run)
        assert receipt["error"] == found["error"]
        assert receipt["totals"]["steps"] == 1
        assert audit(alice, found["receipt_id"]).verdict is Verdict.VALID
        assert_sound(alice)

    def test_calls_are_no_steps(self, alice):
        run = start(alice, max_steps=1)
        for _ in range(3):
            record(alice, run)
        assert post(alice, run, "steps", {"action": "decision"}).status_code == 201

    def test_many_at_once_are_one_too_many(self, alice):
        run = start(alice, max_steps=4)
        step = {"action": "decision"}
        answers = at_once(*[lambda: post(alice, run, "steps", step)] * 8)
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [201] * 4 + [409] * 4
        found = get(alice, run)
        assert found["status"] == "failed"
        assert [step["step_number"] for step in found["steps"]] == [1, 2, 3, 4]


class TestTwoAtOnce:
    @pytest.mark.parametrize("attempt", range(4))
    def test_one_ending_wins_and_the_other_is_a_conflict(self, alice, attempt):
        run = start(alice)
        record(alice, run)
        completed, failed = at_once(
            lambda: post(alice, run, "complete", {"output": 1}),
            lambda: post(alice, run, "fail", {"code": "E"}),
        )
        won = completed if completed.status_code == 200 else failed
        lost = failed if won is completed else completed
        assert won.status_code == 200
        assert_refused(lost, 409, "CONFLICT")
        assert get(alice, run)["status"] == won.json()["status"]
        assert log_size(alice) == 2
        assert_sound(alice)

    def test_the_same_ending_twice_is_one(self, alice):
        run = start(alice)
        answers = at_once(*[lambda: end(alice, run, "complete")] * 4)
        assert len({answer["receipt_id"] for answer in answers}) == 1
        assert log_size(alice) == 1

    def test_what_is_recorded_meanwhile_is_counted_or_refused(self, alice):
        run = start(alice)

        def work():
            answers = [post(alice, run, "inferences", CALL) for _ in range(10)]
            return [answer.status_code for answer in answers]

        *works, ended = at_once(*[work] * 4, lambda: end(alice, run, "complete"))
        recorded = sum(statuses.count(201) for statuses in works)
        assert {status for statuses in works for status in statuses} <= {201, 409}
        # What the threads were told, the receipt says, and so does the log.
        final = final_receipt(alice, run)
        assert final["receipt_id"] == ended["receipt_id"]
        assert final["inferences"]["count"] == recorded == final["_mmr_leaf_index"]
        cost = Decimal(final["totals"]["cost_cents"])
        assert cost == recorded * Decimal("0.25")
        assert get(alice, run)["inference_count"] == recorded
        assert_sound(alice)


def test_a_time_is_told_in_utc(alice):
    run = start(alice)
    answer = end(alice, run, "complete")
    ended = datetime.fromisoformat(answer["completed_at"])
    assert answer["completed_at"].endswith("Z")
    assert abs(datetime.now(UTC) - ended) < timedelta(minutes=1)
