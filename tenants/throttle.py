"""Log-ins that fail slow down the next, and then lock, whichever worker has them.

Counted are an account and an address together, an account from any address, and an
address with any account. The pair has narrow limits. The other two have wide ones, for
guesses spread over many addresses or many accounts; they do not hold for an address
from which the account has logged in of late, or else a stranger who fails on purpose
could keep its owner out for ever.

An attempt is counted before its password is checked, so that of many at once no more
are checked than of one after another.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import salted_hmac

from tenants.models import LOGIN_MEMORY, LoginCount

LOCK = timedelta(minutes=15)
TRUST = timedelta(days=30)
ANY = ""
NOWHERE = "unknown"  # a socket without addresses


@dataclass(frozen=True, slots=True)
class Limit:
    """From the `slow`th failure on a delay that doubles, from the `locked`th a lock."""

    slow: int
    locked: int

    def delay(self, failures: int) -> timedelta:
        if failures < self.slow:
            return timedelta()
        if failures >= self.locked:
            return LOCK
        return min(timedelta(seconds=1 << (failures - self.slow)), LOCK)


PAIR = Limit(slow=5, locked=10)
WIDE = Limit(slow=50, locked=60)

Key = tuple[str, str]  # account, address


@dataclass(frozen=True, slots=True)
class Counts:
    """The rows that count for one account from one address."""

    pair: Key
    rows: list[LoginCount]

    @property
    def that_hold(self) -> list[LoginCount]:
        now = timezone.now()
        own = [row for row in self.rows if row.key == self.pair]
        is_trusted = any(row.trusted_until and row.trusted_until > now for row in own)
        return own if is_trusted else self.rows

    @property
    def blocked_until(self) -> datetime | None:
        now = timezone.now()
        moments = [row.blocked_until for row in self.that_hold]
        ahead = [moment for moment in moments if moment and moment > now]
        return max(ahead, default=None)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A log-in under way. `refused`: its password is not to be looked at."""

    refused: bool
    locked: bool = False  # it is one that, failing, locks
    pair: Key = (ANY, ANY)
    counted: list[Key] = field(default_factory=list)

    @transaction.atomic
    def succeeded(self) -> None:
        """Take back that it was counted, and trust its address."""
        for row in _locked(self.counted):
            if row.key == self.pair:
                row.failures, row.trusted_until = 0, timezone.now() + TRUST
            else:
                row.failures = max(row.failures - 1, 0)
            row.blocked_until = None
            row.save(update_fields=["failures", "blocked_until", "trusted_until"])


def begin(email: str, address: str | None) -> Attempt:
    """Count an attempt as failed, until it succeeds; or refuse it."""
    keys = _keys(email, address)
    # Looked at first without a lock, so that who is refused leaves no rows behind.
    if Counts(keys[0], _rows(keys)).blocked_until:
        return Attempt(refused=True)
    return _count(keys)


def seconds_to_wait(email: str, address: str | None) -> int:
    """Return for how long a log-in would be refused, in whole seconds."""
    keys = _keys(email, address)
    until = Counts(keys[0], _rows(keys)).blocked_until
    if until is None:
        return 0
    return max(1, round((until - timezone.now()).total_seconds()))


def unlock(email: str) -> int:
    """Forget the failures of an account; return from how many addresses they came."""
    rows = LoginCount.objects.filter(account=account_mac(email), failures__gt=0)
    places = rows.exclude(address=ANY).count()
    rows.update(failures=0, blocked_until=None)
    return places


def account_mac(email: str) -> str:
    email = email.strip().lower()
    return salted_hmac("tenants.throttle", email, algorithm="sha256").hexdigest()


def address_key(address: str | None) -> str:
    """Return an address as it is counted: of IPv6 the network that one client has."""
    if address is None:
        return NOWHERE
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ip_network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)


def _keys(email: str, address: str | None) -> list[Key]:
    """Return what an attempt counts for, the pair first."""
    account, place = account_mac(email), address_key(address)
    return [(account, place), (account, ANY), (ANY, place)]


@transaction.atomic
def _count(keys: list[Key]) -> Attempt:
    now = timezone.now()
    LoginCount.objects.bulk_create(
        [LoginCount(account=a, address=p, last_failed_at=now) for a, p in keys],
        ignore_conflicts=True,
    )
    counts = Counts(keys[0], _locked(keys))
    if counts.blocked_until:  # by others, meanwhile
        return Attempt(refused=True)
    locks = [
        _add_failure(row, PAIR if row.key == counts.pair else WIDE, now)
        for row in counts.that_hold
    ]
    return Attempt(
        refused=False,
        locked=any(locks),
        pair=counts.pair,
        counted=[row.key for row in counts.that_hold],
    )


def _add_failure(row: LoginCount, limit: Limit, now: datetime) -> bool:
    """Count one more, and return whether that is a lock."""
    is_old = row.last_failed_at < now - LOGIN_MEMORY
    row.failures = 1 if is_old else row.failures + 1
    row.last_failed_at = now
    delay = limit.delay(row.failures)
    row.blocked_until = now + delay if delay else None
    row.save(update_fields=["failures", "last_failed_at", "blocked_until"])
    return row.failures >= limit.locked


def _rows(keys: list[Key]) -> list[LoginCount]:
    return list(LoginCount.objects.filter(_any_of(keys)))


def _locked(keys: list[Key]) -> list[LoginCount]:
    # In one order everywhere, so that no two wait for each other.
    rows = LoginCount.objects.select_for_update().filter(_any_of(keys))
    return list(rows.order_by("account", "address"))


def _any_of(keys: list[Key]) -> Q:
    conditions = Q(pk__in=[])
    for account, address in keys:
        conditions |= Q(account=account, address=address)
    return conditions
