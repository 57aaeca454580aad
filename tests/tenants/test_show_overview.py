"""The first page after logging in: what one may do, and the doors to it."""

import re

import pytest

from tests.tenants.people import new_person

READS = ["Read orchestrations and their calls", "Read what was spent, and on what"]
AUDITS = [
    "Read receipts",
    "Verify receipts",
    "Export receipts and their evidence",
    "Read who did what in this tenant",
]
MANAGES = [
    "Issue, rotate and revoke keys",
    "Set prices and budgets",
    "Change this tenant&#x27;s name and limits, and publish its log",
    "Set providers and their credentials",
    "Add and remove members, and change their roles",
]
SEES = ["See who belongs to this tenant"]


RIGHTS = {
    "analyst": READS + SEES,
    "auditor": AUDITS + READS + SEES,
    "admin": AUDITS + READS + SEES + MANAGES,
}
ALL = {"analyst", "auditor", "admin"}
# In their order.
DOORS = {
    "Overview": ALL,
    "Receipts": {"auditor", "admin"},
    "Orchestrations": ALL,
    "Costs": ALL,
    "Exports": {"auditor", "admin"},
    "Keys": {"auditor", "admin"},
    "Members": ALL,
    "Access events": {"auditor", "admin"},
    "Settings": {"admin"},
    "Account": ALL,
    "Verify a file": ALL,
}


@pytest.mark.parametrize("role", RIGHTS)
def test_each_role_has_its_rights(acme, role):
    page = new_person(acme, role).get("/").content.decode()
    listed = page.partition('<ul class="rights">')[2].partition("</ul>")[0]
    assert sorted(re.findall("<li>(.+?)</li>", listed)) == sorted(RIGHTS[role])


@pytest.mark.parametrize("role", RIGHTS)
def test_each_role_has_the_doors_to_its_pages(acme, role):
    page = new_person(acme, role).get("/").content.decode()
    side = page.partition('<nav class="side"')[2].partition("</nav>")[0]
    found = re.findall('href="[^"]+"[^>]*>(.+?)</a>', side)
    assert found == [door for door, roles in DOORS.items() if role in roles]


def test_each_door_leads_to_a_page_of_that_tenant(acme, admin):
    page = admin.get("/").content.decode()
    side = page.partition('<nav class="side"')[2].partition("</nav>")[0]
    addresses = re.findall('href="([^"]+)"', side)
    assert addresses[0] == f"/t/{acme.slug}"
    assert addresses.pop() == "/verify"  # anybody's
    for address in addresses:
        there = admin.get(address)
        assert there.status_code == 200
        assert f'href="{address}" aria-current="page"' in there.content.decode()


@pytest.mark.parametrize(
    ("path", "door"),
    [
        ("costs/calls", "Costs"),
        ("costs/steps", "Costs"),
        ("keys/api", "Keys"),
        ("settings/prices", "Settings"),
        ("settings/providers/openai", "Settings"),
    ],
)
def test_a_page_behind_another_marks_its_door(acme, admin, path, door):
    for address in (f"/t/{acme.slug}/{path}", f"/{path}"):
        page = admin.get(address).content.decode()
        side = page.partition('<nav class="side"')[2].partition("</nav>")[0]
        assert re.findall('aria-current="true">(.+?)</a>', side) == [door]


def test_nobody_in_particular_sees_the_home_page(client):
    page = client.get("/").content.decode()
    assert "A notary for AI inference" in page
    assert 'href="/login"' in page
