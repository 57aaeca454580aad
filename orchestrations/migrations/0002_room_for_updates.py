"""Room on the pages of rows that are rewritten with every batch (PostgreSQL).

An update that finds room on its page touches no index (HOT), and dead versions are
cleaned away before they pile up.
"""

from typing import Any

from django.db import migrations

REWRITTEN = ("orchestration", "usageday", "usagehour", "monthspend")
ROOM = """
ALTER TABLE orchestrations_{table} SET (fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000)
"""


def leave_room(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        for table in REWRITTEN:
            schema_editor.execute(ROOM.format(table=table), params=None)


class Migration(migrations.Migration):
    dependencies = [("orchestrations", "0001_initial")]

    operations = [migrations.RunPython(leave_room, migrations.RunPython.noop)]
