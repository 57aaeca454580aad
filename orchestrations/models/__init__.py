"""What agents did and what it cost: runs, their calls and steps, money, rollups.

Rows that count something (totals of a run, the Usage tables, MonthSpend) are written
by `orchestrations.books` in the ledger's transaction, with what they count. Like
receipts they are protected by the lock on their log's row, so their foreign keys
need no constraint.
"""

from orchestrations.models.gateway import Attempt, ContentSalts, ProviderCredential
from orchestrations.models.rollups import (
    MonthSpend,
    RunDay,
    RunMonth,
    Usage,
    UsageDay,
    UsageHour,
    UsageMonth,
)
from orchestrations.models.runs import (
    NOBODY,
    NOT_COMPLETED,
    Adjustment,
    CostSource,
    Inference,
    Orchestration,
    Outcome,
    Provider,
    Step,
    Tokens,
)
from orchestrations.models.terms import Budget, Price

__all__ = [
    "NOBODY",
    "NOT_COMPLETED",
    "Adjustment",
    "Attempt",
    "Budget",
    "ContentSalts",
    "CostSource",
    "Inference",
    "MonthSpend",
    "Orchestration",
    "Outcome",
    "Price",
    "Provider",
    "ProviderCredential",
    "RunDay",
    "RunMonth",
    "Step",
    "Tokens",
    "Usage",
    "UsageDay",
    "UsageHour",
    "UsageMonth",
]
