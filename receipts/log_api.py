"""The log itself, as C2SP tlog-tiles lays it out (WIRE section 2, end)."""

from typing import Any

import msgspec
from django.http import HttpResponse
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from lucid.api.errors import ApiError, Code, invalid, not_found
from lucid.api.openapi import describe
from lucid.api.parsing import check_query
from lucid.api.rendering import Answer
from lucid.api.views import ApiView
from lucid.isolation import across_tenants, enter
from receipts import examples
from receipts.models import Log
from receipts.public_log import is_public
from receipts.reader import LogReader
from receipts.tiles import ENTRIES, TilePathError, parse_tile_path
from tenants.authentication import Principal
from tenants.scopes import HasScope

# A full tile never changes; a partial one of a given width neither.
IMMUTABLE = "max-age=31536000, immutable"
CHECKPOINT_SECONDS = 5


class PublicLogOrKey(HasScope):
    """Anybody may ask; `find_log` decides what a stranger is shown."""

    def has_permission(self, request: Request, view: ApiView) -> bool:  # type: ignore[override]
        return not request.auth or super().has_permission(request, view)


def find_log(request: Request, slug: str, mode: str, *, private: bool = False) -> Log:
    """Return a log that the request may read.

    A log is read with its own tenant's key, and without any when the tenant has
    published it. To anybody else it does not exist.
    """
    with across_tenants():
        logs = Log.objects.select_related("tenant")
        log = logs.filter(tenant__slug=slug, mode=mode).first()
    principal: Principal | None = request.auth  # type: ignore[assignment]
    public = log and is_public(log.tenant) and not private
    if log and (public or _is_own(log, principal)):
        enter(log.tenant_id)
        return log
    if principal is None:
        raise ApiError(Code.UNAUTHORIZED, "Give an API key.")
    raise not_found("log")


def _is_own(log: Log, principal: Principal | None) -> bool:
    if principal is None:
        return False
    return (principal.tenant_id, principal.mode) == (log.tenant_id, log.mode)


class LogView(ApiView):
    permission_classes: list[type[BasePermission]] = [PublicLogOrKey]
    scopes = {"GET": "receipts:read"}


class LogCheckpoint(LogView):
    @describe(
        "The newest signed checkpoint",
        answer=examples.CHECKPOINT,
        errors=[Code.NOT_FOUND],
        media_type="text/plain",
    )
    def get(self, request: Request, tenant: str, mode: str) -> HttpResponse:
        log = find_log(request, tenant, mode)
        response = HttpResponse(
            log.checkpoint, content_type="text/plain; charset=utf-8"
        )
        visibility = "public" if is_public(log.tenant) else "private"
        response["Cache-Control"] = f"{visibility}, max-age={CHECKPOINT_SECONDS}"
        return response


class LogTile(LogView):
    @describe(
        "A hash tile or an entry bundle (C2SP tlog-tiles)",
        answer=examples.TILE,
        errors=[Code.NOT_FOUND],
        media_type="application/octet-stream",
    )
    def get(self, request: Request, tenant: str, mode: str, tile: str) -> HttpResponse:
        try:
            wanted = parse_tile_path(tile)
        except TilePathError:
            raise not_found("tile") from None
        entries = wanted.level == ENTRIES
        log = find_log(request, tenant, mode, private=entries)
        data = LogReader(log).tile(wanted)
        if data is None:
            raise not_found("tile")
        response = HttpResponse(data, content_type="application/octet-stream")
        published = is_public(log.tenant) and not entries
        response["Cache-Control"] = (
            f"{'public' if published else 'private'}, {IMMUTABLE}"
        )
        return response


class ConsistencyQuery(
    msgspec.Struct, frozen=True, rename={"old_size": "from", "new_size": "to"}
):
    old_size: int
    new_size: int | None = None


def prove_consistency(log: Log, query: ConsistencyQuery) -> dict[str, Any]:
    """Return the proof that is asked for; raises ApiError for sizes it never had."""
    new_size = log.size if query.new_size is None else query.new_size
    if not 0 <= new_size <= log.size:
        raise invalid({"to": [f"Expected 0 to {log.size}, the size of the log."]})
    if not 0 <= query.old_size <= new_size:
        raise invalid({"from": [f"Expected 0 to {new_size}."]})
    proof = LogReader(log).consistency_proof(query.old_size, new_size)
    return {
        "success": True,
        "origin": log.origin,
        "from": query.old_size,
        "to": new_size,
        "proof": [item.hex() for item in proof],
        "checkpoint": log.checkpoint if new_size == log.size else None,
    }


class LogConsistency(LogView):
    @describe(
        "The proof that a newer tree extends an older one",
        query=ConsistencyQuery,
        answer=examples.CONSISTENCY,
        errors=[Code.INVALID_REQUEST, Code.NOT_FOUND],
    )
    def get(self, request: Request, tenant: str, mode: str) -> Answer:
        log = find_log(request, tenant, mode)
        query = check_query(request.query_params, ConsistencyQuery)
        return Answer(prove_consistency(log, query))
