"""`make run` does what README.md says: in a copy of the tree, as in a terminal."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.slow.newcomer import HAS_TOOLS, Run, check_out, curl, paste

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_TOOLS, reason="needs make, curl and git"),
]

START_SECONDS = 5  # to the end of what it prints; a promise of the README
HOST = "127.0.0.2"  # as much loopback as 127.0.0.1, and not what is the default

# The last words of what a first and a later start print.
FIRST_END = '"ttft_ms": 85}\'\n'
LATER_END = "changepassword operator@localhost\n"


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    return check_out(tmp_path_factory.mktemp("checkout"))


class FirstStart:
    """What a newcomer has after the first `make run`, and a receipt that they made."""

    def __init__(self, tree: Path) -> None:
        with Run(tree, HOST=HOST) as run:
            self.seconds = run.wait_for(FIRST_END)
            self.url = f"http://{HOST}:{run.port}"
            self.printed = run.output
            [self.key] = set(re.findall(r"lk_test_\w+", run.output))
            [(self.email, self.password)] = re.findall(
                r"Login +\S+/login +(\S+) +(\S+)", run.output
            )
            self.answer = paste(run.output[run.output.index("curl ") :])
            who = (self.email, self.password, tree)
            self.admin = log_in(f"{self.url}/admin/login/?next=/admin/", *who)
            self.overview = log_in(f"{self.url}/login", *who)
            run.press_ctrl_c()
            run.wait_for_end()


@pytest.fixture(scope="module")
def first_start(tree) -> FirstStart:
    return FirstStart(tree)


def log_in(form: str, email: str, password: str, folder: Path) -> str:
    """Fill in the form at an address; return the page behind it."""
    jar = str(folder / f"cookies{len(form)}")
    [token] = re.findall(
        r'name="csrfmiddlewaretoken" value="(\w+)"', curl("-c", jar, form)
    )
    fields = {"csrfmiddlewaretoken": token, "username": email, "password": password}
    data = [word for name in fields for word in ("--data-urlencode", name)]
    data[1::2] = [f"{name}={value}" for name, value in fields.items()]
    return curl("-L", "-b", jar, "-c", jar, *data, form)


def test_a_newcomer_has_all_it_takes_within_five_seconds(first_start):
    assert first_start.seconds < START_SECONDS


def test_it_serves_where_host_and_port_say(first_start):
    assert f"Lucid is at {first_start.url} " in first_start.printed


def test_the_printed_curl_makes_a_receipt(first_start):
    assert first_start.answer["success"] is True
    assert first_start.answer["receipt"]["_mmr_leaf_index"] == 0


def test_the_printed_login_opens_the_admin_pages(first_start):
    assert "/admin/logout/" in first_start.admin


def test_the_printed_login_opens_the_pages_of_the_demo_tenant(first_start):
    assert "<strong>admin</strong> of this tenant" in first_start.overview


@pytest.fixture
def run(tree, first_start) -> Iterator[Run]:
    """A later start of the same installation."""
    with Run(tree) as started:
        started.wait_for(LATER_END)
        yield started


def test_a_later_start_keeps_the_data_and_shows_no_secret(run, first_start):
    receipt = first_start.answer["receipt"]
    url = f"http://127.0.0.1:{run.port}/v1/receipts/{receipt['run_id']}"
    answer = json.loads(curl("-H", f"X-API-Key: {first_start.key}", url))
    assert answer["receipt"] == receipt
    assert "lk_test_" not in run.output
    assert first_start.password not in run.output


def press_ctrl_c_twice(run: Run) -> None:
    run.press_ctrl_c()
    run.wait_for("Stopping.")
    run.press_ctrl_c()


@pytest.mark.parametrize(
    "end", [Run.press_ctrl_c, Run.terminate, Run.hang_up, press_ctrl_c_twice]
)
def test_it_stops_all_of_it_without_a_traceback(run, end: Callable[[Run], None]):
    started = run.processes()
    assert len(started) >= 5  # make, quickstart, two of gunicorn's or more, tick
    end(run)
    run.wait_for_end()
    assert "Traceback" not in run.output
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]


def test_ctrl_c_during_the_start_leaves_no_traceback(tree, tmp_path):
    with Run(tree, LUCID_DATA_DIR=str(tmp_path / "var")) as run:
        run.wait_for_file(tmp_path / "var" / "lucid.sqlite3")  # it migrates
        run.press_ctrl_c()
        run.wait_for_end()
    assert "Traceback" not in run.output


@pytest.fixture
def database_url(cluster, admin) -> Iterator[str]:
    admin.execute("CREATE DATABASE newcomer")
    yield cluster.url.removesuffix("lucid") + "newcomer"
    admin.execute("DROP DATABASE newcomer")


def test_it_keeps_its_data_where_database_url_says(tree, tmp_path, database_url):
    folder = tmp_path / "var"
    with Run(tree, DATABASE_URL=database_url, LUCID_DATA_DIR=str(folder)) as run:
        run.wait_for(FIRST_END)
        paste(run.output[run.output.index("curl ") :])
    with psycopg.connect(database_url) as connection:
        counted = connection.execute("SELECT count(*) FROM receipts_receipt")
        assert counted.fetchone() == (1,)
    assert {file.name for file in folder.iterdir()} == {"lucid.env", "spool"}
    assert not list((folder / "spool").iterdir())  # workers tidy up when they end
