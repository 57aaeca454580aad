"""`python -m bench` measures Lucid's speed on this machine and prints a table.

Servers, database and load share the machine, so the figures are for comparing: a
floor and a baseline (bench/floor.py) are measured in turn with Lucid.
"""

import argparse
import os
import platform
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from bench.cases import CASES
from bench.installation import Installation, installed
from bench.pages import large_site, pages
from bench.rows import Effort, Row

# Asked for by its name: it takes ten minutes and ten gigabytes before it begins.
PAGES = "pages"

USUAL = Effort(rounds=5, seconds=4)
QUICK = Effort(rounds=2, seconds=2, requests=5000)


def main() -> None:
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _interrupt)
    effort = QUICK if arguments.quick else USUAL
    busy = os.getloadavg()[0]
    if names := [name for name in arguments.only if name != PAGES]:
        with installed() as lucid:
            rows = [row for name in names for row in _measure(name, lucid, effort)]
            print(_table(rows))
            print(f"\n{_facts(lucid, effort)} Load average before: {busy:.1f}.")
    if PAGES in arguments.only:
        with large_site(arguments.keep) as site:
            print(_table(_shown(pages(site, effort))))
        print(
            f"\nPostgreSQL {site.postgres}, {site.workers} workers, one client."
            f" Load average before: {busy:.1f}."
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer, shorter rounds")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[*CASES, PAGES],
        default=list(CASES),
        metavar="CASE",
        help=f"some of {', '.join(CASES)}; or {PAGES}, which is made for ten minutes",
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help=f"of {PAGES}: keep the large tenant there, or take the one that is there",
    )
    return parser.parse_args()


def _interrupt(number: int, frame: Any) -> NoReturn:
    raise KeyboardInterrupt


def _measure(name: str, lucid: Installation, effort: Effort) -> list[Row]:
    return _shown(CASES[name](lucid, effort))


def _shown(measured: Iterator[Row]) -> list[Row]:
    rows = []
    for row in measured:
        print(f"{row.what}: {row.measured}", file=sys.stderr, flush=True)
        rows.append(row)
    return rows


def _table(rows: list[Row]) -> str:
    lines = ["| what | goal | measured | met |", "|---|---|---|---|"]
    for row in rows:
        met = {True: "yes", False: "no", None: "-"}[row.met]
        lines.append(f"| {row.what} | {row.goal} | {row.measured} | {met} |")
    return "\n".join(lines)


def _facts(lucid: Installation, effort: Effort) -> str:
    return (
        f"{os.cpu_count()} cores for servers, database and load;"
        f" PostgreSQL {lucid.postgres} with fsync on;"
        f" Python {platform.python_version()}, {len(lucid.lucid.workers)} workers;"
        f" medians of {effort.rounds} rounds of {effort.seconds} s,"
        " in brackets the least and the greatest ratio of a round."
    )


if __name__ == "__main__":
    main()
