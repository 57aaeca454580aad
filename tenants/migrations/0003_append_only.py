"""The database itself refuses to change or delete an access event."""

from typing import Any

from django.db import migrations

POSTGRES = """
CREATE FUNCTION tenants_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON tenants_accessevent
    FOR EACH ROW EXECUTE FUNCTION tenants_refuse();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON tenants_accessevent
    FOR EACH STATEMENT EXECUTE FUNCTION tenants_refuse();
"""

SQLITE = """
CREATE TRIGGER tenants_accessevent_no_{verb} BEFORE {verb} ON tenants_accessevent BEGIN
    SELECT RAISE(ABORT, 'tenants_accessevent is append-only: {verb} refused');
END
"""


def create_triggers(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(POSTGRES, params=None)  # no placeholders in it
        return
    for verb in ("UPDATE", "DELETE"):
        schema_editor.execute(SQLITE.format(verb=verb), None)


class Migration(migrations.Migration):
    dependencies = [("tenants", "0002_access_events")]

    operations = [
        migrations.RunPython(create_triggers, migrations.RunPython.noop),
    ]
