"""`make run` does what README.md says: in a copy of the tree, as in a terminal."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest

from tests.cluster import free_port
from tests.slow.server import ROOT, clean_environment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(shutil.which, ("make", "curl", "git"))),
        reason="needs make, curl and git",
    ),
]

START_SECONDS = 5  # to the end of what it prints; a promise of the README
PATIENCE = 30
HOST = "127.0.0.2"  # as much loopback as 127.0.0.1, and not what is the default

# The last words of what a first and a later start print.
FIRST_END = '"ttft_ms": 85}\'\n'
LATER_END = "changepassword operator@localhost\n"


class Run:
    """`make run` with a terminal's process group, and what it prints."""

    def __init__(self, tree: Path, **settings: str) -> None:
        self.port = free_port()
        self.output = ""
        self._known: list[int] = []
        self._news = threading.Condition()
        self._start = time.monotonic()
        environment = clean_environment() | {
            "PORT": str(self.port),
            "PYTHONUNBUFFERED": "1",  # a terminal shows each line when it is printed
        }
        # The Python of this test run, where everything is installed.
        command = ["make", "-o", ".venv/installed", f"PYTHON={sys.executable}", "run"]
        self._make = subprocess.Popen(
            command,
            cwd=tree,
            env=environment | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        # Ends when the last process that could print has ended.
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._make.stdout
        with self._make.stdout as lines:
            for line in lines:
                with self._news:
                    self.output += line
                    self._news.notify_all()

    def wait_for(self, text: str) -> float:
        """Wait until it has printed the text; return the seconds since its start."""
        with self._news:
            printed = self._news.wait_for(lambda: text in self.output, PATIENCE)
        assert printed, self.output
        self._known = self.processes()
        return time.monotonic() - self._start

    def wait_for_file(self, path: Path) -> None:
        while not path.exists():
            assert time.monotonic() < self._start + PATIENCE, self.output
            time.sleep(0.01)

    def press_ctrl_c(self) -> None:
        os.killpg(self._make.pid, signal.SIGINT)

    def hang_up(self) -> None:
        os.killpg(self._make.pid, signal.SIGHUP)

    def terminate(self) -> None:
        self._make.terminate()

    def processes(self) -> list[int]:
        """The process ids of make and of all that it has started."""
        return _descendants(self._make.pid)

    def wait_for_end(self) -> None:
        self._make.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert not self._reader.is_alive(), f"a process is left: {self.output}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._reader.is_alive():
            self.terminate()
            try:
                self.wait_for_end()
            except (AssertionError, subprocess.TimeoutExpired):
                self._kill()
                raise

    def _kill(self) -> None:
        for pid in self._known:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(found for child in children for found in _descendants(int(child)))]


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A fresh checkout, as far as a start can tell."""
    target = tmp_path_factory.mktemp("checkout")
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    for name in listed.rstrip("\0").split("\0"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)
    return target


class FirstStart:
    """What a newcomer has after the first `make run`, and a receipt that they made."""

    def __init__(self, tree: Path) -> None:
        with Run(tree, HOST=HOST) as run:
            self.seconds = run.wait_for(FIRST_END)
            self.url = f"http://{HOST}:{run.port}"
            self.printed = run.output
            [self.key] = set(re.findall(r"lk_test_\w+", run.output))
            [(self.email, self.password)] = re.findall(
                r"Login +\S+/admin/ +(\S+) +(\S+)", run.output
            )
            self.answer = paste(run.output[run.output.index("curl ") :])
            self.admin = log_in(self.url, self.email, self.password, tree)
            run.press_ctrl_c()
            run.wait_for_end()


@pytest.fixture(scope="module")
def first_start(tree) -> FirstStart:
    return FirstStart(tree)


def paste(text: str) -> dict[str, Any]:
    """Run what was printed in a shell, as a newcomer does; return the JSON."""
    shell = ["sh", "-c", text]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def curl(*arguments: str) -> str:
    command = ["curl", "-sS", "--max-time", str(PATIENCE), *arguments]
    return subprocess.check_output(command, text=True)


def log_in(url: str, email: str, password: str, folder: Path) -> str:
    """Fill in the form of the admin pages; return the page behind it."""
    jar = str(folder / "cookies")
    form = curl("-c", jar, f"{url}/admin/login/?next=/admin/")
    [token] = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
    fields = {"csrfmiddlewaretoken": token, "username": email, "password": password}
    data = [word for name in fields for word in ("--data-urlencode", name)]
    data[1::2] = [f"{name}={value}" for name, value in fields.items()]
    return curl("-L", "-b", jar, "-c", jar, *data, f"{url}/admin/login/?next=/admin/")


def test_a_newcomer_has_all_it_takes_within_five_seconds(first_start):
    assert first_start.seconds < START_SECONDS


def test_it_serves_where_host_and_port_say(first_start):
    assert f"Lucid is at {first_start.url} " in first_start.printed


def test_the_printed_curl_makes_a_receipt(first_start):
    assert first_start.answer["success"] is True
    assert first_start.answer["receipt"]["_mmr_leaf_index"] == 0


def test_the_printed_login_opens_the_admin_pages(first_start):
    assert "/admin/logout/" in first_start.admin


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
    assert [file.name for file in folder.iterdir()] == ["lucid.env"]
