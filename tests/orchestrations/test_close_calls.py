"""Calls of workers that died are closed as `unknown`; those of the living are not."""

import os
import subprocess
import sys
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from orchestrations.gateway import settling
from orchestrations.gateway import worker as workers
from orchestrations.gateway.settling import close_dead_workers, close_overdue
from orchestrations.gateway.spool import Spool
from orchestrations.gateway.worker import Worker
from orchestrations.models import Attempt
from receipts.ledger import LedgerUnavailable, append
from receipts.verifier import Verdict
from tests.orchestrations.calling import (
    ASKED,
    attempts,
    chat,
    infer,
    only_run,
    receipt_of,
    receipts_of,
    refusal,
    set_price,
)
from tests.orchestrations.provider import QUESTION, open_account
from tests.orchestrations.runs import get, start
from tests.orchestrations.test_keep_books import check_rollups
from tests.orchestrations.test_spend_budgets import at_once
from tests.receipts.auditor import audit

DIES = """
import sys
from pathlib import Path
from orchestrations.gateway.spool import Spool
print(Spool.create(Path(sys.argv[1])).worker_id, flush=True)
sys.stdin.read()
"""


class Death(BaseException):
    """Ends a thread at its call, as SIGKILL would."""


@pytest.fixture
def account(acme, provider, worker):
    set_price(acme)
    return open_account(acme, provider)


@pytest.fixture
def folder(settings, worker) -> Path:
    return Path(settings.LUCID_SPOOL_DIR)


@pytest.fixture
def dead(folder):
    """The id of a worker that has ended."""
    spool = Spool.create(folder)
    spool.close()
    return spool.worker_id


def left_by(dead, caller, call=infer, *arguments, **headers) -> Attempt:
    """Make a call that stays where it is, at the provider, and its worker dies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Worker, "settle", lambda *arguments: die())
        with pytest.raises(Death):
            call(caller, *arguments, **headers)
    (attempt,) = attempts(caller)
    Attempt.objects.filter(pk=attempt.pk).update(worker_id=dead)
    return attempt


def die():
    raise Death


def put_in(folder, dead, caller, worker):
    """Have a call that was answered wait in the spool of a dead worker."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settling, "append", lambda submission: 1 / 0)
        chat(caller)
    (file,) = worker.spool.files()
    target = folder / str(dead) / file.name
    file.rename(target)
    Attempt.objects.filter(pk=file.stem).update(worker_id=dead)
    return target


def tick() -> str:
    out = StringIO()
    call_command("tick", stdout=out)
    return out.getvalue()


class TestOfADeadWorker:
    def test_a_call_is_closed_as_unknown(self, alice, account, dead):
        attempt = left_by(dead, alice)
        assert close_dead_workers() == 1
        assert not attempts(alice)
        receipt = receipt_of(alice, str(attempt.receipt_id))
        assert receipt["outcome"] == "unknown"
        assert receipt["error"]["code"] == "SERVER_DIED"
        assert receipt["delivered"] is False
        assert receipt["cost"] == {"source": "unpriced"}
        assert receipt["usage"] == {}
        assert receipt["input_hash"] == attempt.input_hash
        assert audit(alice, receipt["run_id"]).verdict is Verdict.VALID
        assert check_rollups(alice.tenant)["verdict"] == "EQUAL"

    def test_it_is_seen_where_calls_are(self, alice, account, dead):
        attempt = left_by(dead, alice)
        close_dead_workers()
        run = get(alice, attempt.orchestration_id)
        assert run["status"] == "failed"
        assert run["error"]["code"] == "SERVER_DIED"
        assert (run["inference_count"], run["step_count"]) == (1, 1)
        (listed,) = alice.get(f"/v1/orchestrations/{run['id']}/inferences").json()[
            "inferences"
        ]
        assert listed["outcome"] == "unknown"
        assert alice.get("/v1/costs").json()["totals"]["failed"] == 1

    def test_a_named_orchestration_goes_on(self, alice, account, dead):
        run = start(alice)
        left_by(dead, alice, infer, ASKED | {"orchestration_id": run})
        close_dead_workers()
        found = get(alice, run)
        assert (found["status"], found["inference_count"]) == ("running", 1)

    def test_one_that_ended_is_left_as_it_was(self, alice, account, dead):
        run = start(alice)
        left_by(dead, alice, infer, ASKED | {"orchestration_id": run})
        alice.post(f"/v1/orchestrations/{run}/complete", {})
        close_dead_workers()
        (receipt,) = receipts_of(alice)
        assert receipt["late_orchestration_id"] == run
        assert get(alice, run)["inference_count"] == 0

    def test_its_part_of_the_budget_is_free(self, alice, account, dead):
        run = start(alice, budget_cents=0.07)  # 0.05 are reserved
        body = QUESTION | {"max_tokens": 30}
        left_by(dead, alice, chat, body, X_Lucid_Orchestration=run)
        again = chat(alice, body, X_Lucid_Orchestration=run)
        refusal(again, 429, "BUDGET_EXCEEDED")
        close_dead_workers()
        assert chat(alice, body, X_Lucid_Orchestration=run).status_code == 200

    def test_its_repeat_is_told_so(self, alice, account, dead):
        left_by(dead, alice, Idempotency_Key="k")
        refusal(infer(alice, Idempotency_Key="k"), 409, "CONFLICT")
        close_dead_workers()
        body = refusal(infer(alice, Idempotency_Key="k"), 502, "PROVIDER_ERROR")
        assert receipt_of(alice, body["receipt_id"])["outcome"] == "unknown"

    def test_what_it_had_seen_is_recorded(self, alice, account, dead, folder, worker):
        put_in(folder, dead, alice, worker)
        assert close_dead_workers() == 1
        (receipt,) = receipts_of(alice)
        assert receipt["outcome"] == "completed"
        assert not attempts(alice)

    def test_its_folder_goes(self, alice, account, dead, folder):
        (folder / str(dead) / "x.draft").write_bytes(b"{")
        assert close_dead_workers() == 0
        assert not (folder / str(dead)).exists()
        assert close_dead_workers() == 0

    def test_its_folder_stays_while_the_ledger_is_away(
        self, alice, account, dead, folder, monkeypatch
    ):
        attempt = left_by(dead, alice)

        def fail(submission):
            raise LedgerUnavailable

        with monkeypatch.context() as patch:
            patch.setattr(settling, "append", fail)
            with pytest.raises(LedgerUnavailable):
                close_dead_workers()
        assert attempts(alice) == [attempt]
        assert close_dead_workers() == 1

    def test_what_cannot_be_recorded_holds_up_nothing(
        self, alice, charlie, account, dead, folder, worker, provider
    ):
        # Ids have no order: with a bad file in both folders it is in the first, too.
        other = Spool.create(folder)
        other.close()
        bad = put_in(folder, dead, alice, worker)
        bad.write_bytes(b"{")
        (folder / str(other.worker_id) / "bad.json").write_bytes(b"{")
        open_account(charlie.tenant, provider)
        attempt = left_by(other.worker_id, charlie)
        for _ in range(2):
            with pytest.raises(RuntimeError):
                close_dead_workers()
        assert receipt_of(charlie, str(attempt.receipt_id))["outcome"] == "unknown"
        assert bad.exists()
        assert len(attempts(alice)) == 1  # of which the file knows more
        bad.unlink()
        with pytest.raises(RuntimeError):
            close_dead_workers()
        assert receipts_of(alice)[0]["outcome"] == "unknown"
        assert not (folder / str(dead)).exists()

    def test_a_process_that_was_killed_is_dead(self, alice, account, folder):
        command = [sys.executable, "-c", DIES, str(folder)]
        environment = os.environ | {"DJANGO_SETTINGS_MODULE": "lucid.settings"}
        setup = "import django; django.setup()\n"
        command[2] = setup + DIES
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        ) as process:
            assert process.stdout is not None
            worker_id = process.stdout.readline().strip()
            left_by(worker_id, alice)
            assert close_dead_workers() == 0  # it lives
            process.kill()
        assert close_dead_workers() == 1
        assert receipts_of(alice)[0]["outcome"] == "unknown"


class TestOfTheLiving:
    def test_nothing_is_touched(self, alice, account, folder, worker):
        other = Spool.create(folder)
        attempt = left_by(other.worker_id, alice)
        file = folder / str(other.worker_id) / f"{attempt.receipt_id}.json"
        file.write_bytes(b"{}")
        assert close_dead_workers() == 0
        assert file.exists()
        assert attempts(alice) == [attempt]
        assert (folder / str(worker.spool.worker_id)).exists()
        other.close()

    def test_nor_is_it_by_two_at_once(self, alice, account, dead):
        left_by(dead, alice)
        closed = at_once(2, lambda number: close_dead_workers())
        assert sorted(closed) == [0, 1]
        assert len(receipts_of(alice)) == 1

    def test_a_folder_that_gets_its_name_is_locked(self, folder, monkeypatch):
        found: list[Spool] = []
        rename = Path.rename

        def watched(self, target):
            renamed = rename(self, target)
            found.extend(Spool.of_dead_workers(folder))
            return renamed

        monkeypatch.setattr(Path, "rename", watched)
        spool = Spool.create(folder)
        assert not found
        spool.close()


class TestOverdue:
    @pytest.fixture
    def overdue(self, alice, account):
        other_machine = "00000000-0000-4000-8000-000000000000"
        attempt = left_by(other_machine, alice)
        past = timezone.now() - timedelta(seconds=1)
        Attempt.objects.filter(pk=attempt.pk).update(deadline=past)
        return attempt

    def test_calls_are_closed_as_unknown(self, alice, overdue):
        assert close_overdue() >= 1
        (receipt,) = receipts_of(alice)
        assert receipt["outcome"] == "unknown"
        assert only_run(alice).status == "failed"

    def test_others_are_not(self, alice, account):
        attempt = left_by("00000000-0000-4000-8000-000000000000", alice)
        close_overdue()
        assert attempts(alice) == [attempt]
        assert attempt.deadline > timezone.now() + timedelta(minutes=50)

    def test_one_that_cannot_be_holds_up_no_other(
        self, alice, charlie, provider, overdue, monkeypatch
    ):
        open_account(charlie.tenant, provider)
        later = left_by("00000000-0000-4000-8000-000000000000", charlie)
        past = timezone.now() - timedelta(seconds=1)
        Attempt.objects.filter(pk=later.pk).update(deadline=past)
        Attempt.objects.filter(pk=overdue.pk).update(deadline=past - timedelta(1))

        def fail_for_alice(submission):
            if submission.keyring.tenant_id == alice.tenant.pk:
                raise ValueError("a fault")
            return append(submission)

        monkeypatch.setattr(settling, "append", fail_for_alice)
        with pytest.raises(RuntimeError):
            close_overdue()
        assert len(receipts_of(charlie)) == 1
        assert len(attempts(alice)) == 1


class TestTick:
    def test_it_closes_both_kinds(self, alice, charlie, account, dead, provider):
        left_by(dead, alice)
        open_account(charlie.tenant, provider)
        overdue = left_by("00000000-0000-4000-8000-000000000000", charlie)
        past = timezone.now() - timedelta(seconds=1)
        Attempt.objects.filter(pk=overdue.pk).update(deadline=past)
        said = tick()
        assert "1 calls of workers that ended were settled" in said
        assert "overdue" in said
        assert len(receipts_of(alice)) == len(receipts_of(charlie)) == 1
        assert "settled" not in tick()

    def test_what_one_cannot_do_the_other_does(self, alice, account, dead, folder):
        (folder / str(dead) / "bad.json").write_bytes(b"{")
        overdue = left_by("00000000-0000-4000-8000-000000000000", alice)
        past = timezone.now() - timedelta(seconds=1)
        Attempt.objects.filter(pk=overdue.pk).update(deadline=past)
        with pytest.raises(CommandError, match="close_abandoned_calls"):
            tick()
        assert len(receipts_of(alice)) == 1


class TestRecovery:
    def test_a_worker_settles_what_waits_though_a_dead_one_s_cannot(
        self, alice, account, dead, folder, worker, monkeypatch
    ):
        (folder / str(dead) / "bad.json").write_bytes(b"{")
        with monkeypatch.context() as patch:
            patch.setattr(settling, "append", lambda submission: 1 / 0)
            chat(alice)
        self.recover(worker, monkeypatch)
        assert len(receipts_of(alice)) == 1

    def test_it_tries_until_the_ledger_is_back(
        self, alice, account, dead, worker, monkeypatch
    ):
        left_by(dead, alice)
        failures = [LedgerUnavailable(), ValueError("a fault")]

        def unreliable(submission):
            if failures:
                raise failures.pop(0)
            return append(submission)

        monkeypatch.setattr(settling, "append", unreliable)
        self.recover(worker, monkeypatch)
        assert receipts_of(alice)[0]["outcome"] == "unknown"

    def recover(self, worker, monkeypatch):
        """Let it recover until it waits, or pauses for the third time."""
        pauses = []

        def pause(seconds):
            pauses.append(seconds)
            if len(pauses) > 2:
                raise Death

        def wait():
            if not worker._is_waiting.is_set():
                raise Death

        monkeypatch.setattr("orchestrations.gateway.worker.time.sleep", pause)
        monkeypatch.setattr(worker._is_waiting, "wait", wait)
        with pytest.raises(Death):
            worker.recover()


def test_a_worker_that_leaves_in_order_leaves_nothing(folder, worker, monkeypatch):
    monkeypatch.setattr(workers, "_worker", None)
    other = workers.this_worker()
    assert len(list(folder.iterdir())) == 2
    other._leave()
    other.spool.close()
    assert [path.name for path in folder.iterdir()] == [str(worker.spool.worker_id)]


def test_what_comes_after_the_unknown_is_told_to_the_operator(
    alice, provider, worker, monkeypatch, caplog
):
    open_account(alice.tenant, provider)
    with monkeypatch.context() as patch:
        patch.setattr(settling, "append", _unavailable)
        chat(alice)
    rows = Attempt.objects.filter(tenant=alice.tenant)
    rows.update(deadline=timezone.now() - timedelta(seconds=1))
    settling.close_overdue()
    settling.settle_spooled(worker.spool)
    assert "has another receipt" in caplog.text
    assert [it["outcome"] for it in receipts_of(alice)] == ["unknown"]
    assert not worker.spool.files()


def _unavailable(submission):
    raise LedgerUnavailable
