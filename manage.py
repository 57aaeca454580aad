#!/usr/bin/env python
"""Lucid's command line: `manage.py help` lists the commands."""

import os
import sys


def main() -> None:
    # Imported here, as this takes long enough to be interrupted.
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from lucid.first_use import prepare

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lucid.settings")
    if sys.argv[1:2] in (["quickstart"], ["demo"]):
        # Settings refuse to load without secrets; the commands for a machine that
        # has none yet make them before Django starts.
        prepare()
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Lucid does not start: {error}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell says of what Ctrl-C ended
