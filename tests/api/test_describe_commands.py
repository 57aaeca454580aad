"""What `--help` of each command of ours says, and docs/commands.md with it."""

import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import (
    execute_from_command_line,
    get_commands,
    load_command_class,
)
from django.core.management.base import DjangoHelpFormatter

ROOT = Path(__file__).resolve().parents[2]
PLACES = {config.name: Path(config.path).parent for config in apps.get_app_configs()}
OURS = {
    name: app
    for name, app in get_commands().items()
    if PLACES.get(app) in {ROOT, ROOT / "lucid"}
}
# They start servers and print what a person pastes.
FOR_TERMINALS = {"quickstart", "demo"}


def parser_of(name):
    command = load_command_class(OURS[name], name)
    return command, command.create_parser("manage.py", name)


@pytest.mark.parametrize("name", sorted(OURS))
def test_each_command_and_option_says_what_it_is(name):
    command, parser = parser_of(name)
    assert command.help.endswith(".")
    for action in parser._actions:
        if not DjangoHelpFormatter.show_last & set(action.option_strings):
            assert action.help, action.dest


@pytest.mark.parametrize("name", sorted(set(OURS) - FOR_TERMINALS))
def test_each_command_reports_as_json(name):
    assert "--json" in parser_of(name)[1]._option_string_actions


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_wrong_option_is_wrong_usage(name, capsys):
    with pytest.raises(SystemExit) as end:
        execute_from_command_line(["manage.py", name, "--no-such-option"])
    printed = capsys.readouterr()
    assert end.value.code == 2
    assert f"usage: manage.py {name}" in printed.err
    assert printed.out == ""


def test_a_shell_is_told_of_wrong_usage():
    command = [sys.executable, "manage.py", "tick", "--no-such-option"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "usage: manage.py tick" in done.stderr
    assert done.stdout == ""


def test_the_list_of_commands_is_not_behind():
    command = [sys.executable, "docs/write_commands.py"]
    written = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert written.returncode == 0, written.stderr
    assert written.stdout == (ROOT / "docs" / "commands.md").read_text()
    for name in OURS:
        assert f"## {name}\n" in written.stdout
