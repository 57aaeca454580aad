"""Chromium at a real server, watched: a page that complains fails its test."""

import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Any, NoReturn

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser import clock
from tests.browser.recorded import MODEL, record_last_month, record_today
from tests.browser.site import LOGGED_OUT, ROLES, Site, add_people, names_of_terms
from tests.browser.watching import Watch
from tests.cluster import Cluster
from tests.slow.conftest import HAS_POSTGRESQL
from tests.slow.provider import Provider
from tests.slow.server import Account, Installation

WIDE = 1200
HEIGHT = 900
NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 10_000  # ms; a page takes 0.1 s, a shared machine now and then 20 times that

expect.set_options(timeout=PATIENCE)

OpenPage = Callable[..., Page]
SetClock = Callable[[Installation], AbstractContextManager[None]]


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of a Chromium."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    _do_without("a browser: apt-get install chromium")


@pytest.fixture(scope="session")
def last_month(tmp_path_factory) -> SetClock:
    """Return what sets the clock of an installation back, into the month before."""
    if shutil.which("cc") is None:
        _do_without("a C compiler: apt-get install gcc libc6-dev")
    library = clock.compile_library(tmp_path_factory.mktemp("clock"))
    moment = clock.in_last_month(datetime.now(UTC))
    return partial(clock.set_to, moment=moment, library=library)


def _do_without(what: str) -> NoReturn:
    """Fail in CI, where nothing may be missing; tell others."""
    if os.environ.get("CI"):
        pytest.fail(f"needs {what}")
    pytest.skip(f"needs {what}")


@pytest.fixture(scope="session")
def installation(chromium, last_month, tmp_path_factory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("site")
    if not HAS_POSTGRESQL:
        yield Installation(folder, f"sqlite:///{folder}/lucid.sqlite3")
        return
    cluster = Cluster()
    yield Installation(folder, cluster.url, cluster.url_as("lucid_app"))
    cluster.stop()


@pytest.fixture(scope="session")
def site(installation, last_month) -> Iterator[Site]:
    with last_month(installation):
        account = installation.new_account("acme")
        people = add_people(installation, account.slug)
        names = _record_last_month(installation, account)
    names |= names_of_terms(installation, account, people)
    with installation.server(LUCID_TLS="false") as server:
        with server.client(account) as client:
            names |= record_today(client)
        yield Site(installation, server, account, people, names)


def _record_last_month(installation: Installation, account: Account) -> dict[str, str]:
    installation.set_price(account, "custom", MODEL, input="2", output="8")
    with Provider() as provider:
        installation.set_provider(
            account, "custom", f"{provider.url}/v1", models=[MODEL]
        )
        with installation.server() as server, server.client(account) as client:
            return record_last_month(client, provider)


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
