"""An answer that is taken in before it is handed on: small in memory, large on disk."""

import mmap
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from django.conf import settings

from lucid.api.errors import Code
from orchestrations.gateway.content import SaltedHash
from orchestrations.gateway.upstream import Exchange, Failure

IN_MEMORY = 1 << 20
CHUNK = 64 << 10


class WholeAnswer:
    def __init__(self, data: bytes = b"") -> None:
        self.size = 0
        self._chunks: list[bytes] = []
        self._file: IO[bytes] | None = None
        if data:
            self.add(data)

    @classmethod
    def of(cls, exchange: Exchange) -> "WholeAnswer":
        """Read an answer to its end. Raises Failure, also of one that is too large."""
        whole = cls()
        for chunk in exchange:
            whole.add(chunk)
            if whole.size > settings.LUCID_GATEWAY_MAX_ANSWER:
                limit = settings.LUCID_GATEWAY_MAX_ANSWER >> 20
                message = f"The provider's answer is larger than {limit} MiB."
                raise Failure(Code.PROVIDER_ERROR, message, is_sent=True)
        return whole

    @property
    def is_in_memory(self) -> bool:
        return self._file is None

    def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self._file:
            self._file.write(chunk)
            return
        self._chunks.append(chunk)
        if self.size > IN_MEMORY:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  for as long as we live
            weakref.finalize(self, self._file.close)
            self._file.writelines(self._chunks)
            self._chunks.clear()

    @contextmanager
    def data(self) -> Iterator[bytes | mmap.mmap]:
        if self._file is None:
            yield b"".join(self._chunks)
            return
        self._file.flush()
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            yield mapped

    def hash(self, salt: bytes) -> str:
        salted = SaltedHash(salt)
        with self.data() as data:
            salted.update(data)
        return salted.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        if self._file is None:
            yield from self._chunks
            return
        self._file.seek(0)
        while chunk := self._file.read(CHUNK):
            yield chunk
