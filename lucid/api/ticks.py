"""Work that repeats: what `manage.py tick` does, registered by the apps whose it is.

A task is idempotent and may run at any time, in several processes at once. It
returns what it did in a line for the operator, or None when there was nothing to do.
"""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from django.utils import timezone

if TYPE_CHECKING:
    from lucid.api.models import TickRun

Task = Callable[[], str | None]

tasks: dict[str, Task] = {}


def at_every_tick(task: Task) -> Task:
    tasks[task.__name__] = task
    return task


def run_task(name: str) -> "TickRun":
    """Do one task now; return how it went, for the caller to keep."""
    from lucid.api.models import TickRun  # apps register tasks before there are models

    started_at, start = timezone.now(), time.monotonic()
    try:
        said, ok = tasks[name]() or "", True
    except Exception as error:
        # One task's trouble is not another's.
        said, ok = f"{type(error).__name__}: {error}", False
    duration = timedelta(seconds=time.monotonic() - start)
    return TickRun(
        task=name, started_at=started_at, duration=duration, ok=ok, said=said
    )
