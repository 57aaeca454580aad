"""Every page in every role, light and dark, on a wide screen and on a phone.

That no page complains in the console or breaks its content policy is what `open_page`
sees to.
"""

import pytest

from tests.browser.conftest import WIDE
from tests.browser.pages import OF_STRANGERS, PAGES
from tests.browser.reading import barriers, beyond_the_edge

pytestmark = pytest.mark.slow

PHONE = 360
ZOOMED = WIDE // 2  # what is left of a wide screen at 200 %
SCHEMES = ("light", "dark")


def assert_sound(page):
    """Look at a page in all its looks: one assertion tells everything that is wrong."""
    wrong = []
    for width in (WIDE, ZOOMED, PHONE):
        page.set_viewport_size({"width": width, "height": 900})
        wrong += [f"at {width} px: {told}" for told in beyond_the_edge(page)]
    for width in (PHONE, WIDE):
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            wrong += [f"{scheme}, {width} px: {told}" for told in barriers(page)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("shown", PAGES, ids=lambda shown: shown.path)
def test_a_page_is_sound_in_every_role(open_page, site, shown, role):
    status = shown.status_for(role)
    page = open_page(role, allowed={status})
    answer = page.goto(site.address(shown.path))
    assert answer.status == status
    assert page.get_by_role("heading", level=1).count() == 1
    assert_sound(page)


@pytest.mark.parametrize("path", OF_STRANGERS)
def test_a_page_for_strangers_is_sound(stranger, path):
    assert stranger.goto(path).status == 200
    assert_sound(stranger)


@pytest.mark.parametrize("path", ["/nothing", "/t/nobody/audit"])
def test_a_page_that_is_not_there_is_sound(open_page, path):
    page = open_page("auditor", allowed={404})
    assert page.goto(path).status == 404
    assert_sound(page)
