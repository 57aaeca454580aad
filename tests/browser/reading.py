"""What a page is like for those who read it otherwise, or on little room."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

GRAVE = {"serious", "critical"}
AXE = Axe()
# Boxes that reach out of the page, the innermost ones.
WIDEST = """() => {
  const room = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= room) return [];
  const inScroller = (box) => {
    for (let up = box.parentElement; up; up = up.parentElement) {
      if (getComputedStyle(up).overflowX !== "visible") return up !== document.body
        && up !== document.documentElement;
    }
    return false;
  };
  return [...document.body.querySelectorAll("*")]
    .filter((box) => box.getBoundingClientRect().right > room + 1 && !inScroller(box))
    .map((box) => box.outerHTML.slice(0, 120));
}"""


def barriers(page: Page) -> list[str]:
    """Return what axe takes for a barrier, with the elements that are one."""
    found: list[dict[str, Any]] = AXE.run(page).response["violations"]
    return [
        f"{rule['id']} ({rule['help']}): {node['target']} {node['html'][:200]}"
        for rule in found
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
    ]


def beyond_the_edge(page: Page) -> list[str]:
    """Return what makes the whole page scroll sideways, if it does."""
    overhang = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    if overhang <= 0:
        return []
    return [f"{overhang} px too wide", *page.evaluate(WIDEST)]
