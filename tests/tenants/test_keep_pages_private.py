"""Every page, asked for by nobody, by an outsider and by each role.

A page that is not in the table below fails the test: whoever adds one says here who
may see it.
"""

import re
from typing import Any, NamedTuple

import pytest
from django.test import Client
from django.urls import get_resolver

from tests.api.test_keep_outsiders_out import routes
from tests.tenants.people import Person, new_person, new_user

NOT_PAGES = ("v1/", "log/", "admin/")
EVERYONE = {"auditor", "analyst", "admin"}
AUDITORS = {"auditor", "admin"}
ADMINS = {"admin"}


class Page(NamedTuple):
    path: str
    roles: set[str]  # whose request is answered; the others' is refused in words
    post: dict[str, str] | None = None
    status: int = 200


OF_NOBODY = {
    "": "the home page, to whoever is not logged in",
    "login": "the way in",
    "logout": "the way out",
    "favicon.ico": "the icon, by the name that browsers guess",
}
OF_A_PERSON = {
    "account": Page("/account", EVERYONE),
    "switch": Page("/switch", EVERYONE, {"tenant": "{slug}"}, 302),
}
MEMBER = "/members/{member}"
OF_A_TENANT = {
    "t/<slug:slug>": Page("/t/{slug}", EVERYONE),
    "audit": Page("/audit", AUDITORS),
    "t/<slug:slug>/audit": Page("/t/{slug}/audit", AUDITORS),
    "members": Page("/members", EVERYONE),
    "t/<slug:slug>/members": Page("/t/{slug}/members", EVERYONE),
    "members/<uuid:member_id>": Page(MEMBER, ADMINS),
    "t/<slug:slug>/members/<uuid:member_id>": Page(
        "/t/{slug}/members/{member}", ADMINS
    ),
    "members/<uuid:member_id>/remove": Page(
        MEMBER + "/remove", ADMINS, {"email": "{email}"}, 302
    ),
    "t/<slug:slug>/members/<uuid:member_id>/remove": Page(
        "/t/{slug}" + MEMBER + "/remove", ADMINS, {"email": "{email}"}, 302
    ),
}
# What is changed at an address that others may read.
CHANGES = {
    "add": Page("/t/{slug}/members", ADMINS, {"email": "{new}", "role": "admin"}, 302),
    "change": Page("/t/{slug}/members/{member}", ADMINS, {"role": "admin"}, 302),
}
PRIVATE = OF_A_PERSON | OF_A_TENANT | CHANGES
NAMED = {route: page for route, page in PRIVATE.items() if "{slug}" in page.path}


def each(pages: dict[str, Page]) -> Any:
    return pytest.mark.parametrize("page", pages.values(), ids=list(pages))


@pytest.fixture
def names(acme, auditor) -> dict[str, str]:
    """What there is of Acme: a member, and one who could be."""
    (membership,) = auditor.user.memberships.all()
    return {
        "slug": acme.slug,
        "member": str(membership.pk),
        "email": auditor.user.email,
        "new": new_user().email,
    }


def ask(client: Client | Person, page: Page, names: dict[str, str]) -> Any:
    path = page.path.format_map(names)
    if page.post is None:
        return client.get(path)
    filled = {name: value.format_map(names) for name, value in page.post.items()}
    return client.post(path, filled)


def test_every_page_is_in_the_table():
    pages = {
        route for route in routes(get_resolver()) if not route.startswith(NOT_PAGES)
    }
    assert pages == OF_NOBODY.keys() | OF_A_PERSON.keys() | OF_A_TENANT.keys()


@each(PRIVATE)
def test_nobody_is_sent_to_the_log_in(names, page):
    answer = ask(Client(), page, names)
    path = page.path.format_map(names)
    assert (answer.status_code, answer["Location"]) == (302, f"/login?next={path}")


@each(NAMED)
def test_an_outsider_is_told_what_is_told_of_nothing(names, outsider, page):
    answers = [
        ask(outsider, page, there)
        for there in (names, names | {"slug": "nobody", "email": "nobody"})
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content


@each(NAMED)
def test_an_operator_is_an_outsider(names, operator_person, page):
    assert ask(operator_person, page, names).status_code == 404


@pytest.fixture
def operator_person(database) -> Person:
    person = Person(new_user(is_staff=True, is_superuser=True))
    person.client.force_login(person.user)
    return person


@each(OF_A_TENANT)
def test_an_outsider_sees_nothing_of_acme(names, outsider, page):
    text = ask(outsider, page, names).content.decode()
    for secret in (names["slug"], names["email"], names["member"]):
        assert secret not in text


@each({r: p for r, p in OF_A_TENANT.items() if "{member}" in p.path})
def test_a_member_of_another_tenant_is_not_found(names, outsider, page):
    own = Page(page.path.removeprefix("/t/{slug}"), page.roles, page.post)
    assert ask(outsider, own, names).status_code == 404


@pytest.mark.parametrize("role", sorted(EVERYONE))
@each(PRIVATE)
def test_each_role_may_do_what_it_may(acme, names, page, role):
    person = new_person(acme, role)
    answer = ask(person, page, names)
    assert answer.status_code == (page.status if role in page.roles else 403)
    if role not in page.roles:
        assert "Your role does not reach this far" in answer.content.decode()


@each(OF_A_TENANT)
def test_a_member_of_nothing_is_told_so(names, page):
    person = Person(new_user())
    person.client.force_login(person.user)
    answer = ask(person, page, names)
    if "{slug}" in page.path:
        assert answer.status_code == 404
    else:
        assert answer.status_code == 403
        assert "You belong to no tenant yet" in answer.content.decode()


@each(OF_A_TENANT)
def test_a_suspended_tenant_shows_that_and_no_data(acme, admin, names, page):
    acme.set_status("suspended")
    answer = ask(admin, page, names)
    assert answer.status_code == 403
    text = answer.content.decode()
    assert "is suspended" in text
    assert names["email"] not in text


@each(PRIVATE)
def test_pages_stay_in_no_cache(acme, admin, names, page):
    assert "no-store" in ask(admin, page, names)["Cache-Control"]


@each({route: page for route, page in PRIVATE.items() if page.post})
def test_a_change_from_another_site_is_refused(acme, admin, names, page):
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(admin.user)
    answer = ask(careful, page, names)
    assert answer.status_code == 403
    assert "The form is too old" in answer.content.decode()


@pytest.mark.parametrize("path", ["/logout", "/switch"])
def test_a_link_changes_nothing(admin, path):
    assert admin.get(path).status_code == 405


def test_pages_have_neither_script_nor_style_of_their_own(acme, admin, names):
    """The policy would keep a browser from using it."""
    for page in PRIVATE.values():
        text = ask(admin, page, names).content.decode()
        assert not re.search(r"<script(?! src=)|<style|style=| on[a-z]+=", text)
