from django.db import migrations

from tenants.row_security import secure_rows


class Migration(migrations.Migration):
    dependencies = [
        ("orchestrations", "0003_gateway"),
        ("tenants", "0004_row_security"),
    ]

    operations = [
        secure_rows(
            "orchestrations_adjustment",
            "orchestrations_attempt",
            "orchestrations_budget",
            "orchestrations_contentsalts",
            "orchestrations_inference",
            "orchestrations_monthspend",
            "orchestrations_orchestration",
            "orchestrations_price",
            "orchestrations_providercredential",
            "orchestrations_runday",
            "orchestrations_step",
            "orchestrations_usageday",
            "orchestrations_usagehour",
        ),
    ]
