"""Actions of agents within orchestrations: none is recorded after the end.

The state of the run is read under the lock of the log's row, as for calls. Should
the end stand in the same batch, action and end were asked for at once, and either
may come first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from lucid.api.errors import ApiError, not_found
from orchestrations.models import Orchestration
from orchestrations.refusals import not_running
from orchestrations.run_state import Run
from orchestrations.tables import FIND_RUNS
from orchestrations.work import Scope
from receipts.entry import Entry
from receipts.ledger import Page
from receipts.rows import Find, Row, Write


@dataclass(frozen=True, slots=True)
class Act:
    scope: Scope
    orchestration_id: str
    entry: Entry


class ActionBooks:
    """Implements `receipts.ledger.Books`; `keep` answers a Result or an ApiError."""

    def __init__(self) -> None:
        self._now = timezone.now()
        self._runs: dict[str, Run] = {}

    def lookups(self, works: Sequence[Act]) -> list[tuple[Find, Sequence[Row]]]:
        runs = {(work.orchestration_id,) for work in works}
        return [(FIND_RUNS, list(runs))]

    def recall(self, works: Sequence[Act]) -> bool:
        return False  # a run is always looked at

    def take(self, found: list[list[Row]]) -> None:
        (rows,) = found
        for row in rows:
            named = dict(zip(FIND_RUNS.columns, row, strict=True))
            self._runs[named["id"]] = Run(named)

    def keep(self, work: Act, page: Page) -> list[Any]:
        return [self._refusal(work) or page.place(work.entry)]

    def _refusal(self, work: Act) -> ApiError | None:
        run = self._runs.get(work.orchestration_id)
        if run is None or not run.is_of(work.scope):
            return not_found("orchestration")
        if not run.is_running:
            return not_running(run.row["status"])
        if run.row["expires_at"] <= self._now:
            return not_running(Orchestration.Status.TIMEOUT)
        return None

    def writes(self) -> list[tuple[Write, Sequence[Row]]]:
        return []

    def remember(self) -> None:
        pass
