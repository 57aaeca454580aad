"""Chooses the database of a test run, before Django reads its settings.

The one DATABASE_URL names; else a throw-away PostgreSQL cluster where the server's
programs are installed; else SQLite.
"""

import base64
import os
import secrets
import shutil
import tempfile

from tests.cluster import Cluster, programs

_folder = tempfile.mkdtemp(prefix="lucid-tests-")
_cluster: Cluster | None = None


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _choose() -> str:
    global _cluster
    if url := os.environ.get("DATABASE_URL"):
        return f"the database of DATABASE_URL ({url.partition(':')[0]})"
    if programs():
        _cluster = Cluster()
        os.environ["DATABASE_URL"] = _cluster.url
        return f"PostgreSQL {_cluster.version} in a throw-away cluster"
    os.environ["DATABASE_URL"] = f"sqlite:///{_folder}/lucid.sqlite3"
    return "SQLite, as PostgreSQL's server programs are not installed"


# Nothing of a developer's own installation is read or written.
os.environ["LUCID_DATA_DIR"] = _folder
os.environ["LUCID_SECRET_KEY"] = secrets.token_urlsafe(48)
os.environ["LUCID_MASTER_KEYS"] = f"m1:{_key()}"
os.environ["LUCID_API_KEY_PEPPERS"] = f"p1:{_key()}"
print(f"Testing on {_choose()}", flush=True)


def pytest_unconfigure() -> None:
    if _cluster:
        _cluster.stop()
    shutil.rmtree(_folder, ignore_errors=True)
