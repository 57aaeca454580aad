"""A full run leaves no secret in logs, pages, files, process lists or the database."""

import pytest

from tests.slow.database_dump import Dump
from tests.slow.full_run import FullRun, spellings

pytestmark = pytest.mark.slow

# The embedded installation keeps its secrets there, readable by its owner alone.
KEPT_SECRETS = "lucid.env"


def assert_clean(full_run: FullRun, where: str, data: bytes) -> None:
    for name, secret in full_run.secrets.items():
        for text in spellings(secret):
            at = data.find(text)
            assert at < 0, f"{where} has {name}: {data[max(0, at - 200) : at + 100]!r}"


def test_the_run_was_a_full_one(full_run):
    log = full_run.written["the server's log"]
    assert log.count("Traceback") >= 3  # the lost tables
    assert ": /v1/receipts/[token]" in log
    assert "manage.py tick" in full_run.written["process lists"]
    assert len(full_run.browser.pages) > 30


def test_nothing_that_was_printed_or_shown_has_a_secret(full_run):
    for where, text in full_run.written.items():
        assert_clean(full_run, where, text.encode())


def test_no_file_has_a_secret(full_run, known_installation):
    files = [it for it in known_installation.folder.rglob("*") if it.is_file()]
    assert files
    for file in files:
        if file.name != KEPT_SECRETS:
            assert_clean(full_run, str(file), file.read_bytes())


def test_the_database_has_no_secret(full_run, known_installation):
    dump = Dump(known_installation.database_url)
    assert_clean(full_run, "the database's dump", dump.raw)
