"""A provider's stream on its way to the client, and its record at the end.

A client that leaves does not end the call, which is paid for: the rest is read, for
LUCID_GATEWAY_DRAIN_SECONDS at most, and the call recorded all the same.
"""

import errno
import logging
import time
from collections.abc import Callable, Iterator

from django.conf import settings
from msgspec.structs import replace

from orchestrations.gateway.calls import Asked, Streaming
from orchestrations.gateway.content import SaltedHash
from orchestrations.gateway.dialects import StreamingDialect
from orchestrations.gateway.seeing import seen_of_stream
from orchestrations.gateway.upstream import Failure
from orchestrations.gateway.worker import Worker

logger = logging.getLogger(__name__)


class RelayedStream:
    """The body of a streamed answer, for a WSGI server to iterate over and close."""

    def __init__(
        self,
        asked: Asked,
        dialect: StreamingDialect,
        reached: Streaming,
        worker: Worker,
        on_end: Callable[[], None],
    ) -> None:
        self._asked = asked
        self._reached = reached
        self._first = reached.first
        self._worker = worker
        self._on_end = on_end
        self._hash = SaltedHash(asked.salts.output)
        self._text_hash: SaltedHash | None = None
        self._reader = dialect.reader(asked.strip_usage, self._take_text)
        self._ttft_ms = self._since_start()
        self._is_settled = self._is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._chunks():
                if passed := self._take(chunk):
                    yield passed
            if rest := self._finish():
                yield rest
        except Failure as failure:
            self._settle(failure)
            # The client is to see that the answer is not whole. The server takes this
            # for a connection that broke, and closes it without an end.
            raise ConnectionResetError(errno.ECONNRESET, failure.message) from None
        # Before the last bytes are followed by the end of the answer: whoever has
        # read that finds the receipt.
        self._settle(None)

    def _chunks(self) -> Iterator[bytes]:
        if first := self._first:
            self._first = b""
            yield first
        yield from self._reached.exchange

    def _take(self, chunk: bytes) -> bytes:
        passed = self._reader.feed(chunk)
        self._hash.update(passed)
        return passed

    def _finish(self) -> bytes:
        rest = self._reader.finish()
        self._hash.update(rest)
        return rest

    def _take_text(self, text: str) -> None:
        if self._text_hash is None:
            self._text_hash = SaltedHash(self._asked.salts.output)
        self._text_hash.update(text.encode(errors="surrogatepass"))

    def close(self) -> None:
        """End the call, reading on if the client has left. Called once or more."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if not self._is_settled:
                self._settle(self._drain(), delivered=False)
        finally:
            self._reached.exchange.close()
            self._on_end()

    def _drain(self) -> Failure | None:
        until = time.monotonic() + settings.LUCID_GATEWAY_DRAIN_SECONDS
        try:
            for chunk in self._chunks():
                self._take(chunk)
                if time.monotonic() > until:
                    break
        except Failure as failure:
            return failure
        except Exception:
            logger.exception("%s cannot be read on", self._reached.attempt.receipt_id)
            return None
        self._finish()
        return None

    def _settle(self, failure: Failure | None, *, delivered: bool = True) -> None:
        self._is_settled = True
        reached, size = self._reached, self._asked.sent_size
        seen = seen_of_stream(reached.exchange, self._reader, failure, size)
        seen = replace(
            self._asked.without_credential(seen),
            latency_ms=self._since_start(),
            ttft_ms=self._ttft_ms,
            delivered=delivered,
            output_hash=self._hash.hexdigest(),
            output_text_hash=self._text_hash.hexdigest() if self._text_hash else None,
        )
        self._worker.settle(reached.attempt, seen, self._asked.facts, reached.keyring)

    def _since_start(self) -> int:
        return round((time.monotonic() - self._reached.exchange.started) * 1000)
