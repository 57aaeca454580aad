import sys
from typing import Any

from tenants.commands import JsonCommand, describe
from tenants.peppers import PepperUse, pepper_uses


class Command(JsonCommand):
    help = (
        "Tell how far API keys have moved to the first of LUCID_API_KEY_PEPPERS. A key"
        " moves when it is next used; nothing is changed here. Exits 0 when every"
        " active key is under the first, so that the others may be dropped, else 1."
        " The steps are in docs/authentication.md."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        uses = pepper_uses()
        done = not any(use.would_die for use in uses)
        data = {"done": done, "peppers": [_as_json(use) for use in uses]}
        lines = [line for use in uses for line in _lines(use)]
        lines.append(
            "Every active key is under the first pepper: the others may be dropped."
            if done
            else "Dropping another pepper than the first would end the keys below it."
        )
        self.report(data, "\n".join(lines), as_json=options["json"])
        if not done:
            sys.exit(1)


def _as_json(use: PepperUse) -> dict[str, Any]:
    return {
        "id": use.pepper_id,
        "known": use.is_known,
        "first": use.is_first,
        "active_keys": use.active_keys,
        "would_die": [describe(key) for key in use.would_die],
    }


def _lines(use: PepperUse) -> list[str]:
    what = "first" if use.is_first else "old"
    lines = [
        f"{use.pepper_id} ({what if use.is_known else 'not configured: refused now'}):"
        f" {use.active_keys} active keys"
    ]
    for key in use.would_die:
        used = f"{key.last_used_at:%Y-%m-%d}" if key.last_used_at else "never"
        lines.append(f"  {key.prefix}  {key.tenant.slug}  {key.name}, last used {used}")
    return lines
