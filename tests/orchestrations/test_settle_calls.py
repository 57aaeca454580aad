"""Calls while the ledger is away: the answer comes, and its receipt later, once."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from orchestrations.gateway import settling
from orchestrations.gateway.settling import settle_spooled
from orchestrations.models import Inference, Orchestration
from receipts.ledger import LedgerUnavailable, append
from receipts.verifier import Verdict
from tests.orchestrations.calling import (
    ASKED,
    attempts,
    chat,
    chat_stream,
    infer,
    inferred,
    meanwhile,
    only_run,
    receipt_behind,
    receipt_of,
    receipts_of,
    refusal,
    salted,
    set_price,
    whole,
)
from tests.orchestrations.provider import (
    QUESTION,
    SECRET,
    Scripted,
    open_account,
    stream,
    streamed,
)
from tests.orchestrations.runs import get, post, start
from tests.orchestrations.test_keep_books import check_rollups
from tests.receipts.auditor import audit, fetch, log_size


class Ledger:
    """Stands between the gateway and the ledger when calls are settled."""

    is_away = False
    loses_answers = False  # to what it has committed

    def append(self, submission):
        if self.is_away:
            raise LedgerUnavailable
        append(submission)
        if self.loses_answers:
            raise LedgerUnavailable
        return submission


@pytest.fixture
def ledger(monkeypatch):
    ledger = Ledger()
    monkeypatch.setattr(settling, "append", ledger.append)
    return ledger


@pytest.fixture
def away(ledger):
    ledger.is_away = True
    return ledger


@pytest.fixture
def account(acme, provider, worker):
    set_price(acme)
    return open_account(acme, provider)


def tick() -> str:
    out = StringIO()
    call_command("tick", stdout=out)
    return out.getvalue()


def spooled(worker) -> list[bytes]:
    return [file.read_bytes() for file in worker.spool.files()]


class TestTheAnswer:
    def test_it_comes_without_its_receipt(self, alice, account, worker, away):
        answer = infer(alice)
        assert answer.status_code == 200
        body = answer.json()
        assert body["response"] == "It is covered."
        assert body["finish_reason"] == "stop"
        for name in ("receipt", "cost", "cost_cents", "tokens_used"):
            assert body[name] is None
        (attempt,) = attempts(alice)
        assert body["receipt_id"] == str(attempt.receipt_id)
        assert body["inference_id"] == f"inf_{attempt.receipt_id.hex}"
        away.is_away = False
        assert settle_spooled(worker.spool) == 1
        receipt = receipt_of(alice, body["inference_id"])
        assert receipt["receipt_id"] == body["receipt_id"]
        assert receipt["input_hash"] == salted(
            body["input_salt"], json.dumps(ASKED).encode()
        )

    def test_a_relayed_one_says_so(self, alice, account, worker, away):
        answer = chat(alice)
        assert answer.status_code == 200
        assert answer["X-Lucid-Receipt-Pending"] == "true"
        assert answer["X-Lucid-Receipt-Id"]
        assert "X-Lucid-Receipt-Hash" not in answer.headers
        assert "X-Lucid-Cost-Cents" not in answer.headers
        away.is_away = False
        settle_spooled(worker.spool)
        assert receipt_behind(alice, answer)["cost"]["cents"] == "0.0118"

    def test_so_does_a_stream(self, alice, account, provider, worker, away):
        provider.answers(streamed(stream("It ")))
        answer = chat_stream(alice)
        assert whole(answer) == b"".join(stream("It ", usage=None))
        away.is_away = False
        assert settle_spooled(worker.spool) == 1
        receipt = receipt_behind(alice, answer)
        assert receipt["outcome"] == "completed"
        assert receipt["streamed"] is True

    def test_so_does_a_failure(self, alice, account, provider, worker, away):
        provider.answers(Scripted({"error": {"message": "no"}}, status=400))
        answer = infer(alice)
        refusal(answer, 502, "PROVIDER_ERROR")
        away.is_away = False
        settle_spooled(worker.spool)
        assert receipt_behind(alice, answer)["error"]["message"] == "no"
        assert only_run(alice).status == "failed"

    def test_whatever_keeps_the_receipt_from_the_books(
        self, alice, account, worker, ledger, monkeypatch
    ):
        def fail(*arguments, **options):
            raise ValueError("a fault")

        with monkeypatch.context() as patch:
            patch.setattr(settling, "witnessed", fail)
            assert infer(alice).json()["response"] == "It is covered."
        assert settle_spooled(worker.spool) == 1
        assert len(receipts_of(alice)) == 1

    def test_even_a_full_disk(self, alice, account, worker, away, monkeypatch):
        def fail(spooled):
            raise OSError("No space left on device")

        monkeypatch.setattr(worker.spool, "put", fail)
        assert infer(alice).json()["response"] == "It is covered."
        assert len(attempts(alice)) == 1


class TestTheSpool:
    def test_it_holds_no_content_and_no_credential(self, alice, account, worker, away):
        infer(alice)
        (data,) = spooled(worker)
        for text in (b"covered", SECRET.encode(), alice.text.encode()):
            assert text not in data
        (file,) = worker.spool.files()
        assert file.parent.stat().st_mode & 0o077 == 0

    def test_what_is_in_it_becomes_one_receipt(self, alice, account, worker, away):
        infer(alice)
        away.is_away = False
        assert settle_spooled(worker.spool) == 1
        assert settle_spooled(worker.spool) == 0
        (receipt,) = receipts_of(alice)
        assert receipt["cost"]["cents"] == "0.0118"
        assert audit(alice, receipt["run_id"]).verdict is Verdict.VALID
        run = get(alice, receipt["orchestration_id"])
        assert (run["status"], run["inference_count"]) == ("completed", 1)
        assert run["step_count"] == 1
        assert not attempts(alice)
        assert not spooled(worker)
        assert check_rollups(alice.tenant)["verdict"] == "EQUAL"

    @pytest.mark.parametrize("call", [infer, chat])
    def test_not_two_when_it_had_been_committed(
        self, alice, account, worker, ledger, call
    ):
        ledger.loses_answers = True
        assert call(alice).status_code == 200
        size = log_size(alice)
        ledger.loses_answers = False
        assert len(spooled(worker)) == 1
        assert settle_spooled(worker.spool) == 1
        assert log_size(alice) == size
        assert len(receipts_of(alice)) == 1
        assert check_rollups(alice.tenant)["verdict"] == "EQUAL"

    def test_not_two_when_a_file_is_back(self, alice, account, worker, away):
        run = start(alice)
        infer(alice, ASKED | {"orchestration_id": run})
        (file,) = worker.spool.files()
        data = file.read_bytes()
        away.is_away = False
        for _ in range(2):
            file.write_bytes(data)
            assert settle_spooled(worker.spool) == 1
        assert get(alice, run)["inference_count"] == 1
        post(alice, run, "complete", {})
        file.write_bytes(data)
        assert settle_spooled(worker.spool) == 1
        assert len(receipts_of(alice)) == 1
        assert check_rollups(alice.tenant)["verdict"] == "EQUAL"

    def test_it_stays_while_the_ledger_is_away(self, alice, account, worker, away):
        chat(alice)
        with pytest.raises(LedgerUnavailable):
            settle_spooled(worker.spool)
        assert len(spooled(worker)) == 1
        assert len(attempts(alice)) == 1

    def test_they_come_in_the_order_of_the_calls(self, alice, account, worker, away):
        names = [chat(alice)["X-Lucid-Receipt-Id"] for _ in range(4)]
        away.is_away = False
        assert settle_spooled(worker.spool) == 4
        assert [it["receipt_id"] for it in receipts_of(alice)] == names

    @pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[]", b'[{"number":1},{}]'])
    def test_a_bad_file_holds_up_no_other(self, alice, account, worker, away, data):
        chat(alice)
        (file,) = worker.spool.files()
        bad = file.with_name("00000000-0000-7000-8000-000000000000.json")
        bad.write_bytes(data)
        away.is_away = False
        for _ in range(2):
            with pytest.raises(RuntimeError):
                settle_spooled(worker.spool)
        assert worker.spool.files() == [bad]
        assert len(receipts_of(alice)) == 1

    def test_what_it_holds_back_of_a_budget_stays_so(
        self, alice, account, worker, away
    ):
        run = start(alice, budget_cents=0.07)  # 0.05 are reserved
        body = QUESTION | {"max_tokens": 30}
        assert chat(alice, body, X_Lucid_Orchestration=run).status_code == 200
        again = chat(alice, body, X_Lucid_Orchestration=run)
        refusal(again, 429, "BUDGET_EXCEEDED")
        away.is_away = False
        settle_spooled(worker.spool)
        assert chat(alice, body, X_Lucid_Orchestration=run).status_code == 200

    def test_a_repeat_is_told_that_it_is_under_way(self, alice, account, worker, away):
        infer(alice, Idempotency_Key="k")
        refusal(infer(alice, Idempotency_Key="k"), 409, "CONFLICT")
        away.is_away = False
        settle_spooled(worker.spool)
        again = infer(alice, Idempotency_Key="k")
        assert (again.status_code, again.json()["tokens_used"]) == (200, 23)


class TestAnOrchestrationThatEnded:
    def end(self, alice, run):
        assert post(alice, run, "complete", {}).status_code == 200
        return fetch(alice, f"/v1/receipts/{get(alice, run)['receipt_id']}")["receipt"]

    def test_meanwhile_has_its_call_beside_it(self, alice, account, provider, worker):
        run = start(alice, workflow_id="claims")
        inferred(alice, orchestration_id=run)
        finals = []
        end = meanwhile(lambda: finals.append(self.end(alice, run)))
        provider.answers(Scripted({"usage": {}}, act=end))
        late = inferred(alice, orchestration_id=run)
        assert late["orchestration_id"] is None
        receipt = late["receipt"]
        assert "orchestration_id" not in receipt
        assert receipt["late_orchestration_id"] == run
        row = Inference.objects.get(pk=receipt["receipt_id"])
        assert (row.orchestration_id, row.workflow_id) == ("", "claims")
        (final,) = finals
        assert final["inferences"]["count"] == 1
        assert get(alice, run)["inference_count"] == 1
        shown = fetch(alice, f"/v1/receipts/{final['receipt_id']}")["receipt"]
        assert shown["inferences"] == final["inferences"]
        assert not attempts(alice)
        assert audit(alice, receipt["run_id"]).verdict is Verdict.VALID
        assert check_rollups(alice.tenant)["verdict"] == "EQUAL"

    def test_while_it_was_in_the_spool(self, alice, account, worker, away):
        run = start(alice)
        infer(alice, ASKED | {"orchestration_id": run})
        self.end(alice, run)
        away.is_away = False
        assert settle_spooled(worker.spool) == 1
        (receipt,) = receipts_of(alice)
        assert receipt["late_orchestration_id"] == run
        assert get(alice, run)["inference_count"] == 0

    def test_keeps_the_call_that_was_counted_before(
        self, alice, account, worker, ledger
    ):
        run = start(alice)
        ledger.loses_answers = True
        infer(alice, ASKED | {"orchestration_id": run})
        ledger.loses_answers = False
        self.end(alice, run)
        settle_spooled(worker.spool)
        (receipt,) = receipts_of(alice)
        assert receipt["orchestration_id"] == run
        assert "late_orchestration_id" not in receipt

    def test_by_its_time_out(self, alice, account, worker, away):
        infer(alice)
        run = only_run(alice)
        Orchestration.objects.filter(pk=run.pk).update(expires_at=run.started_at)
        away.is_away = False
        assert settle_spooled(worker.spool) == 1
        (receipt,) = receipts_of(alice)
        assert receipt["late_orchestration_id"] == run.pk
        assert "orchestrations timed out" in tick()
        assert only_run(alice).status == "timeout"


def test_a_file_is_whole_or_not_there(alice, account, worker, away):
    infer(alice)
    (file,) = worker.spool.files()
    Path(file).with_suffix(".draft").write_bytes(b"{")
    assert worker.spool.files() == [file]
