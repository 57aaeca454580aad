from typing import Any

from django.db import migrations

from tenants.row_security import secure_rows

# Only its owner may analyze a table, and Lucid serves under a role that owns none.
ANALYZE = """
CREATE FUNCTION receipts_analyze_new() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE found record;
BEGIN
    FOR found IN
        SELECT schemaname, relname FROM pg_stat_user_tables
        WHERE relname IN ('receipts_receipt', 'receipts_tile', 'receipts_log')
            AND n_live_tup > 0 AND last_analyze IS NULL AND last_autoanalyze IS NULL
    LOOP
        EXECUTE format('ANALYZE %I.%I', found.schemaname, found.relname);
    END LOOP;
END $$
"""


def create_function(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(ANALYZE, params=None)


class Migration(migrations.Migration):
    dependencies = [
        ("api", "0001_initial"),
        ("receipts", "0002_append_only"),
        ("tenants", "0004_row_security"),
    ]

    operations = [
        secure_rows(
            "receipts_log",
            "receipts_receipt",
            "receipts_signingkey",
            "receipts_tile",
            "api_idempotentanswer",
        ),
        migrations.RunPython(create_function, migrations.RunPython.noop),
    ]
