"""A newcomer: a fresh checkout, `make` in a terminal, and pasting what it prints."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from tests.cluster import free_port
from tests.slow.server import ROOT, clean_environment

HAS_TOOLS = all(map(shutil.which, ("make", "curl", "git")))
PATIENCE = 30


def check_out(target: Path) -> Path:
    """Make a fresh checkout, as far as a start can tell."""
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    for name in listed.rstrip("\0").split("\0"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)
    return target


class Run:
    """`make run` with a terminal's process group, and what it prints."""

    target = "run"
    installed: tuple[str, ...] = (".venv/installed",)  # already, for that target

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
        given = [word for name in self.installed for word in ("-o", name)]
        command = ["make", *given, f"PYTHON={sys.executable}", self.target]
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

    def wait_for(self, text: str, seconds: float = PATIENCE) -> float:
        """Wait until it has printed the text; return the seconds since its start."""
        with self._news:
            printed = self._news.wait_for(lambda: text in self.output, seconds)
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
        try:
            self._make.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it goes on: {self.output}") from None
        self._reader.join(PATIENCE)
        assert not self._reader.is_alive(), f"a process is left: {self.output}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._reader.is_alive():
            self.terminate()
            try:
                self.wait_for_end()
            except AssertionError:
                self._kill()
                raise

    def _kill(self) -> None:
        for pid in self._known:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(found for child in children for found in _descendants(int(child)))]


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
