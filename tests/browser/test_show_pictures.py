"""docs/dashboard.md shows the pictures that docs/take_screenshots.py takes."""

import re
import runpy

import pytest

from tests.browser.pages import PAGES, SIGHTS
from tests.slow.server import ROOT


@pytest.fixture(scope="module")
def shots():
    return runpy.run_path(str(ROOT / "docs" / "take_screenshots.py"))["SHOTS"]


def test_there_is_a_picture_of_each_page(shots):
    pages = {page.path for page in PAGES if page.status == 200}
    pages -= {path for _, path, _ in SIGHTS}
    pages |= {"/login", "/verify"}
    taken = {shot.leads_to or shot.path.partition("#")[0] for shot in shots}
    taken = {path.partition("?")[0] for path in taken}
    assert pages - {"/t/{slug}"} <= taken  # which is the overview


def test_each_picture_is_shown_and_each_shown_is_taken(shots):
    text = (ROOT / "docs" / "dashboard.md").read_text()
    shown = re.findall(r"!\[[^]]+\]\(screenshots/([\w-]+)\.png\)", text)
    assert sorted(shown) == sorted(shot.name for shot in shots)


def test_the_contents_lead_to_headings():
    text = (ROOT / "docs" / "dashboard.md").read_text()
    links = re.findall(r"\]\(#([\w-]+)\)", text)
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", it).lower().replace(" ", "-") for it in headings}
    assert set(links) == anchors - {"ten-minutes"}
