from typing import Any

from django.db import migrations, models
from django.db.models import Q

from lucid.isolation import across_tenants


def set_modes(apps: Any, schema_editor: Any) -> None:
    steps = apps.get_model("orchestrations", "Step").objects
    runs = apps.get_model("orchestrations", "Orchestration").objects
    with across_tenants():
        of_tests = runs.filter(mode="test").values("pk")
        steps.filter(orchestration_id__in=of_tests).update(mode="test")


class Migration(migrations.Migration):
    dependencies = [
        ("orchestrations", "0009_usage_of_months"),
    ]

    operations = [
        # Nearly all are of live runs, so this writes hardly any row.
        migrations.AddField(
            model_name="step",
            name="mode",
            field=models.CharField(
                choices=[("live", "Live"), ("test", "Test")],
                default="live",
                max_length=4,
            ),
            preserve_default=False,
        ),
        migrations.RunPython(set_modes, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name="step",
            index=models.Index(
                condition=Q(("cost__gt", 0))
                & Q(("action", "llm_inference"), _negated=True),
                fields=["tenant", "mode", "recorded_at"],
                name="steps_that_cost",
            ),
        ),
    ]
