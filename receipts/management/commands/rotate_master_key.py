import sys
from typing import Any

from django.conf import settings
from tqdm import tqdm

from receipts.resealing import count_outdated, reseal
from tenants import events
from tenants.commands import JsonCommand


class Command(JsonCommand):
    help = (
        "Seal everything that is sealed anew, under the first key of"
        " LUCID_MASTER_KEYS. Safe on a running system whose workers know that key"
        " already; may be interrupted and run again. Exits 1 when there are rows whose"
        " master key is not configured."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        quiet = options["json"] or not sys.stderr.isatty()
        with tqdm(total=count_outdated(), unit=" rows", disable=quiet) as bar:
            done = reseal(events.command_line(), bar.update)
        retirable = done.retirable(list(settings.LUCID_MASTER_KEYS))
        data = {
            "master_key": done.master_key_id,
            "resealed": done.rows,
            "rows_by_master_key": done.used,
            "no_longer_used": retirable,
            "unsealable": done.unsealable,
        }
        lines = [f"{count} rows of {table}" for table, count in done.rows.items()]
        lines = [f"Sealed under {done.master_key_id}: {', '.join(lines)}."]
        if retirable:
            lines.append(f"No row needs {', '.join(retirable)} any more.")
        for name, count in done.unsealable.items():
            lines.append(f"{count} rows need {name}, which cannot unseal them.")
        self.report(data, "\n".join(lines), as_json=options["json"])
        if done.unsealable:
            sys.exit(1)
