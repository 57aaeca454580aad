"""One request to a provider, and its answer as it comes.

Bytes are relayed as they are: no redirect is followed, nothing is decompressed, and
no proxy of the environment is asked, which would connect where we cannot look.
"""

import ssl
import time
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Self
from urllib.parse import urlsplit

import httpcore2

from lucid.api.errors import Code
from orchestrations.gateway.destinations import ForbiddenAddress, Guarded

KEEPALIVE_SECONDS = 20  # those who offer TLS wait for a minute and more

Headers = Sequence[tuple[bytes, bytes]]


class Failure(Exception):
    """A provider that gave no whole answer. `is_sent`: it may have been at work."""

    def __init__(self, code: Code, message: str, *, is_sent: bool) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.is_sent = is_sent


class NotCalled(Exception):
    """The provider was not called at all, and why."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: to connect, to wait for the next bytes, and for the whole answer.

    The last may be passed by the one before: it is looked at when bytes come.
    """

    connect: float
    silence: float
    total: float


@dataclass(frozen=True, slots=True)
class Request:
    url: str
    headers: Headers
    body: bytes

    def all_headers(self) -> list[tuple[bytes, bytes]]:
        """Add what the transport is about."""
        return [
            (b"Host", urlsplit(self.url).netloc.encode()),
            (b"Content-Length", str(len(self.body)).encode()),
            (b"Accept-Encoding", b"identity"),
            *self.headers,
        ]


@cache
def tls() -> ssl.SSLContext:
    """The system's authorities, or those of SSL_CERT_FILE; made once, for 20 ms."""
    return ssl.create_default_context()


@dataclass(slots=True)
class Exchange:
    """A provider's answer, its body not read yet. Closed by whoever has it."""

    status: int
    headers: Headers
    started: float  # time.monotonic()
    _response: httpcore2.Response
    _patience: Patience
    _upstream: "Upstream"  # whose connections are closed once nobody holds it
    _chunks: Iterator[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self._chunks = iter(self._response.iter_stream())

    @property
    def is_refusal(self) -> bool:
        """Tell an error from an answer; a redirect, which is not followed, is one."""
        return self.status >= 300

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Return the next bytes of the body. Raises Failure."""
        if time.monotonic() > self.started + self._patience.total:
            raise _too_long(self._patience)
        try:
            return next(self._chunks)
        except httpcore2.TimeoutException:
            raise _silent(self._patience) from None
        except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            raise _broken_off(error) from None

    def header(self, name: str) -> str:
        wanted = name.lower().encode()
        found = (value for key, value in self.headers if key.lower() == wanted)
        return next(found, b"").decode("latin-1")

    def close(self) -> None:
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Upstream:
    """Connections to one provider of one tenant, shared by a worker's threads.

    Not shared between tenants: a connection to a host that the operator allows for
    one must not serve another.
    """

    def __init__(
        self,
        allowed_hosts: frozenset[str],
        patience: Patience,
        connections: int,
        *,
        is_tls: bool,
    ) -> None:
        self._patience = patience
        # Who closes an idle connection while a request is on its way leaves it open
        # whether that was done. A model server nearby does so after five seconds, or
        # some number of requests, and a new connection to it costs next to nothing.
        idle = connections if is_tls else 0
        self._pool = httpcore2.ConnectionPool(
            ssl_context=tls(),
            max_connections=connections,
            max_keepalive_connections=idle,
            keepalive_expiry=KEEPALIVE_SECONDS,
            network_backend=Guarded(allowed_hosts),
        )
        weakref.finalize(self, self._pool.close)

    def send(self, request: Request) -> Exchange:
        """Send a request; return when the answer's headers are there.

        Raises Failure, or NotCalled where no connection was attempted.
        """
        patience = self._patience
        timeouts = {
            "connect": patience.connect,
            "read": min(patience.silence, patience.total),
            "write": patience.silence,
            "pool": patience.connect,
        }
        started = time.monotonic()
        response = self._send(request, timeouts)
        return Exchange(
            response.status, response.headers, started, response, patience, self
        )

    def _send(self, request: Request, timeouts: dict[str, float]) -> httpcore2.Response:
        sent = httpcore2.Request(
            "POST",
            request.url,
            headers=request.all_headers(),
            content=request.body,
            extensions={"timeout": timeouts},
        )
        try:
            return self._pool.handle_request(sent)
        except ForbiddenAddress as error:
            raise NotCalled(str(error)) from None
        except httpcore2.PoolTimeout:
            raise NotCalled("All connections to it are in use.") from None
        except httpcore2.ConnectTimeout:
            raise _unreachable(
                "it does not accept connections", timed_out=True
            ) from None
        except httpcore2.ConnectError as error:
            raise _unreachable(str(error)) from None
        except httpcore2.TimeoutException:
            raise _silent(self._patience) from None
        except httpcore2.LocalProtocolError:  # whose message may quote a credential
            raise NotCalled("HTTP cannot carry the request.") from None
        except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            raise _broken_off(error) from None


def _unreachable(why: str, *, timed_out: bool = False) -> Failure:
    code = Code.PROVIDER_TIMEOUT if timed_out else Code.PROVIDER_ERROR
    return Failure(code, f"The provider was not reached: {why}.", is_sent=False)


def _silent(patience: Patience) -> Failure:
    message = f"The provider sent nothing for {patience.silence:g} seconds."
    return Failure(Code.PROVIDER_TIMEOUT, message, is_sent=True)


def _too_long(patience: Patience) -> Failure:
    message = f"The provider was not done after {patience.total:g} seconds."
    return Failure(Code.PROVIDER_TIMEOUT, message, is_sent=True)


def _broken_off(error: Exception) -> Failure:
    message = f"The provider's answer broke off: {error}."
    return Failure(Code.PROVIDER_ERROR, message, is_sent=True)
