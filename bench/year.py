"""`python -m bench.year TENANT` fills a tenant's rollups with a year of use.

As they would be after ten million inferences in a million runs, by 60 combinations of
names every day. No inference is written: what reads rollups reads nothing else.
"""

import sys
from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import django
from django.db import connection

DAYS = [date(2025, 11, 1) + timedelta(days=number) for number in range(365)]
FIRST_DAY, LAST_DAY = DAYS[0], DAYS[-1]
CALLS = 10_000_000
RUNS = 1_000_000
MODELS = [f"model-{number}" for number in range(10)]
AGENTS = [f"agent-{number}" for number in range(6)]
PROVIDERS = ["openai", "anthropic"]
BANDS = range(440, 460)  # of what runs cost: from 2 to 6 dollars
KEY = UUID(int=7)


def fill(slug: str) -> None:
    from orchestrations.models import RunDay, RunMonth, UsageDay, UsageMonth
    from tenants.models import Tenant

    tenant = Tenant.objects.get(slug=slug)
    calls = CALLS // (len(DAYS) * len(MODELS) * len(AGENTS))
    of_names = [
        {
            "tenant": tenant,
            "mode": "live",
            "model": model,
            "provider": PROVIDERS[number % 2],
            "agent_id": agent,
            "workflow_id": "claims",
            "api_key_id": KEY,
        }
        for number, model in enumerate(MODELS)
        for agent in AGENTS
    ]
    UsageDay.objects.bulk_create(
        (
            UsageDay(day=day, **names, **_sums(calls))
            for day in DAYS
            for names in of_names
        ),
        batch_size=2000,
    )
    days_of = Counter(day.replace(day=1) for day in DAYS)
    UsageMonth.objects.bulk_create(
        UsageMonth(month=month, **names, **_sums(calls * days))
        for month, days in days_of.items()
        for names in of_names
    )
    dimensions = {"": [""], "model": MODELS, "agent_id": AGENTS, "provider": PROVIDERS}
    RunDay.objects.bulk_create(
        (
            RunDay(
                tenant=tenant,
                mode="live",
                day=day,
                dimension=dimension,
                value=value,
                status="completed",
                cost_band=band,
                runs=RUNS // (len(DAYS) * len(BANDS)),
                cost=Decimal(400),
            )
            for day in DAYS
            for dimension, values in dimensions.items()
            for value in values
            for band in BANDS
        ),
        batch_size=2000,
    )
    RunMonth.objects.bulk_create(
        (
            RunMonth(
                tenant=tenant,
                mode="live",
                month=month,
                dimension=dimension,
                value=value,
                cost_band=band,
                runs=days * (RUNS // (len(DAYS) * len(BANDS))),
                cost=Decimal(400) * days,
            )
            for month, days in days_of.items()
            for dimension, values in dimensions.items()
            for value in values
            for band in BANDS
        ),
        batch_size=2000,
    )

    # As autovacuum does within a minute of so many rows.
    with connection.cursor() as cursor:
        cursor.execute(
            "ANALYZE orchestrations_usageday, orchestrations_runday,"
            " orchestrations_runmonth, orchestrations_usagemonth"
        )


def _sums(calls: int) -> dict[str, Any]:
    return {
        "calls": calls,
        "input_tokens": 412 * calls,
        "cache_read_tokens": 2048 * calls,
        "output_tokens": 128 * calls,
        "cost": Decimal("0.3777") * calls,
        "list_price": Decimal("0.3777") * calls,
    }


if __name__ == "__main__":
    django.setup()
    from lucid.isolation import across_tenants

    with across_tenants():
        fill(sys.argv[1])
