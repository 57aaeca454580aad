"""Chromium at a real server, watched: a page that complains fails its test."""

import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.site import LOGGED_OUT, ROLES, Site, add_people, membership_of
from tests.browser.watching import Watch
from tests.cluster import Cluster
from tests.slow.conftest import HAS_POSTGRESQL
from tests.slow.server import Installation

WIDE = 1200
HEIGHT = 900
NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 10_000  # ms; a page takes 0.1 s, a shared machine now and then 20 times that

OpenPage = Callable[..., Page]


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of a Chromium; where there is none CI fails, others are told."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    why = "needs a browser: apt-get install chromium"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="session")
def installation(chromium, tmp_path_factory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("site")
    if not HAS_POSTGRESQL:
        yield Installation(folder, f"sqlite:///{folder}/lucid.sqlite3")
        return
    cluster = Cluster()
    yield Installation(folder, cluster.url, cluster.url_as("lucid_app"))
    cluster.stop()


@pytest.fixture(scope="session")
def site(installation) -> Iterator[Site]:
    account = installation.new_account("acme")
    people = add_people(installation, account.slug)
    names = {"member": membership_of(installation, people["analyst"])}
    with installation.server(LUCID_TLS="false") as server:
        with server.client(account):
            pass
        yield Site(installation, server, account.slug, people, names)


@pytest.fixture(scope="module")
def browser(chromium) -> Iterator[Browser]:
    """Of one module only: while it is there Django takes this thread for an async one.

    Tests of other modules ask Django for rows in it.
    """
    # Root needs it, as in containers; pages of our own are all that it opens.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser, site) -> Iterator[OpenPage]:
    """Return a function that opens a page in the browser of somebody with a role."""
    watches: list[Watch] = []
    with ExitStack() as stack:

        def open_page(
            role: str | None = LOGGED_OUT,
            *,
            allowed: Collection[int] = (),
            width: int = WIDE,
            **options: Any,
        ) -> Page:
            context = browser.new_context(
                base_url=site.url,
                viewport={"width": width, "height": HEIGHT},
                timezone_id="Europe/Berlin",
                storage_state=_session(browser, site, role) if role else None,
                **options,
            )
            stack.callback(context.close)
            context.set_default_timeout(PATIENCE)
            page = context.new_page()
            watches.append(Watch(page, allowed))
            return page

        yield open_page
    complaints = [complaint for watch in watches for complaint in watch.complaints]
    assert complaints == []


def _session(browser: Browser, site: Site, role: str) -> Any:
    """Log in as a person does, the first time."""
    if role not in site.sessions:
        context = browser.new_context(base_url=site.url)
        page = context.new_page()
        log_in(page, site, role)
        site.sessions[role] = context.storage_state()
        context.close()
    return site.sessions[role]


def log_in(page: Page, site: Site, role: str) -> None:
    person = site.people[role]
    page.goto("/login")
    page.get_by_label("E-mail").fill(person.email)
    page.get_by_label("Password").fill(person.password)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", level=1).wait_for()


@pytest.fixture
def stranger(open_page) -> Page:
    """A page of somebody who has not logged in."""
    return open_page(LOGGED_OUT)


@pytest.fixture
def analyst(open_page) -> Page:
    return open_page("analyst")


@pytest.fixture
def auditor(open_page) -> Page:
    return open_page("auditor")


@pytest.fixture
def admin(open_page) -> Page:
    return open_page("admin")


@pytest.fixture(params=ROLES)
def role(request) -> str:
    return str(request.param)
