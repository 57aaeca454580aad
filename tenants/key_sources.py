"""Where the keys of tokens come from: fixed ones, or a set that is read again.

A set that changes outside (a JWKS file or URL) is read in a thread of its own, by one
at a time. Whoever has the old set goes on with it: a source that hangs delays nobody
but those whose key is not in it. While it fails, the old set serves for a day.
"""

import logging
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

import httpcore2

from tenants.key_sets import (
    TokenKey,
    UnusableKey,
    choose,
    read_foreign_keys,
    read_keys,
)

logger = logging.getLogger(__name__)

PATIENCE = 5.0  # seconds, for a whole fetch
HOPE = 1.0  # seconds that a token may wait whose key is not in the set
ABANDONED = 60.0  # seconds after which a read that has not ended is not waited for
PAUSE = 10.0  # seconds between two reads, whatever strangers put into their tokens
MOST_STALE = 86_400.0  # seconds that an old set serves while there is no new one
MOST_BYTES = 256 << 10

Read = Callable[[], list[TokenKey]]


class NoKeys(Exception):
    """There is no set of keys now, and not because of the token."""


class KeySource(Protocol):
    def find(self, kid: str | None) -> TokenKey | None:
        """Return the key for a token with this kid, None if there is none.

        Raises NoKeys.
        """
        ...


class FixedKeys:
    def __init__(self, keys: Sequence[TokenKey]) -> None:
        self._keys = keys

    def find(self, kid: str | None) -> TokenKey | None:
        return choose(self._keys, kid)


class ChangingKeys:
    """The keys that `read` returns, read again after `seconds`."""

    def __init__(self, name: str, read: Read, seconds: float) -> None:
        self._name = name
        self._read = read
        self._seconds = seconds
        self._lock = threading.Lock()  # for what follows
        self._keys: list[TokenKey] = []
        self._read_at = float("-inf")  # time.monotonic(), as all of them
        self._tried_at = float("-inf")
        self._under_way: threading.Event | None = None

    def find(self, kid: str | None) -> TokenKey | None:
        if time.monotonic() - self._read_at > self._seconds:
            self._begin_reading()
        if not self._current():
            self._wait(PATIENCE)
        key = choose(self._current(), kid)
        if key is None:  # the set may have a new one
            self._begin_reading()
            self._wait(HOPE)
            key = choose(self._current(), kid)
        if not self._current():
            raise NoKeys
        return key

    def _current(self) -> list[TokenKey]:
        is_stale = time.monotonic() - self._read_at > self._seconds + MOST_STALE
        return [] if is_stale else self._keys

    def _begin_reading(self) -> None:
        """Start to read, unless that is under way, or was tried a moment ago."""
        with self._lock:
            now = time.monotonic()
            pause = ABANDONED if self._under_way else PAUSE
            if now - self._tried_at < pause:
                return
            self._tried_at = now
            self._under_way = done = threading.Event()
        threading.Thread(target=self._renew, args=(done,), daemon=True).start()

    def _wait(self, seconds: float) -> None:
        under_way = self._under_way
        if under_way:
            under_way.wait(seconds)

    def _renew(self, done: threading.Event) -> None:
        try:
            keys = self._read()
            with self._lock:
                self._keys, self._read_at = keys, time.monotonic()
        except (UnusableKey, Unread) as error:
            logger.warning("%s: %s; the old keys serve on", self._name, error)
        finally:
            with self._lock:
                if self._under_way is done:
                    self._under_way = None
            done.set()


class Unread(Exception):
    """A set of keys could not be had; the message says why."""


def file_source(path: str, algorithm: str, seconds: float) -> ChangingKeys:
    def read() -> list[TokenKey]:
        try:
            text = Path(path).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise Unread(f"cannot be read ({type(error).__name__})") from None
        return read_keys(text, algorithm)

    return ChangingKeys("LUCID_JWT_JWKS_FILE", read, seconds)


def url_source(url: str, algorithm: str, seconds: float) -> ChangingKeys:
    def read() -> list[TokenKey]:
        return read_foreign_keys(_fetch(url).decode(errors="replace"), algorithm)

    return ChangingKeys("LUCID_JWT_JWKS_URL", read, seconds)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _fetch(url: str) -> bytes:
    """Return the body of a 200. No redirect is followed, and no proxy asked."""
    deadline = time.monotonic() + PATIENCE
    timeouts = dict.fromkeys(("connect", "read", "write", "pool"), PATIENCE)
    headers = [(b"Accept", b"application/json"), (b"User-Agent", b"lucid")]
    body = b""
    try:
        with (
            httpcore2.ConnectionPool(ssl_context=_tls()) as pool,
            pool.stream(
                "GET", url, headers=headers, extensions={"timeout": timeouts}
            ) as response,
        ):
            if response.status != 200:
                raise Unread(f"it answered {response.status}")
            for chunk in response.iter_stream():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise Unread(f"it is larger than {MOST_BYTES >> 10} KiB")
                if time.monotonic() > deadline:
                    raise Unread(f"it took more than {PATIENCE:.0f} seconds")
    except httpcore2.TimeoutException:
        raise Unread(f"no answer within {PATIENCE:.0f} seconds") from None
    except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
        raise Unread(f"no answer ({type(error).__name__})") from None
    return body
