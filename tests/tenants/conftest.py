"""Commands as a shell runs them, and people who log in."""

import json

import pytest
from django.core.management import execute_from_command_line

from tests.tenants.people import Person, new_person


@pytest.fixture
def shell(database, capsys):
    """Run `manage.py <arguments>`; return exit code, stdout and stderr."""

    def run(*arguments):
        capsys.readouterr()
        try:
            execute_from_command_line(["manage.py", *map(str, arguments)])
        except SystemExit as end:
            code = end.code
        else:
            code = 0
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def lines(shell):
    """What a successful command prints."""

    def run(*arguments):
        code, out, err = shell(*arguments)
        assert (code, err) == (0, ""), err
        return out.splitlines()

    return run


@pytest.fixture
def as_json(lines):
    """What a successful command prints with --json: one object, on one line."""

    def run(*arguments):
        (line,) = lines(*arguments, "--json")
        document = json.loads(line)
        assert isinstance(document, dict)
        return document

    return run


@pytest.fixture
def failure(shell):
    """The message of a command that fails, without a traceback."""

    def run(*arguments, code=1):
        failed, out, err = shell(*arguments)
        assert failed == code, err
        assert out == ""
        assert "Traceback" not in err
        return err

    return run


@pytest.fixture
def auditor(acme) -> Person:
    return new_person(acme, "auditor")


@pytest.fixture
def analyst(acme) -> Person:
    return new_person(acme, "analyst")


@pytest.fixture
def admin(acme) -> Person:
    return new_person(acme, "admin")


@pytest.fixture
def outsider(charlie) -> Person:
    """May do everything, in another tenant."""
    return new_person(charlie.tenant, "admin")
