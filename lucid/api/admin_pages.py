"""What admin classes of large tables, and of tables that nobody edits, share."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.paginator import Paginator
from django.http import HttpRequest
from django.utils.functional import cached_property


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """What is written elsewhere is looked at here and changed by nobody."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class NewestPaginator(Paginator):  # type: ignore[type-arg]
    """Pages through the newest rows of a table that is too large to be counted."""

    LIMIT = 10_000

    @cached_property
    def count(self) -> int:
        return int(self.object_list[: self.LIMIT].count())  # type: ignore[attr-defined]


def uuid_of(text: str) -> UUID | None:
    """Return the id that was searched for: SQLite keeps ids without their dashes."""
    try:
        return UUID(text.strip())
    except ValueError:
        return None
