"""Another time of day for the product's processes: what they record was then.

A small library sits between a process and its clock, of which the product knows
nothing.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.slow.server import Installation

SOURCE = Path(__file__).with_name("clock_behind.c")


def in_last_month(now: datetime) -> datetime:
    """Return a moment in the middle of the month before."""
    last_day = now.replace(day=1) - timedelta(days=1)
    return last_day.replace(day=14, hour=9, minute=30)


def compile_library(folder: Path) -> Path:
    library = folder / "clock_behind.so"
    made = ["-o", str(library), str(SOURCE)]
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", *made], check=True)
    return library


@contextmanager
def set_to(
    installation: Installation, moment: datetime, library: Path
) -> Iterator[None]:
    """Have the installation's commands and servers begin at a moment, and go on."""
    behind = (datetime.now(UTC) - moment).total_seconds()
    usual = dict(installation.environment)
    installation.environment |= {
        "LD_PRELOAD": str(library),
        "CLOCK_BEHIND": f"{behind:.0f}",
    }
    try:
        yield
    finally:
        installation.environment = usual
