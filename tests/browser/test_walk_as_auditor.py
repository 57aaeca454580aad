"""The way of an auditor who has never seen Lucid, and has a log-in and ten minutes.

Find the most expensive run of last month, explain its cost, verify its receipts in a
browser of one's own, and leave with files that verify offline. Things are found as a
person finds them: by the words on the page.

Pictures of the way are kept where SCREENSHOTS names a folder.
"""

import os
import re
import subprocess
import sys
import time
import zipfile
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import log_in
from tests.browser.recorded import DEAR, NAME_OF_DEAR
from tests.slow.server import clean_environment

pytestmark = pytest.mark.slow

MINUTES = 10
VERIFIED = re.compile("Valid: .*verified in this browser")


@pytest.fixture
def picture(tmp_path):
    """Return what takes a numbered picture of a page."""
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    names = iter(range(1, 100))

    def take(page: Page, name: str) -> None:
        page.screenshot(path=folder / f"walk-{next(names)}-{name}.png")

    return take


def dollars(text: str) -> Decimal:
    """Read the first amount of a text."""
    (amount,) = re.findall(r"\$([\d,]+\.\d+)", text)[:1]
    return Decimal(amount.replace(",", ""))


def rows_of(page: Page, table: str) -> Locator:
    """Return the rows of a table, its head the first of them."""
    return page.get_by_role("region", name=table, exact=True).get_by_role("row")


def go_through(page: Page, door: str) -> None:
    page.get_by_role("navigation", name="Pages").get_by_role("link", name=door).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(door)


def find_dearest_run(page: Page, picture) -> None:
    go_through(page, "Costs")
    page.get_by_role("link", name="Last month").click()
    picture(page, "costs")
    rows_of(page, "The dearest runs").nth(1).get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(NAME_OF_DEAR)
    picture(page, "run")


def assert_cost_adds_up(page: Page) -> None:
    """Sum up what each call and step on the page cost."""
    charged = page.locator("dt", has_text="As charged").locator("+ dd").inner_text()
    calls = rows_of(page, "Calls")
    heads = calls.first.get_by_role("columnheader").all_inner_texts()
    place = next(i for i, head in enumerate(heads) if head.startswith("Cost"))
    cells = [row.get_by_role("cell").all_inner_texts() for row in calls.all()[1:]]
    assert len(cells) == DEAR + 1  # and the one that went through the gateway
    for_calls = sum(dollars(row[place]) for row in cells)
    said = [Decimal(it) for it in re.findall(r"\$([\d.]+)", charged)]
    assert said == [for_calls + said[2], for_calls, said[2]]
    assert said[2] == Decimal("0.0025")  # the guardrail's


def verify_receipt(page: Page) -> None:
    page.get_by_role("button", name="Verify in this browser").click()
    expect(page.get_by_text(VERIFIED)).to_be_visible()


def test_an_auditor_explains_verifies_and_carries_away(
    open_page, site, picture, tmp_path
):
    began = time.monotonic()
    page = open_page()
    page.goto("/")
    page.get_by_role("link", name="Log in").first.click()
    log_in(page, site, "auditor")
    picture(page, "overview")

    find_dearest_run(page, picture)
    assert site.names["run"] in page.inner_text("main")
    assert_cost_adds_up(page)

    run = page.url
    rows_of(page, "Calls").nth(1).get_by_role("link").last.click()
    verify_receipt(page)
    picture(page, "receipt-of-a-call")
    page.goto(run)
    ending = page.get_by_role("paragraph").filter(has_text="Completed")
    ending.get_by_role("link").last.click()
    verify_receipt(page)
    picture(page, "receipt-of-the-run")

    page.goto(run)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the evidence of this run").click()
    evidence = tmp_path / "evidence.zip"
    download.value.save_as(evidence)

    page.goto("/verify")
    page.get_by_label("Drop files here, or choose them").set_input_files(evidence)
    expect(page.get_by_text(VERIFIED)).to_be_visible()
    receipts = DEAR + 2  # of the call that was witnessed, and of the ending
    expect(page.get_by_text(f"Valid: {receipts} receipts")).to_be_visible()
    picture(page, "verified")

    assert_verifies_offline(evidence, tmp_path / "at-home")
    assert time.monotonic() - began < MINUTES * 60


def assert_verifies_offline(evidence: Path, folder: Path) -> None:
    """Run the verifier that came along, as its README says, where no server is."""
    with zipfile.ZipFile(evidence) as files:
        files.extractall(folder)
    done = subprocess.run(
        [sys.executable, "verify.py"],
        cwd=folder,
        env=clean_environment() | {"no_proxy": "*"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "VALID" in done.stdout
