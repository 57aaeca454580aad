"""The admin of tables with a row for each call, which grow by millions.

Nothing here counts such a table, sorts it, or looks through all of it: lists go along
the primary key, newest first; a search finds by an id; and a filter, whose value may
be rare, looks through the newest rows alone.
"""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db import models
from django.db.models import Q, QuerySet
from django.db.models.expressions import Combinable
from django.http import HttpRequest
from django.utils.functional import cached_property


# Django's admin and paginator classes take no type arguments at run time.
class NewestPaginator(Paginator):  # type: ignore[type-arg]
    """Pages through the newest rows of a table that is too large to be counted."""

    LIMIT = 10_000

    @cached_property
    def count(self) -> int:
        # Ids alone: what a list reads besides is not read to be counted.
        ids = self.object_list.order_by().values("pk")  # type: ignore[attr-defined]
        return int(ids[: self.LIMIT].count())


class NewestList(ChangeList):
    def apply_select_related(self, qs: QuerySet[Any]) -> QuerySet[Any]:
        # Afterwards, by their keys: for a join, a planner that misjudges how many
        # rows it has may read all of the table first.
        names = self.list_select_related
        return qs if isinstance(names, bool) else qs.prefetch_related(*names)

    def get_ordering(
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> list[str | Combinable]:
        return ["-pk"]  # whatever the address says

    def get_queryset(self, request: HttpRequest, *args: Any) -> QuerySet[Any]:
        if self.get_filters_params() and not self.query:
            self.root_queryset = _newest(self.root_queryset)
        return super().get_queryset(request, *args)


def _newest(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return the rows from the oldest one on that a filter looks at."""
    keys = rows.order_by("-pk").values_list("pk", flat=True)
    oldest = list(keys[NewestPaginator.LIMIT - 1 : NewestPaginator.LIMIT])
    return rows.filter(pk__gte=oldest[0]) if oldest else rows


class LargeTableAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    paginator = NewestPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # they count all rows, by each filter
    sortable_by = ()
    list_select_related = ["tenant"]
    ordering = ["-pk"]
    search_fields = ["pk"]  # shows the box; `found_by` does the search

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return NewestList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if term := search_term.strip():
            queryset = queryset.filter(self.found_by(term))
        return queryset, False

    def found_by(self, term: str) -> Q:
        """Return what finds rows by what was searched for: by its id, if it is one."""
        if not isinstance(self.opts.pk, models.UUIDField):
            return Q(pk=term)
        try:
            return Q(pk=UUID(term))
        except ValueError:
            return Q(pk__in=[])
