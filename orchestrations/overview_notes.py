"""What needs attention, in words, with links to where something can be done."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time
from functools import partial

from orchestrations import attention
from orchestrations.overview import Whose
from orchestrations.overview_doors import UNKNOWN, YES, Doors
from orchestrations.unpriced_models import unpriced_models
from receipts.log_health import Health
from receipts.models import SigningKey
from tenants.models import ApiKey
from tenants.roles import Right
from tenants.templatetags.pages import total


@dataclass(frozen=True)
class Link:
    label: str
    url: str  # "" where the person has no page to go to


@dataclass(frozen=True)
class Note:
    words: str
    links: tuple[Link, ...] = ()
    is_bad: bool = False


def notes_on(whose: Whose, doors: Doors, health: Health | None) -> Iterator[Note]:
    """Yield what the person may know; `health` is None to who may not read the log."""
    if health:
        yield from _on_log(health, doors)
    yield from _on_budget(whose, doors)
    yield from _on_runs(whose, doors)
    yield from _on_prices(whose, doors)
    yield from _on_unknown(whose, doors)
    if doors.member.may(Right.MANAGE_KEYS):
        yield from _on_api_keys(whose, doors)


def _on_log(health: Health, doors: Doors) -> Iterator[Note]:
    keys = (Link("Keys", doors.page("keys", Right.READ_RECEIPTS)),)
    if health.check and not health.check.is_valid:
        events = doors.page("audit", Right.READ_EVENTS, action="log.verified")
        words = f"The log is {health.check.verdict} at {health.check.place}."
        yield Note(words, (Link("When it was checked", events),), is_bad=True)
    for key in health.ending:
        yield Note(_ending(key), keys)
    if health.revoked:
        yield Note(
            f"{_count(health.revoked, 'signing key is', 's are')} revoked.", keys
        )


def _ending(key: SigningKey) -> str:
    end = key.overlap_until
    assert end  # noqa: S101  of a key that is retiring
    until = f"{end.day} {end:%b %Y %H:%M} UTC"
    return (
        f"The checkpoint key {key.kid[:8]}… signs until {until}: whoever pinned it"
        " needs its successor by then."
    )


def _on_budget(whose: Whose, doors: Doors) -> Iterator[Note]:
    near = attention.budget_near_its_end(whose)
    if near is None:
        return
    month = {"from": near.month, "to": doors.period.last}
    spent = f"{total(near.spent)} of {total(near.limit)}"
    if near.is_used_up:
        words = f"This month's budget is used up: {spent}."
    else:
        words = f"{near.percent} % of this month's budget is spent: {spent}."
    links = (
        Link("What it was spent on", doors.page("costs", Right.READ_COSTS, **month)),
        Link("Budget", doors.page("settings", Right.MANAGE_SETTINGS)),
    )
    yield Note(words, links, is_bad=near.is_used_up)


def _on_runs(whose: Whose, doors: Doors) -> Iterator[Note]:
    gaps = attention.sequence_gaps(whose)
    if not gaps.runs:
        return
    verb = "lacks" if len(gaps.runs) == 1 else "lack"
    page = partial(doors.page, "orchestration", Right.READ_RUNS)
    yield Note(
        f"{len(gaps.runs):,} of the newest {gaps.looked_at:,} ended runs {verb} calls"
        " that the agent has counted.",
        tuple(Link(f"Run …{run[-8:]}", page(run)) for run in gaps.named),
    )


def _on_prices(whose: Whose, doors: Doors) -> Iterator[Note]:
    models = unpriced_models(*whose, doors.period, attention.MOST_COUNTED)
    if not models:
        return
    calls = sum(row.calls for row in models)
    named = ", ".join(row.model for row in models[: attention.NAMED])
    if (rest := len(models) - attention.NAMED) > 0:
        named += f" and {rest:,} more"
    yield Note(
        f"{_count(len(models), 'model has', 's have')} no price, in {calls:,}"
        f" {'call' if calls == 1 else 'calls'}: {named}.",
        (
            Link("These calls", doors.calls(unpriced=YES)),
            Link("Prices", doors.page("prices", Right.MANAGE_PRICES)),
        ),
    )


def _on_unknown(whose: Whose, doors: Doors) -> Iterator[Note]:
    unknown = attention.unknown_calls(whose, doors.period.first)
    if not unknown:
        return
    most = "At least " if unknown == attention.MOST_COUNTED else ""
    yield Note(
        f"{most}{_count(unknown, 'gateway call has', 's have')} an unknown outcome: a"
        " server ended meanwhile.",
        (Link("These calls", doors.calls(failed=UNKNOWN)),),
    )


def _on_api_keys(whose: Whose, doors: Doors) -> Iterator[Note]:
    tenant_id, mode = whose
    since = datetime.combine(doors.period.first, time(), UTC)
    keys = ApiKey.objects.filter(tenant_id=tenant_id, mode=mode)
    ending, revoked = keys.outlook(since)
    links = (Link("API keys", doors.page("api-keys", Right.MANAGE_KEYS)),)
    if ending:
        yield Note(f"{_count(ending, 'API key ends', 's end')} within 14 days.", links)
    if revoked:
        done = _count(revoked, "API key was", "s were")
        yield Note(f"{done} revoked in this time.", links)


def _count(number: int, one: str, many: str) -> str:
    """Write "1 key is" or "2 keys are", of "key is" and "s are"."""
    return f"1 {one}" if number == 1 else f"{number:,} {one.rpartition(' ')[0]}{many}"
