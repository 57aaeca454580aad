"""Prepared statements on PostgreSQL, many in one round trip: libpq's pipeline mode.

On psycopg's own wrapper of libpq (`psycopg.pq`), as the ledger's statements are few
and always the same: driven this way, a pipeline of five costs 25 us of this process,
while psycopg's cursors and pipelines take 250.
"""

import select
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from lucid.columns import Columns

BINARY = 1
SUCCESS = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with binary parameters `$1`…, and the columns it answers.

    Prepared and planned once, unless `planned_anew`.
    """

    name: str
    sql: str
    answers: Columns
    planned_anew: bool = False

    def rows(self, result: PGresult) -> list[tuple[Any, ...]]:
        readers = [kind.read for kind in self.answers.values()]
        return [
            tuple(
                None
                if (value := result.get_value(row, column)) is None
                else read(value)
                for column, read in enumerate(readers)
            )
            for row in range(result.ntuples)
        ]


Call = tuple[Statement, Sequence[bytes | None]]


class Pipeline:
    """A connection that runs lists of statements.

    After an error there is nothing to do but to roll back, or to close it. `seconds`
    without a byte from the server is an error as well.
    """

    def __init__(self, parameters: dict[str, Any], setup: str, seconds: int) -> None:
        self._connection = psycopg.connect(**parameters, autocommit=True)
        self._connection.execute(setup.encode())
        self._pg = self._connection.pgconn
        self._milliseconds = seconds * 1000
        self._prepared: set[str] = set()
        self._pg.nonblocking = 1
        self._pg.enter_pipeline_mode()

    @property
    def broken(self) -> bool:
        return self._connection.broken

    def close(self) -> None:
        self._connection.close()

    def run(self, calls: Sequence[Call]) -> list[list[tuple[Any, ...]]]:
        """Run the calls in one round trip; return the rows of each.

        Raises what psycopg would: the first error, the calls after it not run.
        """
        sent = [expected for call in calls for expected in self._send(*call)]
        self._pg.pipeline_sync()
        results = self._results()
        self._check(sent, results)
        return [
            expected.rows(result)
            for expected, result in zip(sent, results, strict=True)
            if isinstance(expected, Statement)
        ]

    def _send(
        self, statement: Statement, parameters: Sequence[bytes | None]
    ) -> list[Statement | str]:
        """Send a call, prepared before its first time; return what will answer:
        the name of what is prepared, and the statement.
        """
        name, formats = statement.name.encode(), [BINARY] * len(parameters)
        expected: list[Statement | str] = []
        if statement.planned_anew:
            self._pg.send_query_params(
                statement.sql.encode(), parameters, None, formats, BINARY
            )
            return [statement]
        if statement.name not in self._prepared:
            self._pg.send_prepare(name, statement.sql.encode())
            self._prepared.add(statement.name)
            expected.append(statement.name)
        self._pg.send_query_prepared(name, parameters, formats, BINARY)
        return [*expected, statement]

    def _results(self) -> list[PGresult]:
        """Return the results up to the synchronisation point, errors among them."""
        self._flush()
        results: list[PGresult] = []
        while True:
            while self._pg.is_busy():
                self._wait(select.POLLIN)
                self._pg.consume_input()
            # Each command's results end with None, which says nothing here.
            if result := self._pg.get_result():
                if result.status == ExecStatus.PIPELINE_SYNC:
                    break
                results.append(result)
        return results

    def _check(
        self, sent: Sequence[Statement | str], results: Sequence[PGresult]
    ) -> None:
        """Raise the first error, having forgotten what was not prepared after it."""
        failed = [result for result in results if result.status not in SUCCESS]
        for expected, result in zip(sent, results, strict=False):
            if isinstance(expected, str) and result.status not in SUCCESS:
                self._prepared.discard(expected)
        if failed:
            raise error_from_result(failed[0])

    def _flush(self) -> None:
        while self._pg.flush():
            # The server may have to be read from before it reads on.
            if self._wait(select.POLLIN | select.POLLOUT) & select.POLLIN:
                self._pg.consume_input()

    def _wait(self, events: int) -> int:
        poll = select.poll()
        poll.register(self._pg.socket, events)
        ready = poll.poll(self._milliseconds)
        if not ready:
            raise psycopg.OperationalError("the server does not answer")
        return ready[0][1]
