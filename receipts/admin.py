from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest
from django.utils.functional import cached_property

from receipts.fsck import check_checkpoint
from receipts.key_admin import revoke, rotate
from receipts.models import Log, Receipt, SigningKey


class ReadOnlyAdmin(admin.ModelAdmin):
    """What the ledger writes is looked at here and changed by nobody."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class NewestPaginator(Paginator):
    """Pages through the newest rows of a table that is too large to be counted."""

    LIMIT = 10_000

    @cached_property
    def count(self) -> int:
        rows = self.object_list.values("pk")  # type: ignore[attr-defined]
        return int(rows[: self.LIMIT].count())


@admin.register(Receipt)
class ReceiptAdmin(ReadOnlyAdmin):
    list_display = ["run_id", "tenant", "log", "leaf_index", "receipt_type", "id"]
    list_select_related = ["tenant", "log"]
    ordering = ["-id"]  # UUIDv7: newest first, along the primary key
    paginator = NewestPaginator
    show_full_result_count = False
    search_fields = ["run_id__exact", "pk__exact"]
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

    @admin.display(description="Receipt hash")
    def hash(self, receipt: Receipt) -> str:
        return bytes(receipt.receipt_hash).hex()

    @admin.display(description="Entry")
    def canonical_entry(self, receipt: Receipt) -> str:
        return bytes(receipt.entry).decode()


@admin.register(Log)
class LogAdmin(ReadOnlyAdmin):
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
        # One entry by its place, of each log shown.
        newest = Receipt.objects.filter(
            tenant_id=OuterRef("tenant_id"),
            log_id=OuterRef("pk"),
            leaf_index=OuterRef("size") - 1,
        )
        logs = super().get_queryset(request)
        return logs.annotate(newest_at=Subquery(newest.values("issued_at")[:1]))

    @admin.display(description="Last receipt")
    def last_receipt(self, log: Any) -> datetime | None:
        seconds = log.newest_at
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

    @admin.display(description="Health")
    def health(self, log: Any) -> str:
        """What can be told without reading the log; verify_log reads all of it."""
        if log.size and log.newest_at is None:
            return "BROKEN: the newest entry is missing"
        if finding := check_checkpoint(log):
            return f"{finding.verdict}: the checkpoint: {finding.detail}"
        return "The newest checkpoint is signed by a key that counts."

    @admin.display(description="Root")
    def root_hex(self, log: Log) -> str:
        return bytes(log.root).hex()


@admin.register(SigningKey)
class SigningKeyAdmin(ReadOnlyAdmin):
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
