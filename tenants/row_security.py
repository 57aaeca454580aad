"""Row-level security on PostgreSQL: a policy for each table that tenants' rows are in.

`tenants.postgresql` and the ledger's pipelines say with each transaction, in the
setting `lucid.tenant`, whose rows it may see and write: ids with commas between, `*`
for all, and nothing where it was never set. The policies bind every role but
superusers and the tables' owner; `manage.py create_database_role` makes such a role.
"""

from typing import Any

from django.db import migrations

SETTING = "current_setting('lucid.tenant', true)"

# In the order of how often each is so: one tenant, all of them, several. Subselects,
# which are evaluated once for a statement and not for each row, were slower by 0.02 to
# 0.1 ms a statement and paid off beyond some 300 rows.
USUAL = """USING (
    CASE {setting}
        WHEN {column}::text THEN true
        WHEN '*' THEN true
        ELSE {column} = ANY (string_to_array(NULLIF({setting}, '*'), ',')::uuid[])
    END
)
"""
POLICY = f"""
ALTER TABLE {{table}} ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_rows ON {{table}} {USUAL}
"""
# The same rule for tables of which thousands of rows are added up at a time.
POLICY_OF_SUMS = """
ALTER POLICY tenant_rows ON {table} USING (
    {column} = (SELECT CASE WHEN length({setting}) = 36 THEN {setting}::uuid END)
    OR (SELECT {setting} = '*')
    OR {column} = ANY (
        (SELECT string_to_array(NULLIF({setting}, '*'), ',')::uuid[])::uuid[]
    )
)
"""
POLICY_AS_BEFORE = f"ALTER POLICY tenant_rows ON {{table}} {USUAL}"
NO_POLICY = """
DROP POLICY tenant_rows ON {table};
ALTER TABLE {table} DISABLE ROW LEVEL SECURITY
"""


def secure_rows(*tables: str, column: str = "tenant_id") -> migrations.RunPython:
    """Return the migration that shows each row of the tables to its tenant alone."""
    return _each(POLICY, NO_POLICY, tables, column)


def secure_sums(*tables: str) -> migrations.RunPython:
    """Return the migration that gives secured tables a rule quicker for many rows."""
    return _each(POLICY_OF_SUMS, POLICY_AS_BEFORE, tables, "tenant_id")


def _each(
    forwards: str, backwards: str, tables: tuple[str, ...], column: str
) -> migrations.RunPython:
    def run(template: str, schema_editor: Any) -> None:
        if schema_editor.connection.vendor != "postgresql":
            return
        for table in tables:
            statements = template.format(table=table, column=column, setting=SETTING)
            schema_editor.execute(statements, params=None)

    return migrations.RunPython(
        lambda apps, schema_editor: run(forwards, schema_editor),
        lambda apps, schema_editor: run(backwards, schema_editor),
    )
