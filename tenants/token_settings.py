"""What the operator says of tokens (JWT); what does not fit stops the start."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

LEAST_SECONDS = 10


@dataclass(frozen=True, slots=True)
class TokenSettings:
    issuer: str = ""
    audience: str = ""
    algorithm: str = ""  # where no tokens are taken
    keys: str = ""
    jwks_file: str = ""
    jwks_url: str = ""
    jwks_seconds: int = 300
    secret: str = field(default="", repr=False)  # repr is in Django's debug page

    def sources(self) -> dict[str, str]:
        named = {
            "LUCID_JWT_KEYS": self.keys,
            "LUCID_JWT_JWKS_FILE": self.jwks_file,
            "LUCID_JWT_JWKS_URL": self.jwks_url,
            "LUCID_JWT_SECRET": self.secret,
        }
        return {name: value for name, value in named.items() if value}

    def check(self) -> None:
        """Raise ImproperlyConfigured, naming the setting and never its value."""
        needed = {
            "LUCID_JWT_ALGORITHM": self.algorithm,
            "LUCID_JWT_ISSUER": self.issuer,
            "LUCID_JWT_AUDIENCE": self.audience,
        }
        sources = self.sources()
        if not sources and not any(needed.values()):
            return
        for name, value in needed.items():
            if not value:
                raise ImproperlyConfigured(f"{name} is needed to check tokens.")
        if len(sources) != 1:
            raise ImproperlyConfigured(
                "Tokens are checked with keys of one source: set one of LUCID_JWT_KEYS,"
                " LUCID_JWT_JWKS_FILE, LUCID_JWT_JWKS_URL and LUCID_JWT_SECRET, not"
                f" {len(sources)} of them."
            )
        (name,) = sources
        self._check_algorithm(name)
        self._check_source(name)

    def _check_algorithm(self, source: str) -> None:
        from tenants.key_sets import ALGORITHMS

        if self.algorithm not in ALGORITHMS:
            raise ImproperlyConfigured(
                f"LUCID_JWT_ALGORITHM is one of {', '.join(ALGORITHMS)}."
            )
        if (self.algorithm == "HS256") != (source == "LUCID_JWT_SECRET"):
            raise ImproperlyConfigured(
                f"{source} does not go with the algorithm {self.algorithm}: HS256 has a"
                " secret, and the others have public keys."
            )

    def _check_source(self, name: str) -> None:
        from tenants.key_sets import UnusableKey, read_keys, secret_key

        try:
            match name:
                case "LUCID_JWT_SECRET":
                    secret_key(self.secret)
                case "LUCID_JWT_KEYS":
                    read_keys(self.keys, self.algorithm)
                case "LUCID_JWT_JWKS_FILE":
                    read_keys(Path(self.jwks_file).read_text(), self.algorithm)
                case "LUCID_JWT_JWKS_URL":
                    _check_url(self.jwks_url)
        except (UnusableKey, OSError, UnicodeDecodeError) as error:
            why = str(error) if isinstance(error, UnusableKey) else "cannot be read"
            raise ImproperlyConfigured(f"{name} {why}.") from None
        if self.jwks_seconds < LEAST_SECONDS:
            raise ImproperlyConfigured(
                f"LUCID_JWT_JWKS_SECONDS is at least {LEAST_SECONDS}."
            )


def _check_url(text: str) -> None:
    try:
        url = urlsplit(text)
        host = url.hostname or ""
        _ = url.port
    except ValueError:
        raise ImproperlyConfigured("LUCID_JWT_JWKS_URL is no URL.") from None
    if not host or url.username is not None or url.password is not None:
        raise ImproperlyConfigured(
            "LUCID_JWT_JWKS_URL has a host, and neither user nor password."
        )
    if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(host)):
        raise ImproperlyConfigured(
            "LUCID_JWT_JWKS_URL begins with https://, or http:// on this machine."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
