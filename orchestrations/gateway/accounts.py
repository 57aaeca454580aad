"""A tenant's accounts with providers, and which of them gets a call.

Each worker remembers them, as it does prices: for as long as the tenant's
`keyring_version` is the one they were read at.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from lucid.api.errors import ApiError, invalid
from orchestrations.gateway.redacting import REMOVED
from orchestrations.gateway.upstream import Patience, Upstream
from orchestrations.models import ProviderCredential

MEMORY_LIMIT = 1000  # tenants

# Whose a model is by its name, where the tenant has no rule for it.
BY_NAME = {
    "anthropic": re.compile(r"claude"),
    "openai": re.compile(r"gpt-|chatgpt-|o[0-9]"),
    "bedrock": re.compile(r"([a-z]+\.)?(ai21|amazon|anthropic|cohere|meta|mistral)\."),
}


@dataclass(frozen=True, slots=True)
class Account:
    provider: str
    url: str
    patterns: tuple[str, ...]
    credential: str
    patience: Patience
    retries: int
    concurrency: int
    upstream: Upstream

    @classmethod
    def of(cls, row: ProviderCredential) -> "Account":
        patience = Patience(row.connect_seconds, row.silence_seconds, row.total_seconds)
        hosts = frozenset(row.allowed_hosts)
        is_tls = row.url.lower().startswith("https:")
        return cls(
            row.provider,
            row.url,
            tuple(row.model_patterns),
            row.credential,
            patience,
            row.retries,
            row.concurrency,
            # As many for live calls, and for those of test keys.
            Upstream(hosts, patience, 2 * row.concurrency, is_tls=is_tls),
        )

    def __repr__(self) -> str:
        return f"Account({self.provider!r}, {self.url!r})"  # and never the credential

    def fits(self, model: str) -> tuple[int, int] | None:
        """Say how closely a rule of this account names the model; None: not at all."""
        if not self.patterns:
            return (0, self._familiarity(model))
        lengths = [len(pattern) for pattern in self.patterns if _takes(pattern, model)]
        if model in self.patterns:
            return (2, 0)
        return (1, max(lengths)) if lengths else None

    def _familiarity(self, model: str) -> int:
        """Without rules: the model's own provider, then a custom host, then others."""
        name = BY_NAME.get(self.provider)
        if name and name.match(model):
            return 2
        return 1 if self.provider == "custom" else 0

    def without_credential(self, text: str) -> str:
        return text.replace(self.credential, REMOVED) if self.credential else text


def _takes(pattern: str, model: str) -> bool:
    if pattern.endswith("*"):
        return model.startswith(pattern[:-1])
    return model == pattern


Edition = tuple[int, datetime]  # of a row: its key, and when it was changed


class Accounts:
    def __init__(
        self,
        version: int,
        rows: Iterable[ProviderCredential],
        known: Mapping[Edition, Account],
    ) -> None:
        self.version = version
        self.accounts = {
            edition: known.get(edition) or Account.of(row)
            for row in rows
            for edition in [(row.pk, row.updated_at)]
        }

    def choose(
        self, model: str, provider: str | None, able: Collection[str]
    ) -> Account:
        """Return the account that a call goes to.

        `provider` is the one that the caller names; `able` are those that speak the
        form of the request. Raises the 400.
        """
        named = [it for it in self.accounts.values() if provider in {None, it.provider}]
        if provider and not named:
            raise invalid(
                {"provider": [f"This tenant has no account with {provider}."]}
            )
        fitting = [(fit, it) for it in named if (fit := it.fits(model)) is not None]
        if not fitting:
            raise invalid({"model": [f"No provider of this tenant takes {model!r}."]})
        speaking = [(fit, it) for fit, it in fitting if it.provider in able]
        if not speaking:
            raise _spoken_otherwise(model, fitting[0][1].provider, able)
        return max(speaking, key=lambda found: found[0])[1]


def _spoken_otherwise(model: str, provider: str, able: Collection[str]) -> ApiError:
    others = " or ".join(sorted(able))
    complaint = f"{model!r} is taken by {provider}; this endpoint is for {others}."
    return invalid({"model": [complaint]})


_memory: dict[UUID, Accounts] = {}


def accounts_of(tenant_id: UUID, version: int) -> Accounts:
    """Return a tenant's accounts as of a `keyring_version`."""
    remembered = _memory.get(tenant_id)
    if remembered and remembered.version == version:
        return remembered
    rows = ProviderCredential.objects.filter(tenant_id=tenant_id).order_by("pk")
    # What has not changed keeps its connections.
    accounts = Accounts(version, rows, remembered.accounts if remembered else {})
    if len(_memory) >= MEMORY_LIMIT:
        _memory.clear()
    _memory[tenant_id] = accounts
    return accounts
