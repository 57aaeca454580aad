from django.db import migrations

from tenants.row_security import secure_rows


class Migration(migrations.Migration):
    dependencies = [("tenants", "0003_append_only")]

    operations = [
        secure_rows("tenants_tenant", column="id"),
        secure_rows("tenants_apikey", "tenants_accessevent"),
    ]
