"""`python -m bench.large_tenant SLUG` fills a tenant with a year of use.

Ten million inferences in 312,500 runs, of which the newest million have receipts: each
signed with the log's key, in a log whose tiles, head and checkpoint are as if the
server had written them. The rollups are sums over these inferences. There are rare
values of every name that lists filter by, and two hundred thousand access events.

Two things are not as the server leaves them, and no page's time depends on them: runs
have no receipt of their ending, and the tree over a run's calls is zeros.
"""

import hashlib
import os
import secrets
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from typing import Any
from uuid import UUID

import django
import psycopg
from psycopg import sql

from bench import large_tenant_sql as statements
from bench.large_tenant_sql import CALLS, CALLS_OF_RUN, RARE, RECEIPTS, YEAR

RUNS = CALLS // CALLS_OF_RUN
PROCESSES = 2
SHARE = 50_000  # receipts that a process makes at a time


def say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


class Filling:
    def __init__(self, connection: "psycopg.Connection[Any]", tenant_id: UUID) -> None:
        self._connection = connection
        self._tenant_id = tenant_id
        self._begin = int(time.time() - YEAR) * 1000
        connection.execute("SET synchronous_commit = off")
        connection.execute("SET work_mem = '512MB'")
        connection.execute("SET maintenance_work_mem = '1GB'")
        connection.execute("SET max_parallel_maintenance_workers = 2")

    def fill(self, keys: list[UUID], log: Any, keyring: Any) -> None:
        place = {"tenant": self._tenant_id, "begin": self._begin, "keys": keys}
        self._runs()
        self._connection.execute("SET enable_mergejoin = off")  # keeps their order
        with without_indexes(self._connection, "orchestrations_inference"):
            self._do("inferences", statements.INFERENCES, place)
        self._do("runs", statements.RUNS_OF_INFERENCES, place)
        self._do("hours", statements.HOURS)
        self._do("days", statements.DAYS)
        self._do("months", statements.USAGE_MONTHS)
        self._do("what months cost", statements.MONTHS)
        self._do("costs of runs", statements.COSTS_OF_RUNS)
        self._do("days of runs", statements.RUN_DAYS)
        self._do("months of runs", statements.RUN_MONTHS)
        self._do("access events", statements.ACCESS_EVENTS, place)
        with without_indexes(self._connection, "receipts_receipt"):
            self._receipts()
        self._tree(log, keyring)
        self._do("statistics", "VACUUM ANALYZE")

    def _do(self, what: str, statement: str, values: Any = None) -> None:
        say(what)
        self._connection.execute(statement, values)

    def _runs(self) -> None:
        self._connection.execute(statements.RUN_TABLE)
        with self._connection.cursor().copy("COPY run FROM STDIN") as copy:
            for number in range(RUNS):
                ms = self._time(number * CALLS_OF_RUN)
                started = datetime.fromtimestamp(ms / 1000, UTC)
                copy.write_row((number, run_id(ms), started))
        self._connection.execute("ANALYZE run")

    def _receipts(self) -> None:
        say("receipts")
        make = partial(make_receipts, self._tenant_id, self._time(CALLS - RECEIPTS))
        context = get_context("spawn")
        with ProcessPoolExecutor(PROCESSES, context, django.setup) as pool:
            list(pool.map(make, range(0, RECEIPTS, SHARE)))

    def _time(self, call: int) -> int:
        """Return when a call was recorded, in Unix milliseconds."""
        return self._begin + call * YEAR * 1000 // CALLS

    def _tree(self, log: Any, keyring: Any) -> None:
        """Write the tiles and the head that an append of all receipts would leave."""
        from receipts.merkle import Frontier, tree_root
        from receipts.tiles import TILE_WIDTH

        say("the tree")
        query = "SELECT leaf_hash FROM receipts_receipt ORDER BY leaf_index"
        hashes = [bytes(leaf) for (leaf,) in self._connection.execute(query)]
        frontier = Frontier().append(hashes)
        level = 0
        while len(hashes) >= TILE_WIDTH:
            starts = range(0, len(hashes) // TILE_WIDTH * TILE_WIDTH, TILE_WIDTH)
            tiles = [hashes[start : start + TILE_WIDTH] for start in starts]
            hashes = [tree_root(tile) for tile in tiles]
            columns = "(tenant_id, log_id, level, index, hashes, root)"
            statement = f"COPY receipts_tile {columns} FROM STDIN"
            with self._connection.cursor().copy(statement) as copy:
                for index, (tile, root) in enumerate(zip(tiles, hashes, strict=True)):
                    row = (self._tenant_id, log.pk, level, index, b"".join(tile), root)
                    copy.write_row(row)
            level += 1
        root = frontier.root()
        checkpoint = keyring.sign_checkpoint(frontier.size, root)
        self._connection.execute(
            "UPDATE receipts_log SET size = %s, root = %s, frontier = %s,"
            " checkpoint = %s WHERE id = %s",
            (frontier.size, root, frontier.to_bytes(), checkpoint, log.pk),
        )


@contextmanager
def without_indexes(
    connection: "psycopg.Connection[Any]", table: str
) -> Iterator[None]:
    """Make a table's indexes anew after many rows: far quicker than with each row."""
    find = (
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid = %s::regclass AND contype IN ('p', 'u')"
    )
    constraints = connection.execute(find, [table]).fetchall()
    alter = sql.SQL("ALTER TABLE {}").format(sql.Identifier(table))
    for name, _ in constraints:
        connection.execute(
            alter + sql.SQL(" DROP CONSTRAINT {}").format(sql.Identifier(name))
        )
    find = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s"
    indexes = connection.execute(find, [table]).fetchall()
    for name, _ in indexes:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    yield
    say(f"indexes of {table}")
    for name, definition in constraints:
        added = sql.SQL(" ADD CONSTRAINT {} " + definition).format(sql.Identifier(name))
        connection.execute(alter + added)
    for _, definition in indexes:
        connection.execute(definition)


def run_id(milliseconds: int) -> str:
    from orchestrations.claims import ID_PREFIX
    from orchestrations.ulid import ALPHABET, LENGTH

    value = milliseconds << 80 | secrets.randbits(80)
    places = range(5 * (LENGTH - 1), -1, -5)
    return ID_PREFIX + "".join(ALPHABET[value >> place & 31] for place in places)


def make_receipts(tenant_id: UUID, newest: int, start: int) -> None:
    """Sign the receipts of a share of the newest inferences, and copy them in."""
    from lucid.isolation import working_for
    from receipts.keyring import keyring_for
    from receipts.rows import names
    from receipts.storage import RECEIPT_COLUMNS

    with working_for(tenant_id):
        keyring = keyring_for(tenant_id, "live")
    url = os.environ["DATABASE_URL"]
    copying = f"COPY receipts_receipt ({names(RECEIPT_COLUMNS)}) FROM STDIN"
    share = {"tenant": tenant_id, "newest": newest, "start": start}
    with psycopg.connect(url) as reading, psycopg.connect(url) as writing:
        share["stop"] = start + SHARE
        calls = reading.execute(statements.CALLS_OF_RECEIPTS, share)
        with writing.cursor().copy(copying) as copy:
            for call in calls:
                copy.write_row(receipt_row(keyring, call))


def receipt_row(keyring: Any, call: Any) -> tuple[Any, ...]:
    """Return a row of RECEIPT_COLUMNS: what the product signs of a reported call."""
    from orchestrations.money import from_nanocents, plain
    from receipts import canonical
    from receipts.entry import SCHEMA_VERSION, SIGNER_TYPE
    from receipts.merkle import leaf_hash

    (receipt_id, run, index, at, model, provider, agent, sequence, latency, cost) = (
        call[:10]
    )
    source, outcome, read, cached, written = call[10:]
    name = f"inf_{receipt_id.hex}"
    price = {} if cost is None else {"cents": plain(from_nanocents(cost))}
    body: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "receipt_type": "inference",
        "run_id": name,
        "timestamp": at,
        "issued_at": at,
        "orchestration_id": run,
        "agent_id": agent,
        "model": model,
        "provider": provider,
        "observed": "witnessed" if outcome else "reported",
        "usage": {
            "input_tokens": read,
            "cache_read_tokens": cached,
            "cache_write_5m_tokens": 0,
            "cache_write_1h_tokens": 0,
            "output_tokens": written,
            "reasoning_tokens": 0,
        },
        "cost": {"source": source, **price},
        "sequence": sequence,
        "latency_ms": latency,
        "input_hash": hashlib.sha256(receipt_id.bytes).hexdigest(),
        **({"outcome": outcome} if outcome else {}),
    }
    written_out = canonical.fragments(body)
    receipt_hash = hashlib.sha256(canonical.assemble(written_out)).digest()
    seal = {
        "receipt_hash": receipt_hash.hex(),
        "receipt_signature": keyring.receipt_signer.sign(receipt_hash).hex(),
        "signer_pubkey": keyring.receipt_public_key,
        "signer_kid": keyring.receipt_kid,
        "signer_type": SIGNER_TYPE,
    }
    data = canonical.assemble(written_out | canonical.fragments(seal))
    place = (keyring.tenant_id, keyring.log_id, index)
    hashes = (data, leaf_hash(data), receipt_hash)
    claims = ("", "", "", "", "", model, provider, agent, run)
    kid = keyring.receipt_kid
    return (receipt_id, *place, *hashes, name, "inference", at, at, kid, *claims)


def main(slug: str) -> None:
    django.setup()
    from lucid.isolation import across_tenants
    from receipts.keyring import keyring_for, log_of
    from tenants.models import ApiKey, Tenant

    with across_tenants():
        tenant = Tenant.objects.get(slug=slug)
        keys = [
            ApiKey.objects.issue(tenant, name, ["*"])[0].pk
            for name in ("first", "second", "third", "fourth", RARE)
        ]
        log, keyring = log_of(tenant.pk, "live"), keyring_for(tenant.pk, "live")
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        Filling(connection, tenant.pk).fill(keys, log, keyring)


if __name__ == "__main__":
    main(sys.argv[1])
