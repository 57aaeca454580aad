"""What the views of the gateway share: attempts at calls, made durable."""

from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, TypeVar
from uuid import UUID

from rest_framework.request import Request

from lucid.api.connections import discard_dead
from lucid.api.errors import ApiError, Code, unavailable
from lucid.api.idempotency import Claim, conflict
from lucid.api.uuid7 import uuid7
from orchestrations.books import OrchestrationBooks
from orchestrations.budgets import month_limit
from orchestrations.gateway.accounts import Account, Accounts, accounts_of
from orchestrations.gateway.attempts import Attempt
from orchestrations.gateway.beginning import begin_unlocked
from orchestrations.gateway.calls import Asked, Begin, Unanswered
from orchestrations.gateway.reserving import most_nanocents
from orchestrations.gateway.worker import this_worker
from orchestrations.views import RECORD_ERRORS, OrchestrationsView
from orchestrations.work import Begin as BeginWork
from orchestrations.work import Scope
from receipts.keyring import Keyring, keyring_for
from receipts.ledger import LedgerUnavailable, Submission
from receipts.ledger_view import ATTEMPTS
from tenants.authentication import Principal, refresh

ERRORS = [
    *RECORD_ERRORS,
    Code.RATE_LIMITED,
    Code.PROVIDER_ERROR,
    Code.PROVIDER_TIMEOUT,
]
OVERTIME = timedelta(hours=1)  # after which an attempt that nobody closed is dead

Answered = TypeVar("Answered")


class Replayed(Exception):
    """The Idempotency-Key was used for a call before.

    `receipt_ids` are those that its attempts have, or would have had.
    """

    def __init__(self, receipt_ids: list[UUID]) -> None:
        super().__init__(str(receipt_ids[0]))
        self.receipt_ids = receipt_ids


class AccountsChanged(Exception):
    """The tenant's accounts are no longer those that one was chosen from."""


class GatewayView(OrchestrationsView):
    scopes = {"POST": "orchestrations:write"}
    http_method_names = ["post"]

    def account(
        self,
        request: Request,
        model: str,
        provider: str | None,
        able: Collection[str],
    ) -> Account:
        known: Principal = request.auth  # type: ignore[assignment]
        try:
            return _accounts(known).choose(model, provider, able)
        except ApiError:
            # Perhaps it was set a moment ago, and this worker has not heard of it.
            request.auth = current = refresh(request)
            if current.keyring_version == known.keyring_version:
                raise
            return _accounts(current).choose(model, provider, able)

    @staticmethod
    def with_current_accounts(act: Callable[[], Answered]) -> Answered:
        """Do it again if accounts changed since one was chosen; raises the 503."""
        for _ in range(ATTEMPTS):
            with suppress(AccountsChanged):
                return act()
        raise unavailable()

    def beginner(
        self, request: Request, asked: Asked, claim: Claim | None = None
    ) -> Begin:
        """Return what makes an attempt at the call durable, or raises why not."""
        ids = [uuid7() for _ in range(asked.account.retries + 1)]
        chosen_at = request.auth.keyring_version  # type: ignore[union-attr]

        def begin(number: int) -> tuple[Attempt, Keyring]:
            made: list[tuple[Attempt, Keyring]] = []

            def compose(keyring: Keyring, principal: Principal) -> Submission:
                if number == 1 and keyring.version != chosen_at:
                    raise AccountsChanged
                attempt = _attempt(asked, number, ids[number - 1], keyring, principal)
                made.append((attempt, keyring))
                submission = _submission(asked, attempt, keyring)
                if claim and number == 1:
                    _claim(submission, claim, ids)
                return submission

            try:
                submission = self._begun(request, compose)
            except AccountsChanged:
                request.auth = refresh(request)
                raise
            except BaseException:
                # What cannot be told to be durable may be so all the same.
                for attempt, _ in made:
                    this_worker().take_back(attempt)
                raise
            if submission.answer and claim:
                raise _replay_of(submission, claim)
            (refusal,) = submission.results
            if refusal:
                raise refusal
            return made[-1]

        return begin

    def _begun(
        self, request: Request, compose: Callable[[Keyring, Principal], Submission]
    ) -> Submission:
        principal: Principal = request.auth  # type: ignore[assignment]
        version = principal.keyring_version
        keyring = keyring_for(principal.tenant_id, principal.mode, version)
        submission = compose(keyring, principal)
        try:
            if begin_unlocked(submission):
                submission.results = [None]
                return submission
        except LedgerUnavailable:
            discard_dead()
            raise unavailable() from None
        return self.appended(request, compose)

    def unanswered(self, error: Unanswered) -> NoReturn:
        raise failed(error.failure.code, error.failure.message, error.attempt)


def _accounts(principal: Principal) -> Accounts:
    return accounts_of(principal.tenant_id, principal.keyring_version)


def _attempt(
    asked: Asked, number: int, receipt_id: UUID, keyring: Keyring, principal: Principal
) -> Attempt:
    now = datetime.now(UTC)
    patience = asked.account.patience
    provider, model = asked.account.provider, asked.model
    return Attempt(
        receipt_id=receipt_id,
        tenant_id=principal.tenant_id,
        mode=principal.mode,
        orchestration_id=asked.facts.id if asked.facts else "",
        provider=provider,
        model=model,
        agent_id=asked.agent_id,
        api_key_id=principal.api_key_id,
        number=number,
        started_at=now,
        input_hash=asked.input_hash,
        ends_run=asked.run is not None,
        reserved=most_nanocents(
            principal.tenant_id, keyring.version, provider, model, asked.most, now
        ),
        worker_id=this_worker().spool.worker_id,
        deadline=now + timedelta(seconds=patience.total + patience.silence) + OVERTIME,
    )


def _submission(asked: Asked, attempt: Attempt, keyring: Keyring) -> Submission:
    limit = month_limit(attempt.tenant_id, attempt.mode, keyring.version)
    work = BeginWork(
        Scope(attempt.tenant_id, attempt.mode, limit),
        attempt.orchestration_id,
        attempt.row(),
        asked.salts.row(attempt.receipt_id, attempt.tenant_id),
        asked.account.concurrency,
        asked.run if attempt.number == 1 else None,
    )
    return Submission(keyring, [], books=OrchestrationBooks, work=work)


def _claim(submission: Submission, claim: Claim, ids: list[UUID]) -> None:
    """Have the answer to an Idempotency-Key stored: what a repeat of the request
    needs, which is no content. A refusal is not stored.
    """

    def noted(results: list[Any]) -> tuple[int, bytes]:
        status = results[0].status if results[0] else 200
        return status, b"".join(receipt_id.bytes for receipt_id in ids)

    submission.claim, submission.render = claim, noted


def _replay_of(submission: Submission, claim: Claim) -> Exception:
    assert submission.answer is not None  # noqa: S101
    if submission.answer.fingerprint != claim.fingerprint:
        return conflict()
    noted = submission.answer.body
    ids = [noted[start : start + 16] for start in range(0, len(noted), 16)]
    return Replayed([UUID(bytes=bytes(it)) for it in ids])


def failed(
    code: Code,
    message: str,
    attempt: Attempt,
    details: dict[str, list[str]] | None = None,
) -> ApiError:
    """Return the 502 or 504, with the names of its receipt."""
    names = {
        "receipt_id": str(attempt.receipt_id),
        "inference_id": attempt.inference_id,
        "orchestration_id": attempt.orchestration_id or None,
    }
    return ApiError(code, message, details=details, extra=names)
