"""What became of calls, on this machine's disk while the database is away.

Each worker has a folder, named by its id and locked for as long as it lives; what is
in the folder of a worker that died is for whoever gets the lock next. A file is one
call: written whole under another name, then renamed, and deleted once its receipt is
durable. No content is in it, and no credential.
"""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid4

import msgspec

from orchestrations.gateway.attempts import Attempt, Seen

LOCK = "lock"
SUFFIX = ".json"


class Spooled(NamedTuple):
    attempt: Attempt
    seen: Seen


class Spool:
    """A worker's folder. Only the process that holds its lock works in it."""

    def __init__(self, folder: Path, lock: int) -> None:
        self._folder = folder
        self._lock = lock  # a file descriptor; closed, or by our end, it is given up

    @property
    def worker_id(self) -> UUID:
        return UUID(self._folder.name)

    @classmethod
    def create(cls, parent: Path) -> "Spool":
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        worker_id = uuid4()
        folder = parent / str(worker_id)
        # Locked before it bears its name: nobody can take it for a dead worker's.
        draft = parent / f"{worker_id.hex}.new"
        draft.mkdir(mode=0o700)
        lock = _try_lock(draft)
        assert lock is not None  # noqa: S101  nobody else knows the name
        draft.rename(folder)
        return cls(folder, lock)

    @classmethod
    def of_dead_workers(cls, parent: Path) -> Iterator["Spool"]:
        """Yield each folder whose worker has ended, locked until it is closed."""
        for folder in sorted(parent.glob("*-*-*-*-*")):
            lock = _try_lock(folder)
            if lock is not None:
                yield cls(folder, lock)

    def put(self, spooled: Spooled) -> None:
        """Keep what became of a call; it is on the disk when this returns."""
        target = self._folder / f"{spooled.attempt.receipt_id}{SUFFIX}"
        draft = target.with_suffix(".draft")
        with draft.open("wb") as file:
            file.write(msgspec.json.encode(spooled))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(target)
        _sync(self._folder)

    def files(self) -> list[Path]:
        """Return what is waiting, the oldest call first."""
        return sorted(self._folder.glob(f"*{SUFFIX}"))

    @staticmethod
    def read(file: Path) -> Spooled:
        return msgspec.json.decode(file.read_bytes(), type=Spooled)

    def close(self) -> None:
        os.close(self._lock)

    def remove(self) -> None:
        """Delete the folder, in which nothing is waiting any more."""
        for draft in self._folder.glob("*.draft"):  # its worker died writing it
            draft.unlink()
        (self._folder / LOCK).unlink()
        self._folder.rmdir()


def _try_lock(folder: Path) -> int | None:
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None  # removed meanwhile
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    if not (folder / LOCK).exists():
        os.close(lock)  # it was removed while we waited to be second
        return None
    return lock


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
