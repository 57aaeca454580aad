"""Where a request comes from, as far as we know that ourselves."""

from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest


@cache
def _networks(texts: tuple[str, ...]) -> list[IPv4Network | IPv6Network]:
    return [ip_network(text, strict=False) for text in texts]


def _is_trusted(address: str) -> bool:
    networks = _networks(tuple(settings.LUCID_TRUSTED_PROXIES))
    try:
        return any(ip_address(address) in network for network in networks)
    except ValueError:
        return False


def client_address(request: HttpRequest) -> str | None:
    """Return the address of the client, None where a socket has none.

    X-Forwarded-For is believed as far as proxies of ours (LUCID_TRUSTED_PROXIES) have
    written it: from its end up to the first address that is none of theirs.
    """
    hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    address = str(request.META.get("REMOTE_ADDR", ""))
    while hops and _is_trusted(address):
        hop = hops.pop().strip()
        if not _is_address(hop):
            break
        address = hop
    return address if _is_address(address) else None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
