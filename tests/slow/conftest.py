"""Installations that the tests of this folder share; each works in its own tenant."""

import os
from collections.abc import Iterator

import psycopg
import pytest

from tests.cluster import Cluster, programs
from tests.slow.full_run import FullRun
from tests.slow.issued import token_settings
from tests.slow.model import Model, is_installed
from tests.slow.server import Account, Installation, Server

HAS_POSTGRESQL = (
    not os.environ.get("DATABASE_URL", "").startswith("sqlite")
    and programs() is not None
)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL that tests may stop: not the one of the test run itself."""
    if not HAS_POSTGRESQL:
        pytest.skip("needs PostgreSQL's programs, and no DATABASE_URL of SQLite")
    made = Cluster()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def postgresql(cluster, tmp_path_factory) -> Installation:
    folder = tmp_path_factory.mktemp("postgresql")
    return Installation(folder, cluster.url, cluster.url_as("lucid_app"))


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory) -> Installation:
    folder = tmp_path_factory.mktemp("sqlite")
    return Installation(folder, f"sqlite:///{folder}/lucid.sqlite3")


@pytest.fixture(params=["postgresql", "sqlite"], scope="session")
def installation(request) -> Installation:
    """A test that asks for it runs on both databases."""
    made: Installation = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def account(installation) -> Account:
    return installation.new_account("acme")


@pytest.fixture
def server(installation) -> Iterator[Server]:
    with installation.server() as started:
        yield started


@pytest.fixture
def admin(cluster) -> Iterator[psycopg.Connection]:
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def default_installation(request) -> Installation:
    """The installation that a test asks for to which the database is all one."""
    name = "postgresql" if HAS_POSTGRESQL else "sqlite"
    made: Installation = request.getfixturevalue(name)
    return made


@pytest.fixture(scope="session")
def model() -> Iterator[Model]:
    if not is_installed():
        pytest.skip("the extra `demo` is not installed: make .venv/installed-demo")
    with Model() as started:
        yield started


@pytest.fixture(scope="session", params=["postgresql", "sqlite"])
def known_installation(request, tmp_path_factory) -> Iterator[Installation]:
    """One whose every secret and every row comes from `full_run`."""
    folder = tmp_path_factory.mktemp("known")
    if request.param == "sqlite":
        url = f"sqlite:///{folder}/lucid.sqlite3"
        yield Installation(folder, url, settings=token_settings())
        return
    if not HAS_POSTGRESQL:
        pytest.skip("needs PostgreSQL's programs, and no DATABASE_URL of SQLite")
    made = Cluster()
    role = made.url_as("lucid_app:d4t4b4sepw")
    yield Installation(folder, made.url, role, settings=token_settings())
    made.stop()


@pytest.fixture(scope="session")
def full_run(known_installation) -> FullRun:
    return FullRun(known_installation)
