"""What a submission can ask `orchestrations.books` to keep.

Amounts are nanocents, as the columns hold them.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from orchestrations.usage import Tokens
from receipts.entry import Entry
from receipts.rows import Row


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose books: one log's, and what its tenant may spend in a month."""

    tenant_id: UUID
    mode: str
    month_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Start:
    scope: Scope
    row: dict[str, Any]  # of RUN_START, and the id


@dataclass(frozen=True, slots=True)
class Call:
    """An LLM call with its signed entry. `named`: the caller chose the run_id."""

    entry: Entry
    named: bool
    model: str
    provider: str
    agent_id: str
    workflow_id: str
    api_key_id: UUID
    tokens: Tokens
    sequence: int | None
    latency_ms: int | None
    cost: int | None
    list_price: int | None
    cost_source: str
    flagged: bool
    # Of a call that our gateway made:
    outcome: str = ""
    served_model: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """Calls of one orchestration, or of none."""

    scope: Scope
    orchestration_id: str
    calls: list[Call]


@dataclass(frozen=True, slots=True)
class Begin:
    """A call that the gateway is about to make; answered with None, or why not.

    `attempt` and `salts` are rows of ATTEMPT and SALTS; `run` is of a Start, where
    a run is begun for this call alone. `concurrency` is how many calls of the
    tenant the provider gets at a time.
    """

    scope: Scope
    orchestration_id: str
    attempt: dict[str, Any]
    salts: dict[str, Any]
    concurrency: int
    run: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Settle:
    """What became of such a call: its record, or None if it was not made after all.

    `step` and `ending` (a status and what belongs to it) are of a run that was begun
    for this call alone. Answered with Logged; or with RUN_IS_OVER, having kept
    nothing: then the call has to be recorded outside of the run.
    """

    scope: Scope
    orchestration_id: str
    attempt: dict[str, Any]
    call: Call | None
    step: dict[str, Any] | None = None
    ending: tuple[str, dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Perform:
    scope: Scope
    orchestration_id: str
    step: dict[str, Any]  # of STEP, but for its number, tenant and time


@dataclass(frozen=True, slots=True)
class End:
    """`due`: only if its time is over, and as of then."""

    scope: Scope
    orchestration_id: str
    status: str
    ending: dict[str, Any]
    due: bool = False


@dataclass(frozen=True, slots=True)
class NewPrice:
    """An inference priced anew; `before` is what it has counted so far, if anything."""

    entry: Entry
    inference_id: UUID  # its receipt_id
    orchestration_id: str
    recorded_at: datetime
    spent_by: Row  # SPENT_BY
    was_unpriced: bool  # when it was recorded
    before: int | None
    after: int


@dataclass(frozen=True, slots=True)
class Reprice:
    """Answered with whether each was adjusted: not, if another price came first."""

    scope: Scope
    prices: list[NewPrice]
    orchestration_id: str = ""


Work = Start | Record | Begin | Settle | Perform | End | Reprice
