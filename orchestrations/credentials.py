"""Credentials of providers: what may be one, and what may be told of its row."""

import re
from typing import Any

from orchestrations.models import Provider, ProviderCredential

LONGEST = 10_000  # characters


def complaint_about(credential: str, provider: str) -> str | None:
    """Say why a text is no credential of a provider, without repeating any of it."""
    if not credential and provider != Provider.CUSTOM:
        return f"{provider} asks for a credential."
    if len(credential) > LONGEST:
        return f"A credential has at most {LONGEST:,} characters."
    if not re.fullmatch("[!-~]*", credential):  # else it fits into no header
        return "A credential is ASCII without spaces and control characters."
    return None


def describe(row: ProviderCredential) -> dict[str, Any]:
    """Return what may be told of a provider: everything but the credential."""
    return {
        "id": row.pk,
        "tenant": row.tenant.slug,
        "provider": row.provider,
        "url": row.url,
        "model_patterns": row.model_patterns,
        "allowed_hosts": row.allowed_hosts,
        "connect_seconds": row.connect_seconds,
        "silence_seconds": row.silence_seconds,
        "total_seconds": row.total_seconds,
        "retries": row.retries,
        "concurrency": row.concurrency,
        "created_at": row.created_at.isoformat(),
        "updated_at": row.updated_at.isoformat(),
    }
