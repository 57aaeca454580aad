from decimal import Decimal
from typing import Any

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Sum
from django.db.models.functions import TruncMonth

import orchestrations.money
from lucid.isolation import across_tenants
from tenants.row_security import secure_rows, secure_sums

NAMES = (
    "tenant_id",
    "mode",
    "model",
    "provider",
    "agent_id",
    "workflow_id",
    "api_key_id",
)
SUMS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
    "calls",
    "cost",
    "list_price",
    "unpriced",
    "flagged",
    "failed",
    "latency_ms",
    "timed",
    "steps",
    "step_cost",
    "adjustment",
    "priced_later",
)
# As in 0002: rows that are rewritten with every batch, and whenever a run ends.
ROOM = """
ALTER TABLE orchestrations_{table} SET (fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000)
"""


def leave_room(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        for table in ("usagemonth", "runday", "runmonth"):
            schema_editor.execute(ROOM.format(table=table), params=None)


def add_up_months(apps: Any, schema_editor: Any) -> None:
    days = apps.get_model("orchestrations", "UsageDay").objects
    months = apps.get_model("orchestrations", "UsageMonth")
    with across_tenants():
        rows = days.annotate(month=TruncMonth("day")).values_list("month", *NAMES)
        sums = rows.annotate(**{f"sum_{name}": Sum(name) for name in SUMS})
        columns = ("month", *NAMES, *SUMS)
        months.objects.bulk_create(
            (months(**dict(zip(columns, row, strict=True))) for row in sums.iterator()),
            batch_size=2000,
        )


class Migration(migrations.Migration):
    dependencies = [
        ("orchestrations", "0008_security_of_sums"),
        ("tenants", "0007_api_key_rotation"),
    ]

    operations = [
        migrations.CreateModel(
            name="UsageMonth",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                ("input_tokens", models.BigIntegerField(default=0)),
                ("cache_read_tokens", models.BigIntegerField(default=0)),
                ("cache_write_5m_tokens", models.BigIntegerField(default=0)),
                ("cache_write_1h_tokens", models.BigIntegerField(default=0)),
                ("output_tokens", models.BigIntegerField(default=0)),
                ("reasoning_tokens", models.BigIntegerField(default=0)),
                (
                    "mode",
                    models.CharField(
                        choices=[("live", "Live"), ("test", "Test")], max_length=4
                    ),
                ),
                ("model", models.CharField(max_length=200)),
                ("provider", models.CharField(max_length=20)),
                ("agent_id", models.CharField(max_length=200)),
                ("workflow_id", models.CharField(max_length=200)),
                ("api_key_id", models.UUIDField()),
                ("calls", models.BigIntegerField(default=0)),
                ("cost", orchestrations.money.CentsField(default=Decimal("0"))),
                ("list_price", orchestrations.money.CentsField(default=Decimal("0"))),
                ("unpriced", models.BigIntegerField(default=0)),
                ("flagged", models.BigIntegerField(default=0)),
                ("failed", models.BigIntegerField(default=0)),
                ("latency_ms", models.BigIntegerField(default=0)),
                ("timed", models.BigIntegerField(default=0)),
                ("steps", models.BigIntegerField(default=0)),
                ("step_cost", orchestrations.money.CentsField(default=Decimal("0"))),
                ("adjustment", orchestrations.money.CentsField(default=Decimal("0"))),
                ("priced_later", models.BigIntegerField(default=0)),
                ("month", models.DateField()),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=(
                            "tenant",
                            "mode",
                            "month",
                            "model",
                            "provider",
                            "agent_id",
                            "workflow_id",
                            "api_key_id",
                        ),
                        name="orchestrations_usagemonth_unique",
                    )
                ],
            },
        ),
        migrations.RunPython(leave_room, migrations.RunPython.noop),
        migrations.RunPython(add_up_months, migrations.RunPython.noop),
        secure_rows("orchestrations_usagemonth"),
        secure_sums("orchestrations_usagemonth"),
    ]
