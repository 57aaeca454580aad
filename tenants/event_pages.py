"""The page of access events: who did what in a tenant."""

import json
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch

from lucid.api.errors import ApiError
from lucid.api.pagination import cut, encode_id_cursor
from lucid.list_page import chips
from tenants.event_filter import EventFilter
from tenants.filter_forms import DaysForm, SaysWhatIsSet, exactly, unix_time
from tenants.models import AccessEvent
from tenants.page_access import Member, PageRequest, member
from tenants.roles import Right


class EventFilterForm(SaysWhatIsSet, DaysForm):
    actor = exactly("Who", "E-mail or key prefix")
    action = exactly("What", "As api_key.revoked")
    object = exactly("Which", "An id, exactly")

    def as_filter(self, cursor: str | None) -> EventFilter:
        given = self.cleaned_data
        return EventFilter(
            cursor=cursor,
            actor=given["actor"] or None,
            action=given["action"] or None,
            object_id=given["object"] or None,
            since=unix_time(self.since),
            until=unix_time(self.until),
        )


# The pages of what events are about: the route, and who may see it.
PAGES = {
    "receipt": ("receipt", Right.READ_RECEIPTS),
    "orchestration": ("orchestration", Right.READ_RUNS),
}


@dataclass(frozen=True)
class Shown:
    """An event as the page has it."""

    event: AccessEvent
    member: Member

    @property
    def address(self) -> str:
        """Where the thing itself is shown; "" where it has no page."""
        name, right = PAGES.get(self.event.object_kind, ("", None))
        if not self.event.object_id or right is None or not self.member.may(right):
            return ""
        try:
            return self.member.address(name, self.event.object_id)
        except NoReverseMatch:  # that is no id of one
            return ""

    @property
    def title(self) -> str:
        words = self.event.action.replace(".", " ").replace("_", " ")
        return (words[:1].upper() + words[1:]).replace("Api key", "API key")

    @property
    def kind(self) -> str:
        return self.event.object_kind.replace("_", " ").replace("api key", "API key")

    @property
    def actor_kind(self) -> str:
        kind = self.event.get_actor_kind_display().lower()
        return kind.replace("api key", "API key")

    @property
    def is_short(self) -> bool:
        """Whether what changed fits beside the event, where nobody has to unfold it."""
        texts = [text or "" for change in self.changes for text in change]
        return len(self.changes) <= 2 and sum(map(len, texts)) <= 80

    @property
    def changes(self) -> list[tuple[str, str | None, str | None]]:
        """Each member that is told of, with its value before and after."""
        before, after = self.event.before or {}, self.event.after or {}
        return [
            (name.replace("_", " "), _text(before, name), _text(after, name))
            for name in {**before, **after}
        ]


def _text(values: dict[str, Any], name: str) -> str | None:
    if name not in values:
        return None
    value = values[name]
    if value in ("", None, [], {}):
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@member(can=Right.READ_EVENTS)
def audit(request: PageRequest) -> HttpResponse:
    form = EventFilterForm(request.GET)
    if not form.is_valid():
        return render(request, "tenants/audit.html", {"form": form}, status=400)
    query = form.as_filter(request.GET.get("cursor") or None)
    try:
        rows, next_cursor = _page(request, query)
    except ApiError:  # a cursor that somebody has made up
        context = {"form": form, "bad_cursor": True}
        return render(request, "tenants/audit.html", context, status=400)
    context = {
        "form": form,
        "chips": chips(request.GET, form.chips),
        "rows": [Shown(event, request.member) for event in rows],
        "next_cursor": next_cursor,
        "is_newest": query.cursor is None,
    }
    return render(request, "tenants/audit.html", context)


def _page(
    request: PageRequest, query: EventFilter
) -> tuple[list[AccessEvent], str | None]:
    rows, more = cut(query.newest(request.member.tenant.pk), query.limit)
    return rows, encode_id_cursor(rows[-1].pk) if more else None
