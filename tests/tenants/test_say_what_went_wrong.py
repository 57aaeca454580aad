"""Pages of errors say what happened, what was not lost, and what to do."""

import re
from typing import Any

import pytest
from django.test import Client, RequestFactory

from lucid.api.errors import server_error
from tests.tenants.people import Person, new_person, new_user


def text_of(answer: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


@pytest.fixture
def admin(acme) -> Person:
    return new_person(acme, "admin")


def test_what_is_not_there(database):
    answer = Client().get("/nothing")
    assert answer.status_code == 404
    assert "Nothing was changed. Check the address" in text_of(answer)


def test_what_cannot_be_read(database):
    answer = Client().post("/login", {f"field{n}": "" for n in range(1001)})
    assert answer.status_code == 400
    assert "Nothing was changed. Go back" in text_of(answer)


def test_what_an_account_may_not_do(database):
    """An operator may be given some of the admin alone."""
    person = Person(new_user(is_staff=True))
    person.client.force_login(person.user)
    answer = person.get("/admin/tenants/tenant/")
    assert answer.status_code == 403
    assert "Your account lacks the right to it" in text_of(answer)


def test_a_fault_of_ours_has_a_number_to_tell_of():
    request = RequestFactory().get("/audit")
    request.request_id = "req_17"  # type: ignore[attr-defined]
    answer = server_error(request)
    assert answer.status_code == 500
    assert "Receipts that were made are in the log" in text_of(answer)
    assert "with this number: req_17" in text_of(answer)


def test_a_tenant_that_is_suspended(acme, admin):
    acme.set_status("suspended")
    assert "its receipts stay in the log" in text_of(admin.get("/"))


def test_a_form_names_what_is_wrong_and_leads_to_it(admin):
    answer = admin.post("/settings", {"name": ""})
    assert '<a href="#id_name">Name</a>: This field is required.' in (
        answer.content.decode()
    )


def test_what_is_wrong_with_no_one_field_is_said_once(acme, admin):
    (membership,) = admin.user.memberships.all()
    answer = admin.post(f"/members/{membership.pk}", {"role": "auditor"})
    text = answer.content.decode()
    assert text.count("is the last admin") == 1
    assert "<ul></ul>" not in re.sub(r"\s", "", text)
