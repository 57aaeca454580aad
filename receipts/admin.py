from uuid import UUID

from django.contrib import admin
from django.db.models import OuterRef, Q, Subquery
from django.http import HttpRequest

from lucid.api.admin_pages import ReadOnlyAdmin
from lucid.api.large_tables import LargeTableAdmin
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
    list_display = ["origin", "tenant", "mode", "size", "created_at"]
    list_filter = ["mode"]
    list_select_related = ["tenant"]
    search_fields = ["origin"]
    fields = ["origin", "tenant", "mode", "size", "root_hex", "checkpoint"]
    readonly_fields = ["root_hex"]

    @admin.display(description="Root")
    def root_hex(self, log: Log) -> str:
        return bytes(log.root).hex()


@admin.register(SigningKey)
class SigningKeyAdmin(AuditedAdmin, ReadOnlyAdmin):
    list_display = ["kid", "tenant", "mode", "purpose", "status", "created_at"]
    list_filter = ["mode", "purpose", "status"]
    list_select_related = ["tenant"]
    search_fields = ["kid", "tenant__slug"]
    fields = [
        "kid",
        "tenant",
        "mode",
        "purpose",
        "status",
        "first_index",
        "last_index",
        "public_key_hex",
        "master_key_id",
        "created_at",
    ]
    readonly_fields = ["public_key_hex"]

    @admin.display(description="Public key")
    def public_key_hex(self, key: SigningKey) -> str:
        return bytes(key.public_key).hex()
