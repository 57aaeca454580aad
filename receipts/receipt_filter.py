"""The filters of receipts, for the API, pages and exports alike (WIRE section 2)."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from django.db.models import QuerySet

from lucid.api.pagination import DEFAULT_LIMIT, Limit, decode_cursor
from receipts.merkle import MAX_SIZE
from receipts.models import Receipt

UnixTime = Annotated[int, msgspec.Meta(ge=0, le=MAX_SIZE)]
NO_CLAIMS = {"limit", "cursor", "since", "until", "first_entry", "last_entry"}


class ReceiptFilter(
    msgspec.Struct, frozen=True, rename={"since": "from", "until": "to"}
):
    """The query of GET /v1/receipts; `from` and `to` bound the claimed timestamp."""

    limit: Limit = DEFAULT_LIMIT
    cursor: str | None = None
    since: UnixTime | None = None
    until: UnixTime | None = None
    receipt_type: str | None = None
    model_passport_id: str | None = None
    compute_passport_id: str | None = None
    model: str | None = None
    provider: str | None = None
    agent_id: str | None = None
    orchestration_id: str | None = None
    trace_id: str | None = None
    policy_hash: str | None = None
    runtime: str | None = None
    signer_kid: str | None = None

    def newest(self, tenant_id: UUID, mode: str) -> QuerySet[Receipt]:
        """Return what passes, the newest entries of the log first, after the cursor."""
        rows = self.of_log(tenant_id, mode)
        if self.cursor is not None:
            rows = rows.filter(leaf_index__lt=decode_cursor(self.cursor))
        return rows.order_by("-leaf_index")

    def in_log_order(self, tenant_id: UUID, mode: str) -> QuerySet[Receipt]:
        """Return all that passes, the oldest entries of the log first."""
        return self.of_log(tenant_id, mode).order_by("leaf_index")

    def of_log(self, tenant_id: UUID, mode: str) -> QuerySet[Receipt]:
        conditions = self.claims() | self.times() | self.places()
        return Receipt.objects.of_log(tenant_id, mode).filter(**conditions)

    def claims(self) -> dict[str, str]:
        """Return what columns have to be, by their name."""
        given = {
            name: getattr(self, name)
            for name in self.__struct_fields__
            if name not in NO_CLAIMS
        }
        given["policy_hash"] = self.policy_hash and self.policy_hash.lower()
        return {name: value for name, value in given.items() if value is not None}

    def times(self) -> dict[str, Any]:
        """Return the bounds of the claimed time, both included, as look-ups."""
        bounds = {"timestamp__gte": self.since, "timestamp__lte": self.until}
        return {name: value for name, value in bounds.items() if value is not None}

    def places(self) -> dict[str, int]:
        """Return the bounds of the place in the log, as look-ups: pages have some."""
        return {}


class PageFilter(ReceiptFilter, frozen=True):
    """What pages and exports ask for besides: entries of the log, both included."""

    first_entry: int | None = None
    last_entry: int | None = None

    def places(self) -> dict[str, int]:
        bounds = {
            "leaf_index__gte": self.first_entry,
            "leaf_index__lte": self.last_entry,
        }
        return {name: value for name, value in bounds.items() if value is not None}
