#!/usr/bin/env python
"""Lucid's command line: `manage.py help` lists the commands."""

import os
import sys

from django.core.management import execute_from_command_line

from lucid.first_use import prepare

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lucid.settings")
    if sys.argv[1:2] == ["quickstart"]:
        # Settings refuse to load without secrets; the one command for a machine
        # that has none yet makes them before Django starts.
        prepare()
    execute_from_command_line(sys.argv)
