"""The tables that `orchestrations.books` reads and writes, and by which statements.

Amounts are nanocents here, as the columns hold them.
"""

from lucid.columns import (
    BIGINT,
    BOOLEAN,
    BYTEA,
    DATE,
    JSON,
    SMALLINT,
    TEXT,
    TIME,
    UUID_,
    Columns,
)
from orchestrations.usage import TOKEN_COUNTS
from receipts.rows import Find, add, change, change_expected, delete, insert

TOKENS: Columns = dict.fromkeys(TOKEN_COUNTS, BIGINT)
RUN_TOTALS: Columns = {
    **TOKENS,
    "inference_count": BIGINT,
    "cost": BIGINT,
    "list_price": BIGINT,
    "unpriced_count": BIGINT,
    "flagged_count": BIGINT,
    "failed_count": BIGINT,
    "step_count": BIGINT,
    "step_cost": BIGINT,
    "frontier": BYTEA,
}
RUN_ENDING: Columns = {
    "status": TEXT,
    "ended_at": TIME,
    "ending": JSON,
    "receipt_id": UUID_,
    "final_cost": BIGINT,
}
RUN_START: Columns = {
    "tenant_id": UUID_,
    "mode": TEXT,
    "api_key_id": UUID_,
    "agent_id": TEXT,
    "workflow_id": TEXT,
    "name": TEXT,
    "model": TEXT,
    "request": JSON,
    "max_steps": BIGINT,
    "timeout_seconds": BIGINT,
    "budget": BIGINT,
    "started_at": TIME,
    "expires_at": TIME,
}
RUN: Columns = {"id": TEXT, **RUN_START, **RUN_ENDING, **RUN_TOTALS}
RUN_ID: Columns = {"id": TEXT}
INFERENCE: Columns = {
    "receipt_id": UUID_,
    "tenant_id": UUID_,
    "mode": TEXT,
    "orchestration_id": TEXT,
    "leaf_index": BIGINT,
    "recorded_at": TIME,
    "model": TEXT,
    "provider": TEXT,
    "agent_id": TEXT,
    "workflow_id": TEXT,
    "api_key_id": UUID_,
    "sequence": BIGINT,
    "latency_ms": BIGINT,
    "cost": BIGINT,
    "list_price": BIGINT,
    "cost_source": TEXT,
    "flagged": BOOLEAN,
    "outcome": TEXT,
    "served_model": TEXT,
    **TOKENS,
}
STEP: Columns = {
    "tenant_id": UUID_,
    "mode": TEXT,
    "orchestration_id": TEXT,
    "step_number": BIGINT,
    "recorded_at": TIME,
    "action": TEXT,
    "agent_id": TEXT,
    "name": TEXT,
    "result": JSON,
    "duration_ms": BIGINT,
    "cost": BIGINT,
    "input_hash": TEXT,
    "output_hash": TEXT,
}
LOG: Columns = {"tenant_id": UUID_, "mode": TEXT}
NAMES: Columns = {
    "model": TEXT,
    "provider": TEXT,
    "agent_id": TEXT,
    "workflow_id": TEXT,
    "api_key_id": UUID_,
}
DAY: Columns = {**LOG, "day": DATE, **NAMES}
HOUR: Columns = {**DAY, "hour": SMALLINT, "latency_band": SMALLINT}
SUMS: Columns = {
    **TOKENS,
    "calls": BIGINT,
    "cost": BIGINT,
    "list_price": BIGINT,
    "unpriced": BIGINT,
    "flagged": BIGINT,
    "failed": BIGINT,
    "latency_ms": BIGINT,
    "timed": BIGINT,
    "steps": BIGINT,
    "step_cost": BIGINT,
}
CORRECTIONS: Columns = {"adjustment": BIGINT, "priced_later": BIGINT}
ADJUSTMENT: Columns = {
    "receipt_id": UUID_,
    "tenant_id": UUID_,
    "mode": TEXT,
    "inference_id": UUID_,
    "orchestration_id": TEXT,
    "recorded_at": TIME,
    "before": BIGINT,
    "after": BIGINT,
}
RUN_DAY: Columns = {
    **LOG,
    "day": DATE,
    "dimension": TEXT,
    "value": TEXT,
    "status": TEXT,
    "cost_band": SMALLINT,
}
MONTH: Columns = {**LOG, "month": DATE}
USAGE_MONTH: Columns = {**MONTH, **NAMES}
RUN_MONTH: Columns = {
    **MONTH,
    "dimension": TEXT,
    "value": TEXT,
    "cost_band": SMALLINT,
}
RUN_SUMS: Columns = {"runs": BIGINT, "cost": BIGINT}
RECEIPT_ID: Columns = {"receipt_id": UUID_}
ATTEMPT: Columns = {
    **RECEIPT_ID,
    **LOG,
    "orchestration_id": TEXT,
    "provider": TEXT,
    "model": TEXT,
    "agent_id": TEXT,
    "api_key_id": UUID_,
    "number": SMALLINT,
    "started_at": TIME,
    "input_hash": TEXT,
    "ends_run": BOOLEAN,
    "reserved": BIGINT,
    "worker_id": UUID_,
    "deadline": TIME,
}
SALTS: Columns = {
    **RECEIPT_ID,
    "tenant_id": UUID_,
    "sealed": BYTEA,
    "master_key_id": TEXT,
}

FOUND: Columns = {name: kind for name, kind in RUN.items() if name != "request"}
FIND_RUNS = Find("orchestrations_orchestration", RUN_ID, FOUND)
FIND_ADJUSTMENTS = Find(
    "orchestrations_adjustment",
    {"tenant_id": UUID_, "inference_id": UUID_},
    {"inference_id": UUID_, "receipt_id": UUID_, "after": BIGINT},
)
FIND_SPEND = Find("orchestrations_monthspend", MONTH, MONTH | {"spent": BIGINT})
SPENT_BY: Columns = {
    "model": TEXT,
    "provider": TEXT,
    "agent_id": TEXT,
    "workflow_id": TEXT,
    "api_key_id": UUID_,
}
FIND_COSTS = Find(
    "orchestrations_inference",
    {"tenant_id": UUID_, "orchestration_id": TEXT},
    {"orchestration_id": TEXT, **SPENT_BY},
    sums=("cost",),
    where="t.orchestration_id <> ''",
)

# What is under way, by what it may spend of.
FIND_UNDER_WAY = Find(
    "orchestrations_attempt",
    LOG,
    {**LOG, "orchestration_id": TEXT, "provider": TEXT},
    sums=("reserved",),
    counts=True,
)

INSERT_RUNS = insert("orchestrations_orchestration", RUN)
INSERT_INFERENCES = insert("orchestrations_inference", INFERENCE)
INSERT_ADJUSTMENTS = insert("orchestrations_adjustment", ADJUSTMENT)
INSERT_ATTEMPTS = insert("orchestrations_attempt", ATTEMPT)
DELETE_ATTEMPTS = delete("orchestrations_attempt", RECEIPT_ID)
INSERT_SALTS = insert("orchestrations_contentsalts", SALTS)
INSERT_STEPS = insert("orchestrations_step", STEP)
SET_TOTALS = change(
    "set_run_totals", "orchestrations_orchestration", RUN_TOTALS, RUN_ID
)
# What any change of a run by another process would show in.
SIGNS: Columns = {"status": TEXT, "inference_count": BIGINT, "step_count": BIGINT}
SET_EXPECTED_TOTALS = change_expected(
    "set_expected_run_totals",
    "orchestrations_orchestration",
    RUN_TOTALS,
    RUN_ID,
    SIGNS,
)
SET_ENDINGS = change(
    "set_run_endings", "orchestrations_orchestration", RUN_ENDING, RUN_ID
)
ADD_DAYS = add("orchestrations_usageday", DAY, SUMS | CORRECTIONS)
ADD_MONTHS = add("orchestrations_usagemonth", USAGE_MONTH, SUMS | CORRECTIONS)
ADD_HOURS = add("orchestrations_usagehour", HOUR, SUMS)
ADD_RUN_DAYS = add("orchestrations_runday", RUN_DAY, RUN_SUMS)
ADD_RUN_MONTHS = add("orchestrations_runmonth", RUN_MONTH, RUN_SUMS)
ADD_SPEND = add("orchestrations_monthspend", MONTH, {"spent": BIGINT})
