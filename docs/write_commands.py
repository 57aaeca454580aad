"""Prints docs/commands.md: every command of ours, by its own --help.

`.venv/bin/python docs/write_commands.py > docs/commands.md`; `.ci/check` compares.
"""

import argparse
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = "88"
HEAD = """\
# Commands

Written by `docs/write_commands.py` from what each command says with `--help`. Run one
as `.venv/bin/python manage.py NAME`, with the environment of the server.

- Exit codes: 0 done; 1 refused, failed, or the check found something; 2 wrong usage;
  130 interrupted.
- `--json` prints one JSON object to standard output and nothing else; complaints go to
  standard error either way.
- Secrets are read from standard input, never from the command line, where every
  process of the machine could see them. New ones are printed once.
- What takes long shows a progress bar at a terminal.
- Besides: Django's own, such as `migrate`, `check --deploy`, `changepassword EMAIL` and
  `clearsessions`; `manage.py help` lists them all. Every command also takes Django's
  options (`--verbosity`, `--traceback`, `--no-color` and so on).

"""


def main() -> None:
    os.environ["COLUMNS"] = COLUMNS  # as wide in every terminal
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lucid.settings")
    sys.path.insert(0, str(ROOT))
    import django

    django.setup()
    helps = {name: _help(app, name) for name, app in sorted(_ours().items())}
    names = "\n".join(f"- [{name}](#{name})" for name in helps)
    sections = [f"## {name}\n\n```\n{text}```\n" for name, text in helps.items()]
    sys.stdout.write("\n".join([HEAD + names + "\n", *sections]))


def _ours() -> dict[str, str]:
    """Return the app of each command that lies in this tree."""
    from django.apps import apps
    from django.core.management import get_commands

    places = {app.name: Path(app.path) for app in apps.get_app_configs()}
    return {
        name: app
        for name, app in get_commands().items()
        if app in places and places[app].parent in (ROOT, ROOT / "lucid")
    }


def _help(app: str, name: str) -> str:
    from django.core.management import load_command_class
    from django.core.management.base import DjangoHelpFormatter

    parser = load_command_class(app, name).create_parser("manage.py", name)
    for action in parser._actions:
        common = DjangoHelpFormatter.show_last | {"-h", "--help"}
        if common & set(action.option_strings):
            action.help = argparse.SUPPRESS
    return re.sub(r"[ \t]+$", "", parser.format_help(), flags=re.MULTILINE)


if __name__ == "__main__":
    main()
