"""Threads of a test that work at once, each on a database connection of its own."""

import threading
from collections.abc import Callable

from django.db import connections

from lucid.isolation import across_tenants

PATIENCE = 60  # seconds


def run_at_once(count: int, work: Callable[[int], object]) -> None:
    """Call `work` with the numbers below `count`; none may raise or hang."""
    errors: list[BaseException] = []
    start = threading.Barrier(count)

    def guarded(number: int) -> None:
        try:
            start.wait(PATIENCE)
            with across_tenants():  # as the test itself
                work(number)
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [
        threading.Thread(target=guarded, args=[number], daemon=True)
        for number in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not errors, errors
    assert not any(thread.is_alive() for thread in threads)
