"""Every page by those who have a keyboard and no mouse."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.pages import PAGES

pytestmark = pytest.mark.slow

MOST = 600  # places on a page where Tab stops
# What can be clicked or filled in and is there to be seen, and Tab never came to.
MISSED = """() => [...document.querySelectorAll(
  "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']"
)].filter((it) => it.checkVisibility({visibilityProperty: true}) && !it.disabled
  && !(it.type === "radio" && !it.checked) && !window.reached.has(it))
  .map((it) => it.outerHTML.slice(0, 120))"""
# The element that has the focus: none of the page's, or whether it can be seen.
FOCUS = """() => {
  const it = document.activeElement;
  if (it === document.body) return null;
  const isNew = !(window.reached ??= new Set()).has(it);
  window.reached.add(it);
  const {left, right, top, bottom} = it.getBoundingClientRect();
  const style = getComputedStyle(it);
  return {
    isNew,
    html: it.outerHTML.slice(0, 120),
    isMarked: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0,
    isInSight: right > 0 && bottom > 0 && left < innerWidth && top < innerHeight,
  };
}"""


def walk(page):
    """Press Tab through the whole page; return where it stopped."""
    stops: list[dict[str, Any]] = []
    for _ in range(MOST):
        page.keyboard.press("Tab")
        focus = page.evaluate(FOCUS)
        if focus is None:
            return stops
        if focus["isNew"]:  # and no further part of a field for dates
            stops.append(focus)
    raise AssertionError("Tab has no end on this page")


@pytest.mark.parametrize("shown", PAGES, ids=lambda shown: shown.path)
def test_tab_reaches_everything_and_shows_where_it_is(open_page, site, shown):
    page = open_page("admin", allowed={shown.status_for("admin")})
    page.goto(site.address(shown.path))
    stops = walk(page)
    assert [stop for stop in stops if not stop["isMarked"]] == []
    assert [stop for stop in stops if not stop["isInSight"]] == []
    assert page.evaluate(MISSED) == []


def test_the_first_stop_leads_past_the_navigation(auditor):
    auditor.goto("/")
    auditor.keyboard.press("Tab")
    assert auditor.evaluate("document.activeElement.textContent") == "Skip to content"
    assert auditor.evaluate(FOCUS)["isInSight"]
    auditor.keyboard.press("Enter")
    assert auditor.evaluate("document.activeElement.id") == "main"
    auditor.keyboard.press("Tab")
    assert auditor.evaluate(
        "document.getElementById('main').contains(document.activeElement)"
    )


def test_the_way_in_and_out_takes_no_mouse(stranger, site):
    person = site.people["analyst"]
    stranger.goto("/login")
    stranger.keyboard.type(person.email)  # the field has the focus
    stranger.keyboard.press("Tab")
    stranger.keyboard.type(person.password)
    stranger.keyboard.press("Enter")
    stranger.get_by_role("button", name="Log out").focus()
    stranger.keyboard.press("Enter")
    stranger.get_by_role("link", name="Log in").first.wait_for()


def test_the_pages_are_gone_through_by_keyboard(auditor):
    auditor.goto("/")
    auditor.get_by_role("navigation", name="Pages").get_by_role(
        "link", name="Access events"
    ).focus()
    auditor.keyboard.press("Enter")
    auditor.get_by_role("heading", name="Access events").wait_for()


def test_a_filter_is_set_by_keyboard(auditor):
    auditor.goto("/audit")
    auditor.get_by_text("Filter", exact=True).focus()
    auditor.keyboard.press("Enter")
    auditor.keyboard.press("Tab")
    auditor.keyboard.type("member.added")
    auditor.keyboard.press("Enter")
    auditor.get_by_role("link", name="Remove").wait_for()
    assert "member.added" in auditor.url


def test_the_pages_unfold_on_a_phone(open_page):
    page = open_page("auditor", width=360, java_script_enabled=False)
    page.goto("/audit")
    pages = page.get_by_role("navigation", name="Pages", exact=True)
    expect(pages.get_by_role("link")).to_have_count(0)
    summary = pages.locator("summary")
    expect(summary).to_have_text("Pages Access events")
    summary.focus()
    page.keyboard.press("Enter")
    for door in pages.get_by_role("link").all():
        assert door.bounding_box()["height"] >= 44
    pages.get_by_role("link", name="Costs").click()
    page.get_by_role("heading", name="Costs", exact=True).wait_for()
