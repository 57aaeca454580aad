from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import OuterRef, Q, Subquery
from django.http import HttpRequest

from lucid.api.admin_pages import ReadOnlyAdmin
from lucid.api.large_tables import LargeTableAdmin, NewestPaginator
from receipts.fsck import check_checkpoint
from receipts.key_admin import revoke, rotate
from receipts.models import Log, Receipt, SigningKey
from receipts.reading import note_reading
from tenants.audited_admin import AuditedAdmin


@admin.register(Receipt)
class ReceiptAdmin(AuditedAdmin, LargeTableAdmin, ReadOnlyAdmin):
    list_display = ["run_id", "tenant", "log", "leaf_index", "receipt_type", "id"]
    list_select_related = ["tenant", "log"]
    ordering = ["-id"]  # UUIDv7: newest first, along the primary key
    search_help_text = "A run_id, or a receipt_id."
    fields = [
        "run_id",
        "id",
        "tenant",
        "log",
        "leaf_index",
        "receipt_type",
        "timestamp",
        "issued_at",
        "hash",
        "signer_kid",
        "canonical_entry",
    ]
    readonly_fields = ["hash", "canonical_entry"]

    def found_by(self, term: str) -> Q:
        by_id = super().found_by(term)
        if Receipt.objects.filter(by_id).exists():
            return by_id
        return Q(pk__in=_named_in_each_log(term))

    def record_view(self, request: HttpRequest, obj: Receipt) -> None:
        note_reading(request, obj)

    @admin.display(description="Receipt hash")
    def hash(self, receipt: Receipt) -> str:
        return bytes(receipt.receipt_hash).hex()

    @admin.display(description="Entry")
    def canonical_entry(self, receipt: Receipt) -> str:
        return bytes(receipt.entry).decode()


def _named_in_each_log(run_id: str) -> list[UUID]:
    """Look in one log after the other, as every index begins with tenant and log."""
    named = Receipt.objects.filter(
        tenant=OuterRef("tenant"), log=OuterRef("pk"), run_id=run_id
    )
    logs = Log.objects.annotate(found=Subquery(named.values("pk")[:1]))
    return list(logs.exclude(found=None).values_list("found", flat=True))


@admin.register(Log)
class LogAdmin(AuditedAdmin, ReadOnlyAdmin):
    list_display = ["origin", "tenant", "mode", "size", "last_receipt", "created_at"]
    list_filter = ["mode"]
    list_select_related = ["tenant"]
    paginator = NewestPaginator
    show_full_result_count = False
    ordering = ["-pk"]
    search_fields = ["origin"]
    fields = [
        "origin",
        "tenant",
        "mode",
        "size",
        "last_receipt",
        "health",
        "root_hex",
        "checkpoint",
        "created_at",
    ]
    readonly_fields = ["last_receipt", "health", "root_hex"]

    def get_queryset(self, request: HttpRequest) -> Any:
        # One entry of each log shown. Ordered, so that the one index that has this
        # order serves, however few entries the planner believes a log to have.
        newest = Receipt.objects.filter(
            tenant_id=OuterRef("tenant_id"), log_id=OuterRef("pk")
        ).order_by("-leaf_index")
        return (
            super()
            .get_queryset(request)
            .annotate(
                newest_at=Subquery(newest.values("issued_at")[:1]),
                newest_index=Subquery(newest.values("leaf_index")[:1]),
            )
        )

    @admin.display(description="Last receipt")
    def last_receipt(self, log: Any) -> datetime | None:
        seconds = log.newest_at
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

    @admin.display(description="Health")
    def health(self, log: Any) -> str:
        """What can be told without reading the log; verify_log reads all of it."""
        if log.size and log.newest_index != log.size - 1:
            return "BROKEN: the newest entry is missing"
        if finding := check_checkpoint(log):
            return f"{finding.verdict}: the checkpoint: {finding.detail}"
        return "The newest checkpoint is signed by a key that counts."

    @admin.display(description="Root")
    def root_hex(self, log: Log) -> str:
        return bytes(log.root).hex()


@admin.register(SigningKey)
class SigningKeyAdmin(AuditedAdmin, ReadOnlyAdmin):
    list_display = ["kid", "tenant", "mode", "purpose", "status", "created_at"]
    list_filter = ["mode", "purpose", "status"]
    list_select_related = ["tenant"]
    paginator = NewestPaginator
    show_full_result_count = False
    ordering = ["-pk"]
    search_fields = ["kid__startswith", "tenant__slug"]
    actions = [rotate, revoke]
    fields = [
        "kid",
        "tenant",
        "mode",
        "purpose",
        "status",
        "first_index",
        "last_index",
        "overlap_until",
        "public_key_hex",
        "master_key_id",
        "created_at",
    ]
    readonly_fields = ["public_key_hex"]

    def has_rotate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("receipts.change_signingkey")

    @admin.display(description="Public key")
    def public_key_hex(self, key: SigningKey) -> str:
        return bytes(key.public_key).hex()
