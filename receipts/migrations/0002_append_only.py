"""The database itself refuses what a log must never do (ARCHITECTURE section 2)."""

from typing import Any

from django.db import migrations

POSTGRES = """
CREATE FUNCTION receipts_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON receipts_receipt
    FOR EACH ROW EXECUTE FUNCTION receipts_refuse();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON receipts_receipt
    FOR EACH STATEMENT EXECUTE FUNCTION receipts_refuse();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON receipts_tile
    FOR EACH ROW EXECUTE FUNCTION receipts_refuse();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON receipts_tile
    FOR EACH STATEMENT EXECUTE FUNCTION receipts_refuse();

CREATE FUNCTION receipts_only_grow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.size < OLD.size OR NEW.origin <> OLD.origin
        OR (NEW.size = OLD.size AND NEW.root <> OLD.root) THEN
        RAISE EXCEPTION 'a log only grows: change of % refused', OLD.origin
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER only_grow BEFORE UPDATE ON receipts_log
    FOR EACH ROW EXECUTE FUNCTION receipts_only_grow();
CREATE TRIGGER append_only BEFORE DELETE ON receipts_log
    FOR EACH ROW EXECUTE FUNCTION receipts_refuse();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON receipts_log
    FOR EACH STATEMENT EXECUTE FUNCTION receipts_refuse();

-- A head is rewritten with every batch: room on its page keeps the update there
-- (HOT), and dead versions are cleaned away before they pile up.
ALTER TABLE receipts_log SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000);
-- Entries are small and not worth a try at compression.
ALTER TABLE receipts_receipt ALTER COLUMN entry SET STORAGE EXTERNAL;
"""

SQLITE_REFUSE = """
CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table} BEGIN
    SELECT RAISE(ABORT, '{table} is append-only: {verb} refused');
END
"""
SQLITE_ONLY_GROW = """
CREATE TRIGGER receipts_log_only_grow BEFORE UPDATE ON receipts_log
WHEN NEW.size < OLD.size OR NEW.origin <> OLD.origin
    OR (NEW.size = OLD.size AND NEW.root <> OLD.root)
BEGIN
    SELECT RAISE(ABORT, 'a log only grows: change refused');
END
"""


def create_triggers(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(POSTGRES, params=None)  # no placeholders in it
        return
    for table in ("receipts_receipt", "receipts_tile"):
        for verb in ("UPDATE", "DELETE"):
            schema_editor.execute(SQLITE_REFUSE.format(table=table, verb=verb), None)
    schema_editor.execute(SQLITE_REFUSE.format(table="receipts_log", verb="DELETE"))
    schema_editor.execute(SQLITE_ONLY_GROW)


class Migration(migrations.Migration):
    dependencies = [("receipts", "0001_initial")]

    operations = [
        migrations.RunPython(create_triggers, migrations.RunPython.noop),
    ]
