"""Somebody of several tenants sees one at a time, and says which."""

import pytest

from tenants.models import Membership
from tests.conftest import new_tenant
from tests.tenants.people import new_person


@pytest.fixture
def two(database):
    """Tenants of one person, who audits the first and is an analyst of the second."""
    tenants = [new_tenant("aaa"), new_tenant("bbb")]
    person = new_person(tenants[0], "auditor")
    Membership.objects.create(tenant=tenants[1], user=person.user, role="analyst")
    return person, *tenants


def heading(answer):
    return answer.content.decode().partition("<h1>")[2].partition("</h1>")[0]


def test_the_first_is_shown_until_one_is_chosen(two):
    person, first, second = two
    assert heading(person.get("/")) == first.name
    answer = person.post("/switch", {"tenant": second.slug})
    assert answer["Location"] == f"/t/{second.slug}"
    assert heading(person.get("/")) == second.name


def test_an_address_that_names_one_goes_before_the_choice(two):
    person, first, second = two
    person.post("/switch", {"tenant": second.slug})
    assert heading(person.get(f"/t/{first.slug}")) == first.name
    assert heading(person.get("/")) == second.name


def test_the_role_is_that_of_the_tenant(two):
    person, first, second = two
    assert person.get(f"/t/{first.slug}/audit").status_code == 200
    assert person.get(f"/t/{second.slug}/audit").status_code == 403
    person.post("/switch", {"tenant": second.slug})
    assert person.get("/audit").status_code == 403


def test_nobody_switches_to_a_tenant_of_others(two, acme):
    person, first, _ = two
    assert person.post("/switch", {"tenant": acme.slug}).status_code == 404
    assert heading(person.get("/")) == first.name


def test_a_choice_that_one_belongs_to_no_more_is_forgotten(two):
    person, first, second = two
    person.post("/switch", {"tenant": second.slug})
    Membership.objects.filter(tenant=second).delete()
    assert heading(person.get("/")) == first.name


def test_there_is_a_switcher_for_those_of_several_only(two, auditor):
    person, *_ = two
    assert 'action="/switch"' in person.get("/").content.decode()
    assert 'action="/switch"' not in auditor.get("/").content.decode()


def test_one_can_switch_away_from_a_suspended_tenant(two):
    person, first, second = two
    first.set_status("suspended")
    assert 'action="/switch"' in person.get("/").content.decode()
    answer = person.client.post("/switch", {"tenant": second.slug}, follow=True)
    assert heading(answer) == second.name
