"""A zip, written to be streamed: nothing of it is kept that was taken.

The same files give the same bytes, as the times in it are fixed. What breaks off lacks
the list of files at the end, and no program takes it for a whole zip.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

PIECE = 64 << 10  # bytes to send at once, at least

# Hashes and signatures do not get smaller with more effort.
LEVEL = 1

UNIX = 3
FILE, PROGRAM = 0o100644, 0o100755


class ZipStream:
    def __init__(self) -> None:
        self._sink = _Sink()
        self._zip = ZipFile(self._sink, "w", ZIP_DEFLATED, compresslevel=LEVEL)  # type: ignore[call-overload]  # all it is to do is write

    def add(self, name: str, data: bytes, mode: int = FILE) -> None:
        self._zip.writestr(_info(name, mode), data)

    @contextmanager
    def file(self, name: str) -> Iterator[IO[bytes]]:
        """Give a file to write to, of whatever length; one at a time."""
        with self._zip.open(_info(name, FILE), "w", force_zip64=True) as file:
            yield file

    def close(self) -> None:
        self._zip.close()

    def has_piece(self) -> bool:
        return self._sink.size >= PIECE

    def take(self) -> bytes:
        """Return what was written since the last time."""
        return self._sink.take()


def _info(name: str, mode: int) -> ZipInfo:
    info = ZipInfo(name)  # of 1 January 1980
    info.create_system = UNIX
    info.external_attr = mode << 16
    info.compress_type = ZIP_DEFLATED
    info._compresslevel = LEVEL  # type: ignore[attr-defined]  # of Python's own class
    return info


class _Sink:
    """What zipfile takes for a pipe: there is no way back in it."""

    def __init__(self) -> None:
        self.size = 0
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        self.size += len(data)
        return len(data)

    def flush(self) -> None: ...

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        self.size = 0
        return taken
