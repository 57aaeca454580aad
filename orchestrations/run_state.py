"""An orchestration as a transaction of the ledger finds it, and what it becomes."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from orchestrations.models import Orchestration
from orchestrations.money import from_nanocents, plain
from orchestrations.tables import TOKENS
from orchestrations.usage import Tokens
from orchestrations.work import Call, Scope
from receipts.entry import Entry, make_entry
from receipts.ledger import Page
from receipts.merkle import Frontier
from receipts.rows import Row

Status = Orchestration.Status


@dataclass(slots=True)
class Run:
    """An orchestration as the transaction found it, and what becomes of it."""

    row: dict[str, Any]
    is_new: bool = False
    is_changed: bool = False
    has_ended: bool = False
    leaves: list[bytes] = field(default_factory=list)
    costs: list[Row] = field(default_factory=list)  # SPENT_BY and a sum
    spent_here: dict[Row, int] = field(default_factory=lambda: defaultdict(int))
    expected: Row = ()  # SIGNS, of a run that was remembered and not looked at

    @property
    def is_running(self) -> bool:
        return bool(self.row["status"] == Status.RUNNING)

    @property
    def total_cost(self) -> int:
        return int(self.row["cost"] + self.row["step_cost"])

    def total_tokens_with(self, call: Call) -> int:
        tokens = Tokens(**{name: self.row[name] for name in TOKENS})
        return tokens.total + call.tokens.total

    def costs_by(self) -> list[tuple[Row, int]]:
        """Return what its calls cost, those of this batch too, by SPENT_BY."""
        before = [(row[:-1], int(row[-1])) for row in self.costs]
        return [*before, *self.spent_here.items()]

    def is_of(self, scope: Scope) -> bool:
        owner = self.row["tenant_id"], self.row["mode"]
        return owner == (scope.tenant_id, scope.mode)

    def frontier(self) -> Frontier:
        """Take the leaves into the frontier and return it."""
        size = self.row["inference_count"] - len(self.leaves)
        frontier = Frontier.from_bytes(size, bytes(self.row["frontier"]))
        frontier = frontier.append(self.leaves)
        self.leaves.clear()
        self.row["frontier"] = frontier.to_bytes()
        return frontier


def ending_entry(run: Run, page: Page) -> Entry:
    """Sign the final receipt (LEDGER section 1, `orchestration`)."""
    row, frontier = run.row, run.frontier()
    totals: dict[str, Any] = {name: row[name] for name in TOKENS}
    totals |= {
        "cost_cents": _cents(row["cost"]),
        "list_price_cents": _cents(row["list_price"]),
        "unpriced": row["unpriced_count"],
        "contradictory": row["flagged_count"],
        "failed": row["failed_count"],
        "steps": row["step_count"],
        "step_cost_cents": _cents(row["step_cost"]),
    }
    claims = {
        "orchestration_id": row["id"],
        "agent_id": row["agent_id"],
        "status": row["status"],
        "started_at": int(row["started_at"].timestamp()),
        "ended_at": int(row["ended_at"].timestamp()),
        "totals": totals,
        "inferences": {"count": frontier.size, "root": frontier.root().hex()},
    }
    if row["workflow_id"]:
        claims["workflow_id"] = row["workflow_id"]
    if output_hash := row["ending"].get("output_hash"):
        claims["output_hash"] = output_hash
    if error := row["ending"].get("error"):
        claims["error"] = error
    # Of its own run_id: nobody can take it beforehand and so keep a run from ending.
    return make_entry(page.keyring, "orchestration", f"run_{uuid4().hex}", None, claims)


def _cents(nanocents: int) -> str:
    return plain(from_nanocents(nanocents))
