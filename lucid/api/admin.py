from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from lucid.api.models import TickRun


@admin.register(TickRun)
class TickRunAdmin(admin.ModelAdmin):
    """Looked at, and changed by nobody; `manage.py tick` forgets them by itself."""

    list_display = ["task", "started_at", "seconds", "ok", "outcome"]
    list_filter = ["ok", "task"]
    ordering = ["-started_at"]
    show_full_result_count = False
    search_fields = ["task"]
    fields = ["task", "started_at", "seconds", "ok", "outcome"]
    readonly_fields = ["seconds", "outcome"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="Seconds", ordering="duration")
    def seconds(self, run: TickRun) -> str:
        return f"{run.duration / timedelta(seconds=1):.3f}"

    @admin.display(description="What it did, or why it failed")
    def outcome(self, run: TickRun) -> str:
        return run.said or "nothing to do; the last of such runs"
