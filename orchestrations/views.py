"""What the views of this app share: orchestrations, and the ledger's books."""

import logging
import struct
from collections.abc import Callable
from typing import Any

import psycopg
from django.db import DataError, IntegrityError
from rest_framework.request import Request

from lucid.api.errors import ApiError, Code, invalid, not_found, unavailable
from lucid.api.rendering import Answer, encode
from orchestrations.books import OrchestrationBooks
from orchestrations.budgets import month_limit
from orchestrations.models import Orchestration
from orchestrations.recording import (
    Facts,
    facts_of,
)
from orchestrations.settling import look_at
from orchestrations.work import Record, Scope, Work
from receipts.keyring import Keyring
from receipts.ledger import LedgerUnavailable, Submission
from receipts.ledger_view import LedgerView
from tenants.authentication import Principal

logger = logging.getLogger(__name__)

WRITE_ERRORS = [
    Code.INVALID_REQUEST,
    Code.IDEMPOTENCY_CONFLICT,
    Code.PAYLOAD_TOO_LARGE,
    Code.UNSUPPORTED_MEDIA_TYPE,
]
RECORD_ERRORS = [*WRITE_ERRORS, Code.NOT_FOUND, Code.NOT_RUNNING, Code.BUDGET_EXCEEDED]
# What the engines and their drivers say of a sum beyond 64 bits.
TOO_LARGE = (
    DataError,
    IntegrityError,
    OverflowError,
    psycopg.DataError,
    psycopg.errors.CheckViolation,
    struct.error,
)


class OrchestrationsView(LedgerView):
    """What the views of this app do with the ledger."""

    def run(self, request: Request, name: str) -> Orchestration:
        """Return the caller's orchestration, ended if its time is over."""
        principal: Principal = request.auth  # type: ignore[assignment]
        try:
            found = look_at(name, principal.tenant_id, principal.mode)
        except LedgerUnavailable:
            raise unavailable() from None
        if found is None:
            raise not_found("orchestration")
        return found

    @staticmethod
    def facts(request: Request, name: str) -> Facts:
        principal: Principal = request.auth  # type: ignore[assignment]
        facts = facts_of(name, principal.tenant_id, principal.mode)
        if facts is None:
            raise not_found("orchestration")
        return facts

    def work(
        self,
        request: Request,
        compose: Callable[[Scope, Keyring, Principal], Work],
        render: Callable[[Any], tuple[int, Any]],
    ) -> Answer:
        """Have the books keep what `compose` makes, and answer with `render` of it.

        `render` turns the results of the work into a status and a JSON value.
        """

        def submission(keyring: Keyring, principal: Principal) -> Submission:
            limit = month_limit(principal.tenant_id, principal.mode, keyring.version)
            scope = Scope(principal.tenant_id, principal.mode, limit)
            work = compose(scope, keyring, principal)
            calls = work.calls if isinstance(work, Record) else []
            entries = [call.entry for call in calls]
            return Submission(keyring, entries, books=OrchestrationBooks, work=work)

        def encoded(results: list[Any]) -> tuple[int, bytes]:
            status, body = render(results)
            return status, encode(body)

        try:
            return self.submit(request, submission, encoded)
        except TOO_LARGE as error:
            logger.warning("refused, as a sum would not be exact: %s", error)
            message = "The sums that this adds to would no longer be exact."
            raise invalid({"body": [message]}) from error

    def rendered_error(self, error: ApiError) -> tuple[int, dict[str, Any]]:
        return error.status, error.body(self.request_id)
