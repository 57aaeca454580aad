"""What the other tests of this folder rely on: that a fault of a page is seen."""

import pytest
from playwright.sync_api import Page

from tests.browser.reading import barriers, beyond_the_edge
from tests.browser.watching import Watch

pytestmark = pytest.mark.slow

FAULTS = {
    "console error: told": "console.error('told')",
    "console warning: warned": "console.warn('warned')",
    "script: broken": "setTimeout(() => { throw new Error('broken') })",
    "CSP: style-src": "document.body.setAttribute('style', 'color: red')",
    "CSP: script-src": "document.body.append(Object.assign("
    "document.createElement('script'), {textContent: '1'}))",
    "CSP: connect-src": "fetch('http://127.0.0.2/').catch(() => 0)",
    "request: ": "fetch('/lost').catch(() => 0)",
    "answer: 404 of ": "fetch('/nothing')",
}


@pytest.fixture
def page(browser, site):
    context = browser.new_context(base_url=site.url)
    context.route("**/lost", lambda route: route.abort())
    yield context.new_page()
    context.close()


@pytest.mark.parametrize(("told", "fault"), FAULTS.items(), ids=list(FAULTS))
def test_a_fault_of_a_page_is_a_complaint(page: Page, told, fault):
    watch = Watch(page)
    page.goto("/login")
    assert watch.complaints == []
    page.evaluate(f"() => {{ {fault} }}")
    page.wait_for_timeout(300)
    assert any(told in complaint for complaint in watch.complaints), watch.complaints


def test_a_status_is_a_complaint_unless_it_was_expected(page: Page):
    watch, knowing = Watch(page), Watch(page, {404})
    page.goto("/nothing")
    assert [told[:15] for told in watch.complaints] == ["answer: 404 of "]
    assert knowing.complaints == []


def test_a_page_that_is_too_wide_is_seen(page: Page):
    page.goto("/login")
    assert beyond_the_edge(page) == []
    page.evaluate("document.querySelector('h1').style.width = '3000px'")
    assert any("<h1" in told for told in beyond_the_edge(page))


def test_a_barrier_is_seen(page: Page):
    page.goto("/login")
    assert barriers(page) == []
    page.evaluate("document.querySelector('h1').style.color = '#eee'")
    page.evaluate("document.querySelectorAll('label').forEach((it) => it.remove())")
    found = {told.partition(" ")[0] for told in barriers(page)}
    assert found >= {"color-contrast", "label"}
