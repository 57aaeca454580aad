"""The statements that fill a tenant with a year of use (bench.large_tenant).

Whatever is of one call follows from its number `i`, and of one run from its number `r`.
"""

import math

CALLS = 10_000_000
RECEIPTS = 1_000_000
CALLS_OF_RUN = 32
EVENTS = 200_000
YEAR = 365 * 86_400
AGENTS = 20
RARE = "rare"  # agent, workflow and model of some calls
UNPRICED = "nobody-knows-its-price"
FAILED = ("failed", "cut", "unknown")
TOKENS = (
    "input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens,"
    " output_tokens, reasoning_tokens"
)
NAMES = "model, provider, agent_id, workflow_id, api_key_id"
SUMS = (
    "calls, cost, list_price, unpriced, flagged, failed, latency_ms, timed, steps,"
    f" step_cost, {TOKENS}"
)


def _sums(names: str, named: bool = False) -> str:
    each = [name.strip() for name in names.split(",")]
    return ", ".join(f"sum({name})" + f" AS {name}" * named for name in each)


# How `orchestrations.bands` counts: latencies of milliseconds, costs of nanocents.
LATENCY_BAND = f"floor(ln(latency_ms) / {math.log(1.1)})::int + 1"
COST_BAND = (
    f"CASE WHEN cost < 1 THEN 0 ELSE floor(ln(cost) / {math.log(1.05)})::int + 1 END"
)

RUN_TABLE = """
    CREATE TEMPORARY TABLE run (r bigint PRIMARY KEY, id text, started timestamptz)
"""
INFERENCES = f"""
    INSERT INTO orchestrations_inference (
        receipt_id, tenant_id, mode, orchestration_id, leaf_index, recorded_at, {NAMES},
        sequence, latency_ms, cost, list_price, cost_source, flagged, outcome,
        served_model, {TOKENS})
    SELECT
        (lpad(to_hex(ms), 12, '0') || '7' || lpad(to_hex(i %% 4096), 3, '0') || '8'
            || lpad(to_hex(i), 15, '0'))::uuid,
        %(tenant)s, 'live', id,
        CASE WHEN i < {CALLS - RECEIPTS} THEN i ELSE i - {CALLS - RECEIPTS} END,
        to_timestamp(ms / 1000.0),
        CASE
            WHEN i %% 2000003 = 11 THEN '{RARE}'
            WHEN NOT priced THEN '{UNPRICED}'
            ELSE 'model-' || m
        END,
        CASE
            WHEN NOT priced THEN 'custom'
            ELSE (ARRAY['openai', 'anthropic', 'bedrock'])[m %% 3 + 1]
        END,
        'maip-agent:' || CASE WHEN rare THEN '{RARE}' ELSE 'worker-' || a END,
        CASE WHEN rare THEN '{RARE}' ELSE 'workflow-' || a %% 7 END,
        (%(keys)s::uuid[])[CASE WHEN rare THEN 5 ELSE a %% 4 + 1 END],
        i %% {CALLS_OF_RUN} + 1,
        (ARRAY[800, 1000, 1250])[i %% 3 + 1],
        nanocents, nanocents,
        CASE
            WHEN NOT priced THEN 'unpriced'
            WHEN failed THEN 'no_charge'
            ELSE 'catalogue'
        END,
        i %% 4999 = 9,
        CASE WHEN failed THEN 'failed' WHEN i %% 2 = 0 THEN 'completed' ELSE '' END,
        CASE WHEN i %% 2 = 0 THEN 'served-' || i %% 10 ELSE '' END,
        CASE WHEN failed THEN 0 ELSE 500 + i %% 700 * 3 END,
        CASE WHEN failed THEN 0 ELSE i %% 5 * 400 END, 0, 0,
        CASE WHEN failed THEN 0 ELSE 80 + i %% 300 END, 0
    FROM generate_series(0::bigint, {CALLS - 1}) AS i
    JOIN run ON r = i / {CALLS_OF_RUN}
    CROSS JOIN LATERAL (
        SELECT %(begin)s::bigint + i * {YEAR * 1000} / {CALLS} AS ms,
            r %% {AGENTS} AS a, (r %% {AGENTS} + i %% 3) %% 10 AS m,
            r %% 60000 = 777 AS rare, i %% 1999 <> 3 AS priced, i %% 503 = 7 AS failed
    ) AS of_call
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN NOT priced THEN NULL
            WHEN failed THEN 0
            ELSE (150000000 + i %% 1000 * 200000) * (10 + r %% 50) / 10
                * CASE WHEN r %% 1000 = 0 THEN 50 ELSE 1 END
        END AS nanocents
    ) AS of_cost
"""
RUNS_OF_INFERENCES = f"""
    INSERT INTO orchestrations_orchestration (
        id, tenant_id, mode, api_key_id, agent_id, workflow_id, name, model, request,
        max_steps, timeout_seconds, status, started_at, expires_at, ended_at, ending,
        inference_count, frontier, cost, final_cost, list_price, unpriced_count,
        flagged_count, failed_count, step_count, step_cost, {TOKENS})
    SELECT
        run.id, %(tenant)s, 'live', api_key_id, agent_id, workflow_id,
        CASE WHEN r %% 2 = 0 THEN 'Claim ' || r ELSE '' END, '', '{{}}', 10, 3600,
        CASE
            WHEN r %% 97 = 5 THEN 'failed'
            WHEN r %% 211 = 3 THEN 'timeout'
            WHEN r %% 307 = 1 THEN 'cancelled'
            ELSE 'completed'
        END,
        started, started + interval '1 hour', last + interval '1 second',
        CASE
            WHEN r %% 97 = 5
            THEN '{{"error": {{"code": "REFUSED", "message": ""}}}}'::jsonb
        END,
        calls, decode(repeat('00', 32), 'hex'), cost, cost, list_price, unpriced,
        flagged, failed, 0, 0, {TOKENS}
    FROM run JOIN (
        SELECT orchestration_id, min(api_key_id::text)::uuid AS api_key_id,
            min(agent_id) AS agent_id, min(workflow_id) AS workflow_id,
            max(recorded_at) AS last, count(*) AS calls,
            coalesce(sum(cost), 0) AS cost, coalesce(sum(list_price), 0) AS list_price,
            count(*) FILTER (WHERE cost IS NULL) AS unpriced,
            count(*) FILTER (WHERE flagged) AS flagged,
            count(*) FILTER (WHERE outcome IN {FAILED}) AS failed,
            {_sums(TOKENS, named=True)}
        FROM orchestrations_inference GROUP BY orchestration_id
    ) AS of_run ON orchestration_id = run.id
    ORDER BY r
"""
HOURS = f"""
    INSERT INTO orchestrations_usagehour
        (tenant_id, mode, day, hour, latency_band, {NAMES}, {SUMS})
    SELECT tenant_id, mode, day, hour, {LATENCY_BAND}, {NAMES},
        count(*), coalesce(sum(cost), 0), coalesce(sum(list_price), 0),
        count(*) FILTER (WHERE cost IS NULL), count(*) FILTER (WHERE flagged),
        count(*) FILTER (WHERE outcome IN {FAILED}), sum(latency_ms), count(*), 0, 0,
        {_sums(TOKENS)}
    FROM (
        SELECT *, (recorded_at AT TIME ZONE 'UTC')::date AS day,
            extract(hour FROM recorded_at AT TIME ZONE 'UTC')::int AS hour
        FROM orchestrations_inference
    ) AS call
    GROUP BY tenant_id, mode, day, hour, {LATENCY_BAND}, {NAMES}
"""
DAYS = f"""
    INSERT INTO orchestrations_usageday
        (tenant_id, mode, day, {NAMES}, {SUMS}, adjustment, priced_later)
    SELECT tenant_id, mode, day, {NAMES}, {_sums(SUMS)}, 0, 0
    FROM orchestrations_usagehour GROUP BY tenant_id, mode, day, {NAMES}
"""
USAGE_MONTHS = f"""
    INSERT INTO orchestrations_usagemonth
        (tenant_id, mode, month, {NAMES}, {SUMS}, adjustment, priced_later)
    SELECT tenant_id, mode, date_trunc('month', day)::date, {NAMES}, {_sums(SUMS)},
        0, 0
    FROM orchestrations_usageday GROUP BY 1, 2, 3, {NAMES}
"""
MONTHS = """
    INSERT INTO orchestrations_monthspend (tenant_id, mode, month, spent)
    SELECT tenant_id, mode, date_trunc('month', day)::date, sum(cost)
    FROM orchestrations_usageday GROUP BY 1, 2, 3
"""
COSTS_OF_RUNS = """
    CREATE TEMPORARY TABLE run_cost AS
    SELECT orchestration_id, model, provider, coalesce(sum(cost), 0) AS cost
    FROM orchestrations_inference GROUP BY orchestration_id, model, provider
"""
# A run counts once for each model among its calls, with what it cost there.
RUN_DAYS = f"""
    INSERT INTO orchestrations_runday
        (tenant_id, mode, day, dimension, value, status, cost_band, runs, cost)
    SELECT tenant_id, mode, day, dimension, value, status, {COST_BAND} AS band,
        count(*), sum(cost)
    FROM (
        SELECT tenant_id, mode, id, status, dimension, value,
            (ended_at AT TIME ZONE 'UTC')::date AS day, sum(run_cost.cost) AS cost
        FROM run_cost JOIN orchestrations_orchestration AS run ON id = orchestration_id
        CROSS JOIN LATERAL (VALUES
            ('model', run_cost.model), ('provider', run_cost.provider)
        ) AS by_name (dimension, value)
        GROUP BY tenant_id, mode, id, status, dimension, value
        UNION ALL
        SELECT tenant_id, mode, id, status, dimension, value,
            (ended_at AT TIME ZONE 'UTC')::date, cost
        FROM orchestrations_orchestration
        CROSS JOIN LATERAL (VALUES ('', ''), ('agent_id', agent_id),
            ('workflow_id', workflow_id), ('api_key', api_key_id::text))
            AS by_name (dimension, value)
    ) AS of_run
    GROUP BY tenant_id, mode, day, dimension, value, status, band
"""
RUN_MONTHS = """
    INSERT INTO orchestrations_runmonth
        (tenant_id, mode, month, dimension, value, cost_band, runs, cost)
    SELECT tenant_id, mode, date_trunc('month', day)::date, dimension, value, cost_band,
        sum(runs), sum(cost)
    FROM orchestrations_runday GROUP BY 1, 2, 3, 4, 5, 6
"""
ACCESS_EVENTS = f"""
    INSERT INTO tenants_accessevent (
        id, tenant_id, recorded_at, action, actor_kind, actor_id, actor_name, address,
        request_id, object_kind, object_id, after, reason)
    SELECT
        (lpad(to_hex(ms), 12, '0') || '70008' || lpad(to_hex(n), 15, '0'))::uuid,
        %(tenant)s, to_timestamp(ms / 1000.0),
        CASE
            WHEN n %% 50000 = 9 THEN 'rare.event'
            WHEN n %% 3 = 0 THEN 'receipt.verified'
            WHEN n %% 3 = 1 THEN 'receipts.exported'
            ELSE 'api_key.issued'
        END,
        'person', 'p', 'person-' || n %% 40 || '@example.com', '10.0.0.1', 'req_' || n,
        'receipt', 'object-' || n, '{{"n": 1}}', ''
    FROM generate_series(0::bigint, {EVENTS - 1}) AS n
    CROSS JOIN LATERAL (
        SELECT %(begin)s::bigint + n * {YEAR * 1000} / {EVENTS} AS ms
    ) AS at
"""
# The newest of these calls have the first places in the log.
CALLS_OF_RECEIPTS = """
    SELECT receipt_id, orchestration_id, leaf_index,
        extract(epoch FROM recorded_at)::bigint, model, provider, agent_id, sequence,
        latency_ms, cost, cost_source, outcome, input_tokens, cache_read_tokens,
        output_tokens
    FROM orchestrations_inference
    WHERE tenant_id = %(tenant)s AND mode = 'live'
        AND recorded_at >= to_timestamp(%(newest)s / 1000.0)
        AND leaf_index >= %(start)s AND leaf_index < %(stop)s
    ORDER BY leaf_index
"""
