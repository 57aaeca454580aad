"""On paper a page is a document, which says where it is from and how to check it."""

import pytest
from playwright.sync_api import expect

from tests.browser.reading import beyond_the_edge

pytestmark = pytest.mark.slow

A4 = 718  # px between margins
PRINTED = [
    "/receipts/{receipt}",
    "/receipts",
    "/orchestrations/{run}",
    "/orchestrations/{odd}",
    "/costs",
    "/costs/calls",
    "/keys",
    "/audit",
]


@pytest.fixture
def printed(open_page, site):
    def printed(path, **options):
        page = open_page("auditor", width=A4, **options)
        page.goto(site.address(path))
        page.emulate_media(media="print")
        return page

    return printed


@pytest.mark.parametrize("path", PRINTED)
def test_a_page_fills_the_paper_and_says_where_it_is_from(printed, path):
    page = printed(path)
    assert page.locator("main").bounding_box()["width"] > 0.9 * A4
    assert not beyond_the_edge(page)
    expect(page.get_by_text(f"at {page.url}").first).to_be_visible()
    assert not page.locator(":is(header, nav, button):visible").count()


@pytest.mark.parametrize("path", PRINTED[1:])
def test_a_report_says_how_to_check_it(printed, path):
    expect(printed(path).get_by_text("To check what is printed here")).to_be_visible()


def test_a_receipt_says_how_to_check_it(printed):
    page = printed(PRINTED[0])
    expect(page.get_by_text("python -m receipts.verifier")).to_be_visible()
    expect(page.get_by_text("To check what is printed here")).to_have_count(0)


def test_times_on_paper_are_whole(printed):
    page = printed("/audit")
    style = "getComputedStyle(document.querySelector('td time'), '::after')"
    assert page.evaluate(f"{style}.content").endswith(' UTC"')


def test_a_dark_page_is_printed_light(printed):
    page = printed("/audit")
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    text = page.evaluate("getComputedStyle(document.body).color")
    assert text == "rgb(28, 31, 35)"
