"""Networks that a key may be used from. No Django here.

An IPv4 address that a socket writes as IPv6 (`::ffff:192.0.2.1`) is the IPv4 address.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAPPED = IPv6Network("::ffff:0:0/96")


@lru_cache(maxsize=10_000)
def network(text: str) -> Network:
    """Read `192.0.2.0/24` or one address; ValueError says what is wrong."""
    if "%" in text:
        raise ValueError(f"{text!r} names an interface of one machine")
    found = ip_network(text)
    if isinstance(found, IPv6Network) and found.subnet_of(MAPPED):
        ipv4 = int(found.network_address) & 0xFFFF_FFFF
        return IPv4Network((ipv4, found.prefixlen - MAPPED.prefixlen))
    return found


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    return tuple(map(network, texts))


def plain(text: str) -> Address:
    """Return an address without what says how it came to us."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def may_come_from(allowed: Iterable[Network], text: str | None) -> bool:
    """Say whether one of the networks holds the address; none holds an unknown one."""
    if text is None:
        return False
    address = plain(text)
    return any(address in network for network in allowed)


def lie_within(inner: Iterable[Network], outer: Iterable[Network]) -> bool:
    """Say whether every inner network is a part of an outer one."""
    holders = list(outer)
    return all(any(_is_part(it, holder) for holder in holders) for it in inner)


def _is_part(one: Network, other: Network) -> bool:
    match one, other:
        case (IPv4Network(), IPv4Network()) | (IPv6Network(), IPv6Network()):
            return one.subnet_of(other)  # type: ignore[arg-type]  # of one kind
    return False
