"""Settings that Lucid refuses to start with, and what each complaint says to do.

No Django but its exception: the settings are read with these.
"""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from itertools import pairwise

from django.core.exceptions import ImproperlyConfigured

SECRET_KEY_LENGTH = 50  # as Django's own check has it
SECRET_KEY_LETTERS = 10  # distinct ones; 50 random hexadecimal digits have 15
KEY_LETTERS = 16  # distinct bytes; 32 random ones have 30
# What stands in examples of secret keys, and in none that was drawn at random.
EXAMPLES = (
    "insecure",
    "example",
    "changeme",
    "change-me",
    "change_me",
    "secret",
    "password",
    "replace",
)

MAKE_TEXT = "Make one with: openssl rand -base64 48"
MAKE_KEY = "Make one with: openssl rand -base64 32"


def check_secret_key(name: str, value: str) -> None:
    if complaint := _complaint_about_secret_key(value):
        raise ImproperlyConfigured(f"{name} {complaint}. {MAKE_TEXT}")


def _complaint_about_secret_key(value: str) -> str | None:
    if len(value) < SECRET_KEY_LENGTH:
        return f"is shorter than {SECRET_KEY_LENGTH} characters"
    if len(set(value)) < SECRET_KEY_LETTERS or _repeats(value):
        return "is no random text, it repeats itself"
    if any(word in value.lower() for word in EXAMPLES):
        return "looks like an example, not like a secret of your own"
    return None


def check_keys(named: dict[str, dict[str, bytes]]) -> None:
    """Refuse 32-byte keys that are not random, or that are one and the same.

    `named` maps the name of a setting to its keys by id.
    """
    seen: dict[bytes, str] = {}
    for name, keys in named.items():
        for identifier, key in keys.items():
            where = f"{name}: {identifier}"
            if _is_no_random(key):
                raise ImproperlyConfigured(
                    f"{where} is an example or a pattern, not a random key. {MAKE_KEY}"
                )
            if other := seen.get(key):
                raise ImproperlyConfigured(
                    f"{where} is the same key as {other}; each is a secret of its"
                    f" own. {MAKE_KEY}"
                )
            seen[key] = where


def _is_no_random(key: bytes) -> bool:
    few = len(set(key)) < KEY_LETTERS
    steps = {(after - before) % 256 for before, after in pairwise(key)}
    return few or len(steps) == 1 or (key.isascii() and key.decode().isprintable())


def _repeats(text: str) -> bool:
    return text in (text + text)[1:-1]


def proxy_networks(name: str, texts: list[str]) -> list[str]:
    """Return networks in their usual form; refuses what is none, and all of them."""
    return [str(_network(name, text.strip())) for text in texts if text.strip()]


def _network(name: str, text: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ImproperlyConfigured(
            f"{name}: {text!r} is no address or network such as 10.0.0.0/8."
            " Give them with commas between."
        ) from None
    if network.prefixlen == 0:
        raise ImproperlyConfigured(
            f"{name}: {text} is every address, so anybody could say to come from"
            " anywhere. Give the addresses of your own proxies."
        )
    return network


def check_hosts(name: str, hosts: list[str], *, debug: bool) -> None:
    """Refuse to answer for any host, and to show tracebacks to other machines."""
    if "*" in hosts:
        # DNS rebinding would have a browser read pages of a server in its own network.
        raise ImproperlyConfigured(
            f"{name}: * answers for any host. Name the hosts that people and programs"
            " ask for."
        )
    public = [host for host in hosts if not _is_this_machine(host)]
    if debug and public:
        raise ImproperlyConfigured(
            f"LUCID_DEBUG shows settings and tracebacks to whoever asks, and {name}"
            f" has {', '.join(public)}. Unset LUCID_DEBUG, or serve localhost alone."
        )


def _is_this_machine(host: str) -> bool:
    name = host.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
