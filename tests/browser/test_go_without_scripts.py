"""Every page where no script runs: scripts add comfort, and nothing else."""

import pytest

from tests.browser.conftest import log_in
from tests.browser.pages import PAGES

pytestmark = pytest.mark.slow

ADDRESSES = "all => all.map(it => it.getAttribute('href')).sort()"


def links(page):
    return page.locator("main a[href]").evaluate_all(ADDRESSES)


@pytest.mark.parametrize("shown", PAGES, ids=lambda shown: shown.path)
def test_a_page_says_and_leads_to_the_same(open_page, site, shown):
    address, status = site.address(shown.path), shown.status_for("admin")
    usual = open_page("admin", allowed={status})
    plain = open_page("admin", allowed={status}, java_script_enabled=False)
    for page in (usual, plain):
        assert page.goto(address).status == status
    assert links(plain) == links(usual)
    headings = [
        page.get_by_role("heading").all_inner_texts() for page in (plain, usual)
    ]
    assert headings[0] == headings[1] != []


def test_people_come_in_look_for_something_and_go(open_page, site):
    page = open_page(java_script_enabled=False)
    log_in(page, site, "auditor")
    page.goto("/audit")
    page.get_by_text("Filter", exact=True).click()
    page.get_by_label("What", exact=True).fill("member.added")
    page.get_by_role("button", name="Show").click()
    assert page.get_by_role("row").count() > 1
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("link", name="Log in").first.wait_for()
