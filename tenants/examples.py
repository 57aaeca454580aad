"""Example requests and answers, for the OpenAPI document and the docs page."""

from typing import Any

_ID = "7e0f6a2c-6c38-4f3e-9d0e-3a5c8f5b1d24"
_SUCCESSOR_ID = "c1b0a6a4-52d5-4f0c-8a53-0f6f3c7f7b0e"
_FRESH: dict[str, Any] = {
    "id": _ID,
    "prefix": "lk_live_8sJ2kQmZ0a",
    "name": "claims desk",
    "mode": "live",
    "scopes": ["receipts:write"],
    "state": "active",
    "created_at": "2026-11-25T09:30:00.123456Z",
    "expires_at": "2027-02-23T09:30:00.123456Z",
    "revoked_at": None,
    "rotated_to": None,
    "overlap_ends_at": None,
    "allowed_addresses": ["192.0.2.0/24"],
    "requests_per_minute": 600,
    "last_used_at": None,
    "last_used_from": None,
}
_ROTATED = _FRESH | {
    "rotated_to": _SUCCESSOR_ID,
    "overlap_ends_at": "2026-11-27T08:00:00.654321Z",
    "last_used_at": "2026-11-26T08:00:00.111111Z",
    "last_used_from": "192.0.2.7",
}
_SUCCESSOR = _FRESH | {
    "id": _SUCCESSOR_ID,
    "prefix": "lk_live_Zt4vX81bCe",
    "created_at": "2026-11-26T08:00:00.654321Z",
}
MADE = {
    "success": True,
    "api_key": _FRESH,
    "key": "lk_live_8sJ2kQmZ0a… (shown this once)",
}
ROTATED = {
    "success": True,
    "api_key": _SUCCESSOR,
    "key": "lk_live_Zt4vX81bCe… (shown this once)",
    "rotated": _ROTATED,
}
ONE_API_KEY = {"success": True, "api_key": _ROTATED}
REVOKED = {
    "success": True,
    "api_key": _ROTATED
    | {"state": "revoked", "revoked_at": "2026-11-26T09:00:00.222222Z"},
}
API_KEYS = {
    "success": True,
    "api_keys": [_ROTATED, _SUCCESSOR],
    "next_cursor": "AAZEl7Q…",
}
