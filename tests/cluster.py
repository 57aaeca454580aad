"""A throw-away PostgreSQL cluster: the server's own programs, a temporary folder."""

import glob
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

# Debian keeps the server's programs out of PATH.
DEBIAN = "/usr/lib/postgresql/*/bin"
ACCOUNT = "postgres"  # initdb refuses to run as root
# The C locale alone would make it SQL_ASCII, where 200 characters are 200 bytes.
INITDB = ["-U", "lucid", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]


def programs() -> Path | None:
    """Return the folder of the newest initdb on this machine, if there is one."""
    found = sorted(glob.glob(DEBIAN), key=lambda path: int(path.split("/")[4]))
    if found:
        return Path(found[-1])
    initdb = shutil.which("initdb")
    return Path(initdb).parent if initdb else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Cluster:
    """Started when made; `url` names a database of its own. Call `stop`.

    In a `folder` that is given it stays, and is found again by the next.
    """

    def __init__(
        self, *, fsync: bool = False, folder: Path | None = None, wal: str = "4GB"
    ) -> None:
        found = programs()
        if found is None:
            raise RuntimeError("PostgreSQL's server programs are not installed")
        self._programs = found
        self._account = ACCOUNT if os.geteuid() == 0 else None
        self._stays = folder is not None
        self._folder = folder or Path(tempfile.mkdtemp(prefix="lucid-postgres-"))
        self._folder.mkdir(exist_ok=True)
        if self._account:
            shutil.chown(self._folder, self._account)
        self.port = free_port()
        is_new = not Path(self._data).exists()
        if is_new:
            self._run("initdb", *INITDB, "-D", self._data)
        options = [
            f"-p {self.port}",
            "-c listen_addresses=127.0.0.1",
            f"-c unix_socket_directories={self._folder}",
            f"-c fsync={'on' if fsync else 'off'}",
            "-c max_connections=200",
            "-c shared_buffers=256MB",
            f"-c max_wal_size={wal}",
        ]
        self._options = " ".join(options)
        self.start()
        if is_new:
            self._run("createdb", *self._where, "lucid")

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    @property
    def _where(self) -> list[str]:
        return ["-h", "127.0.0.1", "-p", str(self.port), "-U", "lucid"]

    @property
    def url(self) -> str:
        return f"postgres://lucid@127.0.0.1:{self.port}/lucid"

    @property
    def version(self) -> str:
        return self._run("postgres", "--version").split()[2]

    def url_as(self, role: str) -> str:
        """Return the URL for another role; whoever says so is believed."""
        return self.url.replace("lucid@", f"{role}@")

    def start(self) -> None:
        log = str(self._folder / "server.log")
        self._run(
            "pg_ctl", "-D", self._data, "-l", log, "-w", "-o", self._options, "start"
        )

    def halt(self, mode: str = "immediate") -> None:
        """Stop the server; `immediate` is what a crash looks like to its clients."""
        self._run("pg_ctl", "-D", self._data, "-m", mode, "-w", "stop")

    def stop(self) -> None:
        if self._stays:
            self.halt("fast")
            return
        self.halt()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> str:
        command = [str(self._programs / program), *arguments]
        done = subprocess.run(
            command,
            user=self._account,
            cwd=self._folder,
            check=False,
            # pg_ctl's server would keep a pipe open for ever.
            stdout=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            text=True,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stdout}")
        return done.stdout or ""
