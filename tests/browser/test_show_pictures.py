"""docs/dashboard.md shows the pictures that docs/take_screenshots.py takes."""

import re
import runpy

from tests.slow.server import ROOT


def test_each_picture_is_shown_and_each_shown_is_taken():
    shots = runpy.run_path(str(ROOT / "docs" / "take_screenshots.py"))["SHOTS"]
    text = (ROOT / "docs" / "dashboard.md").read_text()
    shown = re.findall(r"!\[[^]]+\]\(screenshots/([\w-]+)\.png\)", text)
    assert sorted(shown) == sorted(shot.name for shot in shots)


def test_the_contents_lead_to_headings():
    text = (ROOT / "docs" / "dashboard.md").read_text()
    links = re.findall(r"\]\(#([\w-]+)\)", text)
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", it).lower().replace(" ", "-") for it in headings}
    assert set(links) == anchors - {"ten-minutes"}
