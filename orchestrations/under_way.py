"""What calls under way may yet spend, as a batch of the ledger sees it.

Amounts are nanocents. Read under the lock on the log's row, so two calls cannot both
take what is left of a budget.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from orchestrations.work import Scope
from receipts.rows import Row

Log = tuple[UUID, str]


class UnderWay:
    def __init__(self) -> None:
        self._reserved: Counter[tuple[Log, str | None]] = Counter()
        self._calls: Counter[tuple[Log, str]] = Counter()

    def take(self, rows: Iterable[Row]) -> None:
        """Note rows of FIND_UNDER_WAY."""
        for tenant_id, mode, run, provider, reserved, calls in rows:
            self._add((tenant_id, mode), run, provider, reserved, calls)

    def begin(self, scope: Scope, attempt: dict[str, Any]) -> None:
        self._add(log_of(scope), *_of(attempt), 1)

    def end(self, scope: Scope, attempt: dict[str, Any]) -> None:
        run, provider, reserved = _of(attempt)
        self._add(log_of(scope), run, provider, -reserved, -1)

    def _add(
        self, log: Log, run: str, provider: str, reserved: int, calls: int
    ) -> None:
        self._reserved[log, run] += reserved
        self._reserved[log, None] += reserved
        self._calls[log, provider] += calls

    def reserved(self, scope: Scope, run: str | None = None) -> int:
        """Return what is held back from a run's budget, or from the tenant's."""
        return self._reserved[log_of(scope), run]

    def calls(self, scope: Scope, provider: str) -> int:
        return self._calls[log_of(scope), provider]


def log_of(scope: Scope) -> Log:
    return scope.tenant_id, scope.mode


def _of(attempt: dict[str, Any]) -> tuple[str, str, int]:
    return attempt["orchestration_id"], attempt["provider"], attempt["reserved"]
