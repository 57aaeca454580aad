from decimal import Decimal
from typing import Any

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Sum
from django.db.models.functions import TruncMonth

import orchestrations.money
from lucid.isolation import across_tenants
from tenants.row_security import secure_rows

NAMES = ("tenant_id", "mode", "dimension", "value", "cost_band")


def add_up_months(apps: Any, schema_editor: Any) -> None:
    days = apps.get_model("orchestrations", "RunDay").objects
    months = apps.get_model("orchestrations", "RunMonth")
    with across_tenants():
        rows = days.annotate(month=TruncMonth("day")).values("month", *NAMES)
        sums = rows.annotate(sum_runs=Sum("runs"), sum_cost=Sum("cost"))
        months.objects.bulk_create(
            (
                months(runs=row.pop("sum_runs"), cost=row.pop("sum_cost"), **row)
                for row in sums.iterator()
            ),
            batch_size=2000,
        )


class Migration(migrations.Migration):
    dependencies = [
        ("orchestrations", "0006_find_dearest_runs"),
        ("tenants", "0007_api_key_rotation"),
    ]

    operations = [
        migrations.CreateModel(
            name="RunMonth",
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
                (
                    "mode",
                    models.CharField(
                        choices=[("live", "Live"), ("test", "Test")], max_length=4
                    ),
                ),
                ("month", models.DateField()),
                ("dimension", models.CharField(max_length=11)),
                ("value", models.CharField(max_length=200)),
                ("cost_band", models.SmallIntegerField()),
                ("runs", models.BigIntegerField(default=0)),
                ("cost", orchestrations.money.CentsField(default=Decimal("0"))),
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
                            "dimension",
                            "month",
                            "value",
                            "cost_band",
                        ),
                        name="orchestrations_runmonth_unique",
                    )
                ],
            },
        ),
        migrations.RunPython(add_up_months, migrations.RunPython.noop),
        secure_rows("orchestrations_runmonth"),
    ]
