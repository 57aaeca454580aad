"""What Lucid is measured against: a bare Django project with two views.

`/floor` signs a receipt and commits it with one INSERT: no key, no checks, no log.
`/row-lock` also keeps a log, the plain way: every receipt locks the log's row.
Both hold one psycopg connection for each thread and prepared statements, which was
quicker than Django's own connections and than a pool, Django's or psycopg's.
Served as `bench.floor:application`; `python -m bench.floor` makes the tables.
"""

import hashlib
import os
import threading
from typing import Any

import django
import msgspec
import psycopg
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.http import require_POST

from receipts import canonical, note
from receipts.checkpoint import Checkpoint
from receipts.ed25519 import Signer
from receipts.merkle import Frontier, leaf_hash

TABLES = """
    CREATE TABLE bench_receipt (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        entry bytea NOT NULL, receipt_hash bytea NOT NULL,
        run_id text NOT NULL UNIQUE
    );
    CREATE TABLE bench_log_receipt (
        leaf_index bigint PRIMARY KEY,
        entry bytea NOT NULL, receipt_hash bytea NOT NULL,
        run_id text NOT NULL UNIQUE
    );
    CREATE TABLE bench_log (
        id bigint PRIMARY KEY, size bigint NOT NULL, root bytea NOT NULL,
        frontier bytea NOT NULL, checkpoint text NOT NULL
    );
    INSERT INTO bench_log VALUES (1, 0, '', '', '');
"""
INSERT = "INSERT INTO bench_receipt (entry, receipt_hash, run_id) VALUES (%s, %s, %s)"
LOCK_HEAD = "SELECT size, frontier FROM bench_log WHERE id = 1 FOR UPDATE"
INSERT_LOGGED = "INSERT INTO bench_log_receipt VALUES (%s, %s, %s, %s)"
UPDATE_HEAD = """
    UPDATE bench_log SET size = %s, root = %s, frontier = %s, checkpoint = %s
    WHERE id = 1
"""

ORIGIN = "localhost/log/bench"

_signer = Signer(hashlib.sha256(b"the bench's receipts").digest())
_checkpoint_signer = Signer(hashlib.sha256(b"the bench's checkpoints").digest())
_thread = threading.local()


def _connection() -> psycopg.Connection[Any]:
    try:
        connection: psycopg.Connection[Any] = _thread.connection
    except AttributeError:
        url = os.environ["DATABASE_URL"]
        connection = psycopg.connect(url, autocommit=True, prepare_threshold=0)
        _thread.connection = connection
    return connection


def _sign(request: HttpRequest) -> tuple[bytes, bytes, dict[str, Any]]:
    """Return the entry, its hash, and the signed receipt."""
    receipt = msgspec.json.decode(request.body)
    entry = canonical.dumps(receipt)
    receipt_hash = hashlib.sha256(entry).digest()
    receipt["receipt_hash"] = receipt_hash.hex()
    receipt["receipt_signature"] = _signer.sign(receipt_hash).hex()
    return entry, receipt_hash, receipt


def _answer(receipt: dict[str, Any]) -> HttpResponse:
    return HttpResponse(msgspec.json.encode(receipt), content_type="application/json")


@require_POST
def floor(request: HttpRequest) -> HttpResponse:
    entry, receipt_hash, receipt = _sign(request)
    _connection().execute(INSERT, [entry, receipt_hash, receipt["run_id"]])
    return _answer(receipt)


@require_POST
def row_lock(request: HttpRequest) -> HttpResponse:
    entry, receipt_hash, receipt = _sign(request)
    connection = _connection()
    with connection.transaction():
        size, hashes = connection.execute(LOCK_HEAD).fetchone() or (0, b"")
        frontier = Frontier.from_bytes(size, hashes).append([leaf_hash(entry)])
        connection.execute(
            INSERT_LOGGED, [size, entry, receipt_hash, receipt["run_id"]]
        )
        head = [frontier.size, frontier.root(), frontier.to_bytes()]
        connection.execute(UPDATE_HEAD, [*head, _checkpoint(frontier)])
    return _answer(receipt)


def _checkpoint(frontier: Frontier) -> str:
    text = Checkpoint(ORIGIN, frontier.size, frontier.root()).text()
    return note.assemble(text, [note.sign(text, ORIGIN, _checkpoint_signer)])


urlpatterns = [path("floor", floor), path("row-lock", row_lock)]

settings.configure(ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF=__name__)
django.setup()
application = WSGIHandler()

if __name__ == "__main__":
    _connection().execute(TABLES, prepare=False)
