from typing import Any

from django.db import migrations, models
from django.db.models import F, Q

import orchestrations.money
from lucid.isolation import across_tenants


def set_final_costs(apps: Any, schema_editor: Any) -> None:
    runs = apps.get_model("orchestrations", "Orchestration").objects
    with across_tenants():
        ended = runs.filter(ended_at__isnull=False)
        ended.update(final_cost=F("cost") + F("step_cost"))


class Migration(migrations.Migration):
    dependencies = [
        ("orchestrations", "0005_calls_of_unknown_end"),
    ]

    operations = [
        migrations.AddField(
            model_name="orchestration",
            name="final_cost",
            field=orchestrations.money.CentsField(null=True),
        ),
        migrations.RunPython(set_final_costs, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name="orchestration",
            index=models.Index(
                condition=Q(("ended_at__isnull", False)),
                fields=["tenant", "mode", "ended_at", "final_cost"],
                name="orchestrations_by_end",
            ),
        ),
    ]
