"""Takes the pictures of docs/dashboard.md (`make screenshots`).

Starts `make demo` with a database of its own, waits until its agents have done their
work with the real model, and goes through the pages in Chromium as the person whose
log-in the demo prints.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path(__file__).with_name("screenshots")
AGENTS_SECONDS = 300  # of a small model on a slow machine
DONE = "The agents are done."
WIDE, PHONE, HEIGHT = 1200, 360, 900
MOST_BYTES = 200_000


class Shot(NamedTuple):
    name: str
    path: str  # names in braces are of the demo; what is after # is scrolled to
    scheme: str = "light"
    width: int = WIDE
    press: str = ""  # a button
    wait_for: str = ""  # words, once it is pressed
    follow: str = ""  # how the first link begins that leads from there to the next
    leads_to: str = ""  # which page that is
    is_logged_in: bool = True


SHOTS = [
    Shot("log-in", "/login", is_logged_in=False),
    Shot("overview", "/"),
    Shot("overview-dark", "/", "dark"),
    Shot("receipts", "/receipts"),
    Shot("receipt", "/receipts/{receipt}"),
    Shot("receipt-phone", "/receipts/{receipt}", width=PHONE),
    Shot(
        "verified-here",
        "/receipts/{receipt}#verify-here",
        press="Verify in this browser",
        wait_for="Valid: ",
    ),
    Shot("orchestrations", "/orchestrations"),
    Shot("orchestration", "/orchestrations/{run}"),
    Shot("orchestration-incomplete", "/orchestrations/{gap}#sequence"),
    Shot("costs", "/costs?by=agent"),
    Shot("costs-dark", "/costs", "dark"),
    Shot("calls", "/costs/calls"),
    Shot("steps", "/costs/steps"),
    Shot("exports", "/exports"),
    Shot("keys", "/keys"),
    Shot("key-rotate", "/keys", follow="Rotate", leads_to="/keys/{kid}/rotate"),
    Shot("key-revoke", "/keys", follow="Revoke", leads_to="/keys/{kid}/revoke"),
    Shot("api-keys", "/keys/api"),
    Shot(
        "api-key-rotate",
        "/keys/api",
        follow="Rotate",
        leads_to="/keys/api/{api_key}/rotate",
    ),
    Shot(
        "api-key-revoke",
        "/keys/api",
        follow="Revoke",
        leads_to="/keys/api/{api_key}/revoke",
    ),
    Shot("members", "/members"),
    Shot("member", "/members", follow="Change", leads_to="/members/{member}"),
    Shot("audit", "/audit"),
    Shot("settings", "/settings"),
    Shot("prices", "/settings/prices"),
    Shot(
        "price-end",
        "/settings/prices",
        follow="End",
        leads_to="/settings/prices/{price}/end",
    ),
    Shot(
        "provider",
        "/settings",
        follow="Change",
        leads_to="/settings/providers/{provider}",
    ),
    Shot(
        "provider-remove",
        "/settings",
        follow="Remove",
        leads_to="/settings/providers/{provider}/remove",
    ),
    Shot("public-log", "/settings/public-log"),
    Shot("account", "/account"),
    Shot("verify", "/verify"),
]


class Demo(NamedTuple):
    url: str
    key: str
    email: str
    password: str

    def read(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = httpx.get(self.url + path, headers=headers, trust_env=False)
        return answer.raise_for_status().json()

    def names(self) -> dict[str, str]:
        """Find the run with most steps, one that misses a call, and a receipt."""
        runs = self.read("/v1/orchestrations?limit=200")["orchestrations"]
        whole = [self.read(f"/v1/orchestrations/{run['id']}") for run in runs]
        receipts = self.read("/v1/receipts?limit=200")["receipts"]
        return {
            "run": max(runs, key=lambda run: run["step_count"])["id"],
            "gap": next(run["id"] for run in whole if run["sequence"]["missing"]),
            "receipt": next(
                receipt["receipt_id"]
                for receipt in receipts
                if receipt.get("observed") == "witnessed"
                and receipt.get("outcome") == "completed"
            ),
        }


@contextmanager
def demo() -> Iterator[Demo]:
    with tempfile.TemporaryDirectory(prefix="lucid-demo-") as folder:
        environment = os.environ | {
            "LUCID_DATA_DIR": folder,
            "DATABASE_URL": "",  # SQLite, in that folder
            "PORT": "8765",
            "PYTHONUNBUFFERED": "1",
        }
        process = subprocess.Popen(
            [sys.executable, "manage.py", "demo"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield _read(process)
        finally:
            process.terminate()
            process.communicate()


def _read(process: "subprocess.Popen[str]") -> Demo:
    """Return what the demo prints, once its agents are done."""
    printed = ""
    deadline = time.monotonic() + AGENTS_SECONDS
    assert process.stdout  # noqa: S101  it is a pipe
    for line in process.stdout:
        print(line, end="")
        printed += line
        if DONE in line:
            break
        if time.monotonic() > deadline:
            sys.exit("The agents did not come to an end.")
    if DONE not in printed:
        sys.exit("The demo has ended before its agents were done.")
    url, email, password = re.findall(r"Login +(\S+)/login +(\S+) +(\S+)", printed)[0]
    return Demo(url, re.findall(r"lk_test_\w+", printed)[0], email, password)


def log_in(page: Page, demo: Demo) -> None:
    page.goto("/login")
    page.get_by_label("E-mail address").fill(demo.email)
    page.get_by_label("Password").fill(demo.password)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Log out").wait_for()


def take(
    browser: Browser, url: str, session: Any, names: dict[str, str], shot: Shot
) -> None:
    context = browser.new_context(
        base_url=url,
        storage_state=session if shot.is_logged_in else None,
        viewport={"width": shot.width, "height": HEIGHT},
        color_scheme="dark" if shot.scheme == "dark" else "light",
        reduced_motion="reduce",
        timezone_id="Europe/Berlin",
    )
    page = context.new_page()
    address = urlsplit(shot.path.format_map(names))
    # All data of the demo is test data.
    query = "&".join(filter(None, [address.query, "mode=test"]))
    answer = page.goto(address._replace(query=query).geturl())
    if answer is None or answer.status != 200:
        sys.exit(f"{shot.path}: {answer and answer.status}")
    if shot.follow:
        page.get_by_role("link", name=re.compile(rf"^{shot.follow}\b")).first.click()
        there = re.sub(r"{\w+}", "[^/]+", shot.leads_to)
        page.wait_for_url(re.compile(rf"{there}(\?|$)"))
    if shot.press:
        page.get_by_role("button", name=shot.press).click()
        page.get_by_text(shot.wait_for).first.wait_for()
    file = FOLDER / f"{shot.name}.png"
    page.screenshot(path=file)
    context.close()
    print(f"{file.name}: {file.stat().st_size // 1000} kB")
    if file.stat().st_size > MOST_BYTES:
        sys.exit(f"{file.name} is too large to be kept.")


def main(wanted: list[str]) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("There is no Chromium: apt-get install chromium")
    FOLDER.mkdir(exist_ok=True)
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with demo() as started, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        context = browser.new_context(base_url=started.url)
        log_in(context.new_page(), started)
        session = context.storage_state()
        found = started.names()
        for shot in SHOTS:
            if not wanted or shot.name in wanted:
                take(browser, started.url, session, found, shot)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
