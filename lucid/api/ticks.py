"""Work that repeats: what `manage.py tick` does, registered by the apps whose it is.

A task is idempotent and may run at any time, in several processes at once. It
returns what it did in a line for the operator, or None when there was nothing to do.
"""

from collections.abc import Callable

Task = Callable[[], str | None]

tasks: dict[str, Task] = {}


def at_every_tick(task: Task) -> Task:
    tasks[task.__name__] = task
    return task
