from django.db import migrations

from tenants.row_security import secure_sums


class Migration(migrations.Migration):
    dependencies = [
        ("orchestrations", "0007_runs_of_months"),
    ]

    operations = [
        secure_sums(
            "orchestrations_runday",
            "orchestrations_runmonth",
            "orchestrations_usageday",
            "orchestrations_usagehour",
        ),
    ]
