"""What `manage.py tick` does for orchestrations."""

from lucid.api.ticks import at_every_tick
from orchestrations.gateway.settling import close_dead_workers, close_overdue
from orchestrations.settling import settle_all


@at_every_tick
def end_overdue_runs() -> str | None:
    settled = settle_all()
    return f"{settled} orchestrations timed out" if settled else None


@at_every_tick
def close_abandoned_calls() -> str | None:
    closed = close_dead_workers()
    return f"{closed} calls of workers that ended were settled" if closed else None


@at_every_tick
def close_overdue_calls() -> str | None:
    closed = close_overdue()
    return f"{closed} overdue calls were closed as unknown" if closed else None
