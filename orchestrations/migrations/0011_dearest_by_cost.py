from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orchestrations", "0010_steps_that_cost"),
        ("tenants", "0007_api_key_rotation"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="orchestration",
            index=models.Index(
                condition=models.Q(("ended_at__isnull", False)),
                fields=["tenant", "mode", "final_cost", "ended_at"],
                name="orchestrations_by_cost",
            ),
        ),
    ]
