"""What a thief of the database has: its dump, and every value in it."""

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from tests.cluster import programs

Row = dict[str, Any]

TABLES = {
    "postgres": "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
}


class Dump:
    def __init__(self, url: str) -> None:
        self._is_sqlite = url.startswith("sqlite")
        self._url = url
        self.tables: dict[str, list[Row]] = self._read()
        self.raw = self._files() if self._is_sqlite else self._pg_dump()

    def values(self) -> list[Any]:
        rows = (row for table in self.tables.values() for row in table)
        return [value for row in rows for value in row.values() if value is not None]

    def _read(self) -> dict[str, list[Row]]:
        with closing(self._connect()) as connection:
            kind = "sqlite" if self._is_sqlite else "postgres"
            names = [name for (name,) in connection.execute(TABLES[kind]).fetchall()]
            return {name: _rows(connection, name) for name in names}

    def _connect(self) -> Any:
        if self._is_sqlite:
            return sqlite3.connect(self._path)
        return psycopg.connect(self._url)

    @property
    def _path(self) -> Path:
        return Path(self._url.removeprefix("sqlite:///"))

    def _files(self) -> bytes:
        files = self._path.parent.glob(f"{self._path.name}*")
        return b"".join(file.read_bytes() for file in sorted(files))

    def _pg_dump(self) -> bytes:
        folder = programs()
        assert folder
        command = [str(folder / "pg_dump"), "--dbname", self._url]
        return subprocess.run(command, check=True, capture_output=True).stdout


def _rows(connection: Any, table: str) -> list[Row]:
    cursor = connection.execute(f'SELECT * FROM "{table}"')  # noqa: S608
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
