import json

import pytest
from django.core.management import execute_from_command_line
from django.db import connection

from tenants.models import Mode
from tests.caller import Caller
from tests.conftest import new_caller, new_tenant
from tests.receipts.auditor import LongLog, long_log

# Where a tile fills, and either side of it.
SIZES = [1, 2, 3, 255, 256, 257, 511, 512, 513, 600]


@pytest.fixture(scope="session")
def six_hundred(_database, django_db_blocker) -> LongLog:
    """A log of 600 entries. Shared: it is read and never written."""
    with django_db_blocker.unblock():
        return long_log(new_caller(new_tenant("initech")), SIZES)


@pytest.fixture
def alice_test(acme) -> Caller:
    """Alice with a key for test data."""
    return new_caller(acme, mode=Mode.TEST)


@pytest.fixture
def on_postgresql(database) -> bool:
    return connection.vendor == "postgresql"


@pytest.fixture
def shell(database, capsys):
    """Run `manage.py <arguments>`; return exit code, stdout and stderr."""

    def run(*arguments):
        capsys.readouterr()
        code: object = 0
        try:
            execute_from_command_line(["manage.py", *map(str, arguments)])
        except SystemExit as end:
            code = end.code
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return code, printed.out, printed.err

    return run


@pytest.fixture
def lines(shell):
    def run(*arguments):
        code, out, err = shell(*arguments)
        assert (code, err) == (0, "")
        return out.splitlines()

    return run


@pytest.fixture
def as_json(lines):
    def run(*arguments):
        (line,) = lines(*arguments, "--json")
        return json.loads(line)

    return run
