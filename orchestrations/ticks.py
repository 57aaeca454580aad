"""What `manage.py tick` does for orchestrations."""

from lucid.api.ticks import at_every_tick
from orchestrations.settling import settle_all


@at_every_tick
def end_overdue_runs() -> str | None:
    settled = settle_all()
    return f"{settled} orchestrations timed out" if settled else None
