"""What is asked of many API keys at once."""

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import models, transaction
from django.db.models import Count, Q
from django.utils import timezone

from tenants import secrets
from tenants.allowed_addresses import network, plain

if TYPE_CHECKING:
    from tenants.models import ApiKey, Tenant

LAST_USE_RESOLUTION = timedelta(minutes=1)
SOON = timedelta(days=14)  # for a key to end: time enough to give out another


def _is_active(now: datetime) -> Q:
    return (
        (Q(expires_at=None) | Q(expires_at__gt=now))
        & (Q(overlap_ends_at=None) | Q(overlap_ends_at__gt=now))
        & Q(revoked_at=None)
    )


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def issue(
        self,
        tenant: "Tenant",
        name: str,
        scopes: list[str],
        mode: str = "live",
        expires_in: timedelta | None = None,
        *,
        expires_at: datetime | None = None,
        allowed_addresses: Iterable[str] = (),
        requests_per_minute: int | None = None,
    ) -> tuple["ApiKey", str]:
        """Create a key; return it with its secret text, which is kept nowhere."""
        prefix, text = secrets.new_api_key(mode)
        pepper_id = secrets.current_pepper()
        allowed = {str(network(address)) for address in allowed_addresses}
        key = self.create(
            tenant=tenant,
            name=name,
            prefix=prefix,
            mac=secrets.api_key_mac(text, pepper_id),
            pepper_id=pepper_id,
            scopes=sorted(set(scopes)),
            mode=mode,
            expires_at=timezone.now() + expires_in if expires_in else expires_at,
            allowed_addresses=sorted(allowed),
            requests_per_minute=requests_per_minute,
        )
        return key, text

    @transaction.atomic
    def touch(self, key_id: uuid.UUID, address: str | None = None) -> None:
        """Note that the key was used, and from where, at most once a minute.

        A conditional UPDATE and never a save: a row saved from a stale object
        could bring a key back to life that was revoked meanwhile. A row that
        somebody holds is passed over: no request waits for a note like this.
        """
        now = timezone.now()
        stale = Q(last_used_at=None) | Q(last_used_at__lt=now - LAST_USE_RESOLUTION)
        free = self.select_for_update(skip_locked=True, no_key=True)
        due = free.filter(stale, pk=key_id).values("pk")
        used_from = None if address is None else str(plain(address))
        self.filter(pk__in=due).update(last_used_at=now, last_used_from=used_from)

    @transaction.atomic
    def renew_mac(self, key: "ApiKey", text: str) -> None:
        """Keep the MAC of a key, whose text is at hand, under the first pepper.

        In the manner of `touch`, and only if nobody did so meanwhile.
        """
        pepper_id = secrets.current_pepper()
        free = self.select_for_update(skip_locked=True, no_key=True)
        due = free.filter(pk=key.pk, pepper_id=key.pepper_id).values("pk")
        mac = secrets.api_key_mac(text, pepper_id)
        self.filter(pk__in=due).update(mac=mac, pepper_id=pepper_id)

    def active(self) -> "ApiKeyQuerySet":
        """Return the keys whose state is `active`."""
        return self.filter(_is_active(timezone.now()))

    def outlook(self, since: datetime) -> tuple[int, int]:
        """Return how many keys end soon, and how many were revoked since a time."""
        now = timezone.now()
        end = now + SOON
        ends = Q(expires_at__lte=end) | Q(overlap_ends_at__lte=end)
        counts = self.aggregate(
            ending=Count("pk", filter=_is_active(now) & ends),
            revoked=Count("pk", filter=Q(revoked_at__gte=since)),
        )
        return counts["ending"], counts["revoked"]

    def newest(self, after: tuple[datetime, uuid.UUID] | None) -> "ApiKeyQuerySet":
        """Return keys newest first, from after a place in that list on."""
        rows = self.order_by("-created_at", "-pk")
        if after is None:
            return rows
        moment, pk = after
        return rows.filter(Q(created_at__lt=moment) | Q(created_at=moment, pk__lt=pk))

    def counted_by_pepper(self) -> "models.QuerySet[Any, tuple[str, int]]":
        counts = self.order_by("pepper_id").values("pepper_id")
        return counts.annotate(count=Count("pk")).values_list("pepper_id", "count")
