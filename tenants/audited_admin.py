"""The admin, with an access event for what an operator sees and changes there.

Written in the transaction of the change, or before the page is shown: where the event
cannot be written, nothing is changed and nothing is shown.
"""

import re
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse

from tenants import events
from tenants.models import Tenant
from tenants.row_states import State, difference, shown, state_of

READING = frozenset({"GET", "HEAD"})


def tenant_of(obj: models.Model) -> UUID | None:
    if isinstance(obj, Tenant):
        return obj.pk
    return getattr(obj, "tenant_id", None)


class AuditedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    kind = ""  # of the objects, in events; default: after the model's name

    @property
    def object_kind(self) -> str:
        name = self.model.__name__
        return self.kind or re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()

    def object_id(self, obj: Any) -> str:
        """Return the name of an object in events."""
        return str(obj.pk)

    # What is changed. Django calls these in its transaction; actions make their own.

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        after = shown(state_of(obj))
        self.record(request, obj, f"{self.object_kind}.created", after=after)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        before, after = difference(_state_before(obj), _state_in_database(obj))
        action = f"{self.object_kind}.changed"
        self.record(request, obj, action, before=before, after=after)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for obj in queryset:
            before = shown(state_of(obj))
            self.record(request, obj, f"{self.object_kind}.removed", before=before)
        return super().log_deletions(request, queryset)

    def acted(
        self,
        request: HttpRequest,
        obj: Any,
        action: str,
        before: State,
        after: State,
        reason: str = "",
    ) -> None:
        """Tell of what an action of ours has done to one object."""
        self.record(request, obj, action, before=before, after=after, reason=reason)
        done = action.partition(".")[2].replace("_", " ").capitalize()
        super().log_change(request, obj, f"{done}: {reason}".removesuffix(": "))

    def response_action(
        self, request: HttpRequest, queryset: Any, *args: Any, **options: Any
    ) -> Any:
        act = super().response_action
        if request.POST.get("action") != "delete_selected":
            return act(request, queryset, *args, **options)  # in its own transaction
        with transaction.atomic():  # Django's own action has none
            return act(request, queryset, *args, **options)

    def record(
        self,
        request: HttpRequest,
        obj: Any,
        action: str,
        *,
        before: State | None = None,
        after: State | None = None,
        reason: str = "",
    ) -> None:
        events.record(
            events.person(request),
            action,
            tenant_id=tenant_of(obj),
            kind=self.object_kind,
            object_id=self.object_id(obj),
            before=before,
            after=after,
            reason=reason,
        )

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        obj = super().get_object(request, object_id, from_field)
        if obj is not None:
            obj._state_before = state_of(obj)
        if obj is not None and request.method in READING:
            self.record_view(request, obj)
        return obj

    # What is seen.

    def record_view(self, request: HttpRequest, obj: Any) -> None:
        self.record(request, obj, "admin.viewed")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        answer = super().changelist_view(request, extra_context)
        if request.method in READING and answer.status_code == 200:
            # Without what was searched for. Of no tenant, as it may show several.
            actor, kind = events.person(request), self.object_kind
            events.record(actor, "admin.viewed", tenant_id=None, kind=kind)
        return answer


def _state_before(obj: Any) -> State:
    state: State = getattr(obj, "_state_before", {})
    return state


def _state_in_database(obj: Any) -> State:
    """Return the row as it was saved, which may differ from what was typed."""
    return state_of(type(obj)._base_manager.get(pk=obj.pk))
