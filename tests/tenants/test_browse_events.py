"""The page of access events: what an auditor sees of who did what."""

import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest

from tenants import events
from tenants.events import Actor, ActorKind
from tenants.models import AccessEvent

PATH = "/audit"
ADA = Actor(ActorKind.PERSON, "7", "ada@example.com", "203.0.113.9", "req_1")


def note(tenant: Any, action: str = "price.created", **what: Any) -> AccessEvent:
    actor = what.pop("actor", ADA)
    return events.record(actor, action, tenant_id=tenant.pk, **what)


def note_at(tenant: Any, moment: datetime, action: str) -> AccessEvent:
    """Note something as if it were then."""
    milliseconds = int(moment.timestamp() * 1000)
    row = AccessEvent(
        id=UUID(int=milliseconds << 80 | 0x7 << 76 | 0x2 << 62 | secrets.randbits(62)),
        tenant=tenant,
        action=action,
        actor_kind="command",
    )
    with patch("django.utils.timezone.now", return_value=moment):
        row.save(force_insert=True)
    return row


def titles(page: str) -> list[str]:
    return re.findall(r'title="Only ([a-z_]+\.[a-z_0-9]+)"', page)


def text(person: Any, **query: Any) -> str:
    answer = person.get(PATH, data=query)
    assert answer.status_code == 200
    page: str = answer.content.decode()
    return page


def test_it_tells_who_did_what_from_where(acme, auditor):
    note(
        acme,
        "api_key.revoked",
        kind="api_key",
        object_id="lk_live_0123456789",
        before={"state": "active", "scopes": ["a:b"], "name": "ci"},
        after={"state": "revoked", "scopes": ["a:b"], "name": "ci"},
        reason="Lost with a laptop.",
    )
    page = text(auditor)
    for told in (
        "API key revoked",
        "ada@example.com",
        "203.0.113.9",
        "lk_live_0123456789",
        "Lost with a laptop.",
        "<td>active</td>",
        "<td>revoked</td>",
        "[&quot;a:b&quot;]",
    ):
        assert told in page


def test_a_short_change_needs_no_unfolding(acme, auditor):
    note(acme, before={"role": "analyst"}, after={"role": "auditor"})
    assert '<p class="short">role: analyst → auditor</p>' in text(auditor)


def test_what_was_typed_by_others_is_text(acme, auditor):
    note(acme, kind="<b>", object_id="<script>", after={"<i>": "<u>"}, reason="<a>")
    page = text(auditor)
    assert not any(tag in page for tag in ("<script>", "<b>", "<i>", "<u>", "<a>"))


def test_what_it_is_about_is_a_click_away(alice, acme, auditor):
    receipt = alice.record()["receipt_id"]
    assert auditor.get(f"/receipts/{receipt}").status_code == 200
    note(acme, kind="price", object_id="7")
    note(acme, "admin.viewed", kind="receipt")
    note(acme, kind="receipt", object_id="no-id")
    page = text(auditor)
    assert f'/receipts/{receipt}">receipt</a>' in page
    assert page.count('<span class="quiet"><a ') == 1


def test_the_newest_comes_first(acme, auditor):
    day = datetime(2026, 11, 1, tzinfo=UTC)
    for number in range(3):
        note_at(acme, day + timedelta(days=number), f"n.n{number}")
    assert titles(text(auditor)) == ["n.n2", "n.n1", "n.n0"]


def test_it_has_nothing_of_others(acme, charlie, auditor):
    note(charlie.tenant, "theirs.done")
    events.record(ADA, "installation.done", tenant_id=None)
    assert titles(text(auditor)) == []


def test_it_goes_on_by_a_cursor_with_the_filters(acme, auditor):
    day = datetime(2026, 11, 1, tzinfo=UTC)
    for number in range(60):
        note_at(acme, day + timedelta(seconds=number), f"n.n{number}")
    first = text(auditor, to="2026-11-30")
    assert titles(first) == [f"n.n{number}" for number in range(59, 9, -1)]
    (older,) = re.findall(r'rel="next" href="([^"]+)"', first)
    second = auditor.get(PATH + older.replace("&amp;", "&")).content.decode()
    assert titles(second) == [f"n.n{number}" for number in range(9, -1, -1)]
    assert "to=2026-11-30" in older
    assert 'rel="next"' not in second


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"actor": "ada@example.com"}, ["a.one"]),
        ({"actor": "lk_live_0123456789"}, ["a.two"]),
        ({"action": "a.two"}, ["a.two"]),
        ({"object": "gpt-4o"}, ["a.one"]),
        ({"object": "gpt"}, []),
        ({"actor": "ada@example.com", "action": "a.two"}, []),
    ],
)
def test_each_filter_leaves_what_passes_it(acme, auditor, query, expected):
    program = Actor(ActorKind.API_KEY, "k", "lk_live_0123456789")
    note(acme, "a.one", object_id="gpt-4o")
    note(acme, "a.two", actor=program)
    assert titles(text(auditor, **query)) == expected


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        ("2026-11-02", "", ["d.d3", "d.d2"]),
        ("", "2026-11-02", ["d.d2", "d.d1"]),
        ("2026-11-02", "2026-11-02", ["d.d2"]),
        ("2026-11-04", "", []),
        ("", "1960-01-01", []),
        ("1960-01-01", "9999-12-31", ["d.d3", "d.d2", "d.d1"]),
    ],
)
def test_days_bound_the_time_both_included(acme, auditor, since, until, expected):
    for day, hour in ((1, 23), (2, 0), (3, 0)):
        note_at(acme, datetime(2026, 11, day, hour, tzinfo=UTC), f"d.d{day}")
    query = {"from": since, "to": until}
    assert titles(text(auditor, **query)) == expected


def test_a_filter_is_a_chip_that_removes_it(acme, auditor):
    note(acme, object_id="gpt-4o")
    page = text(auditor, actor="ada@example.com", action="price.created", cursor="")
    chips = page.partition('class="chips"')[2].partition("</ul>")[0]
    hrefs = re.findall(r'href="([^"]+)"', chips)
    assert hrefs == ["?action=price.created", "?actor=ada%40example.com"]


def test_without_events_it_says_what_would_make_some(acme, auditor):
    assert "Nothing has happened yet" in text(auditor)
    assert "No event passes these filters" in text(auditor, actor="nobody")


@pytest.mark.parametrize(
    "query",
    [
        {"from": "yesterday"},
        {"to": "2026-13-01"},
        {"cursor": "nonsense"},
        {"cursor": "Yzc"},
        {"actor": "a\0b"},
        {"action": "x" * 201},
        {"from": "2026-01-03", "to": "2026-01-01"},
    ],
)
def test_what_cannot_be_read_is_told(acme, auditor, query):
    note(acme)
    answer = auditor.get(PATH, data=query)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.content.decode()
    assert titles(answer.content.decode()) == []


def test_its_queries_do_not_grow(acme, auditor, django_assert_max_num_queries):
    for _ in range(5):
        note(acme)
    with django_assert_max_num_queries(4):
        text(auditor)


def test_its_filter_keeps_the_mode(acme, auditor):
    note(acme)
    kept = '<input type="hidden" name="mode" value="test">'
    assert kept in text(auditor, mode="test")
    assert kept not in text(auditor)
