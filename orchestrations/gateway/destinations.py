"""Where the gateway may connect to: public addresses, and hosts the operator allows.

A tenant's base URL must lead neither to a cloud's metadata service nor into our own
network. How it is written is checked when it is saved, what its host resolves to at
every connection, which is made to the very address that was checked: asked again, a
name may answer another one (DNS rebinding).
"""

import re
import socket
from collections.abc import Collection, Iterable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from time import monotonic

import idna
from httpcore2 import (
    SOCKET_OPTION,
    ConnectError,
    ConnectTimeout,
    NetworkBackend,
    NetworkStream,
    SyncBackend,
)

MAX_PORT = 65535

URL = re.compile(r"(https?)://([^/]*)(?:/.*)?", re.IGNORECASE)
AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::(.*))?")
IN_BRACKETS = re.compile(r"\A\[([^\[\]]*:[^\[\]]*)\]\Z")
LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
NAME = re.compile(rf"(?=.{{1,253}}\Z){LABEL}(?:\.{LABEL})*")
# Resolvers read a number at the end as an IPv4 address: 127.1, 0x7f.1, 2130706433.
NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")

UNICAST = IPv6Network("2000::/3")  # all of IPv6 that IANA has given out to be reached
NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052; 64:ff9b:1::/48 is for local use
# Global by what Python says (some versions more than others), and yet not to be
# reached, or not the same from everywhere.
NOT_PUBLIC = [
    ip_network("168.63.129.16/32"),  # Azure: hands a machine its secrets
    ip_network("192.0.0.0/24"),  # .9 is the nearest NAT, .192 was Oracle's metadata
    ip_network("2001::/23"),  # the same of IPv6, and Teredo
    ip_network("3fff::/20"),  # documentation
]


class BadBaseURL(ValueError):
    """A sentence for the operator, which quotes no more of the URL than its host."""


class ForbiddenAddress(Exception):
    """A host leads to where only hosts that the operator allows may lead.

    No error of httpcore2, which would try again.
    """


def check_base_url(url: str, allowed_hosts: Collection[str]) -> None:
    """Raise BadBaseURL for a base URL that is malformed or leads where none may lead.

    Names are not resolved: they may not exist yet, and `Guarded` looks at them anyway.
    """
    scheme, host = _split(url)
    if host in frozenset(map(canonical_host, allowed_hosts)):
        return
    if scheme != "https":
        raise BadBaseURL(f"http:// is only for allowed hosts, and {host} is none.")
    if _literal(host) and not is_public(host):
        raise BadBaseURL(f"{host} is neither a public address nor an allowed host.")


def canonical_host(host: str) -> str:
    """Return a host as it compares: ASCII, lower case, no final dot, no brackets.

    Raises BadBaseURL for what is none, and for unusual spellings of an IP address.
    """
    name = _ascii(host).removesuffix(".")
    bare = IN_BRACKETS.sub(r"\1", name)
    if (address := _literal(bare)) and "%" not in bare:
        return str(address)
    if not NAME.fullmatch(name) or NUMBER.fullmatch(name):
        raise BadBaseURL(f"{host!r} is neither a host name nor a plain IP address.")
    return name


def is_public(address: str) -> bool:
    """Tell whether an IP address is the same host for everyone, on the Internet."""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        ip = _carried(ip) or ip
    if isinstance(ip, IPv6Address) and ip not in UNICAST:
        return False
    listed = any(ip in network for network in NOT_PUBLIC)
    return ip.is_global and not ip.is_multicast and not listed


class Guarded(NetworkBackend):
    """Connects to public addresses, and to any that an allowed host resolves to."""

    def __init__(self, allowed_hosts: frozenset[str]) -> None:
        self._allowed = frozenset(map(canonical_host, allowed_hosts))
        self._backend = SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> NetworkStream:
        """Connect to the first of a host's addresses that answers.

        `timeout` (seconds) covers them all, and the wait for the resolver, which it
        cannot cut short. Raises ForbiddenAddress, ConnectError and ConnectTimeout.
        """
        deadline = None if timeout is None else monotonic() + timeout
        *earlier, last = self._resolve(host, port)
        for address in earlier:
            # Half of what is left, as an address may swallow all that it is sent.
            seconds = _seconds_until(deadline, share=0.5)
            with suppress(ConnectError, ConnectTimeout):
                return self._backend.connect_tcp(
                    address, port, seconds, local_address, socket_options
                )
        return self._backend.connect_tcp(
            last, port, _seconds_until(deadline), local_address, socket_options
        )

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> NetworkStream:
        raise ForbiddenAddress("No provider is reached through a Unix socket.")

    def _resolve(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host, all of which may be connected to."""
        addresses = _addresses(host, port)
        if not self._allows(host) and not all(map(is_public, addresses)):
            # Not which address: that would draw a map of our network.
            raise ForbiddenAddress(
                f"{host} has an address that is not public; an operator may allow"
                " this host by its name."
            )
        return addresses

    def _allows(self, host: str) -> bool:
        try:
            return canonical_host(host) in self._allowed
        except BadBaseURL:
            return False


def _split(url: str) -> tuple[str, str]:
    """Return the scheme and the canonical host of a well-formed base URL."""
    if not url.isprintable() or " " in url or "\\" in url:
        raise BadBaseURL("A base URL has no spaces, backslashes or control characters.")
    if "?" in url or "#" in url:
        raise BadBaseURL("A base URL has neither a query nor a fragment.")
    parts = URL.fullmatch(url)
    if parts is None:
        raise BadBaseURL("A base URL starts with https://, or http:// if allowed.")
    scheme, authority = parts.groups()
    return scheme.lower(), _host_of(authority)


def _host_of(authority: str) -> str:
    if "@" in authority:
        raise BadBaseURL("A base URL carries no user name and no password.")
    parts = AUTHORITY.fullmatch(authority)
    if parts is None:
        raise BadBaseURL(f"{authority!r} is not a host.")
    host, port = parts.groups()
    if not host:
        raise BadBaseURL("A base URL names a host.")
    if port is not None and not _is_port(port):
        raise BadBaseURL(f"The port of a base URL is a number from 1 to {MAX_PORT}.")
    return canonical_host(host)


def _is_port(text: str) -> bool:
    return bool(re.fullmatch("[0-9]{1,5}", text)) and 1 <= int(text) <= MAX_PORT


def _ascii(host: str) -> str:
    """Return a host in lower case, and what is not ASCII in Punycode, if it can be.

    IDNA would refuse underscores, which names of a private network may have.
    """
    lower = host.lower()
    if not lower.isascii():
        with suppress(UnicodeError):
            return idna.encode(lower).decode()
    return lower


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _carried(ip: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that a gateway on the way would make of this one."""
    if ip in NAT64:
        return IPv4Address(ip.packed[-4:])
    return ip.ipv4_mapped or ip.sixtofour


def _addresses(host: str, port: int) -> list[str]:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConnectError(error) from error
    return [str(answer[4][0]) for answer in answers]


def _seconds_until(deadline: float | None, share: float = 1.0) -> float | None:
    if deadline is None:
        return None
    seconds = deadline - monotonic()
    if seconds <= 0:
        raise ConnectTimeout("timed out")
    return seconds * share
