"""Example answers of the cost views, for the OpenAPI document and the docs page."""

from typing import Any

TOTALS: dict[str, Any] = {
    "calls": 1250,
    "input_tokens": 812340,
    "cache_read_tokens": 96000,
    "cache_write_5m_tokens": 12304,
    "cache_write_1h_tokens": 0,
    "output_tokens": 145210,
    "reasoning_tokens": 20480,
    "total_tokens": 1065854,
    "cost_cents": 543.99,
    "list_price_cents": 601.255,
    "adjusted_cost_cents": 548.19,
    "steps": 310,
    "step_cost_cents": 12.5,
    "total_cost_cents": 556.49,
    "unpriced": 1,
    "unpriced_as_recorded": 3,
    "flagged": 2,
    "failed": 4,
    "runs": 84,
    "average_run_cost_cents": 6.624880952,
    "p95_run_cost_cents": 21.338714725,
}
COSTS: dict[str, Any] = {
    "success": True,
    "from": "2026-10-24",
    "to": "2026-11-22",
    "group_by": "model",
    "totals": TOTALS,
    "previous": {"from": "2026-09-24", "to": "2026-10-23", "totals": TOTALS},
    "groups": [
        {
            "key": "claude-sonnet-4-5",
            **TOTALS,
            "previous_cost_cents": 498.2,
            "previous_total_cost_cents": 510.7,
        }
    ],
    "truncated": False,
}
METRICS: dict[str, Any] = {
    "success": True,
    "from": "2026-11-21T12:00:00Z",
    "to": "2026-11-22T11:00:00Z",
    "granularity": "hour",
    "group_by": "model",
    "event_counts": {
        "inferences": 1250,
        "steps": 310,
        "orchestrations_completed": 80,
        "orchestrations_failed": 3,
        "orchestrations_timeout": 1,
        "orchestrations_cancelled": 0,
        "unpriced": 3,
        "flagged": 2,
        "failed": 4,
    },
    "latencies": {"p50": 842.3, "p95": 2913.6, "p99": 5161.5, "average": 1019.4},
    "total_cost_cents": 556.49,
    "buckets": [
        {
            "start": "2026-11-22T11:00:00Z",
            "group": "claude-sonnet-4-5",
            "calls": 52,
            "cost_cents": 22.731,
            "total_cost_cents": 23.231,
            "total_tokens": 44410,
            "p50": 842.3,
            "p95": 2913.6,
            "p99": 5161.5,
        }
    ],
    "truncated": False,
}
BUDGETS: dict[str, Any] = {
    "success": True,
    "budgets": [
        {
            "mode": "live",
            "period": "month",
            "month": "2026-11",
            "limit_cents": 100000.5,
            "spent_cents": 55649.25,
            "remaining_cents": 44351.25,
            "exceeded": False,
        }
    ],
}
