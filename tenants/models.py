"""Who: tenants, the people who log in, and the keys that programs hold."""

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.core.validators import RegexValidator
from django.db import models, transaction
from django.db.models import Count, F, Q
from django.utils import timezone

from lucid.api.uuid7 import uuid7
from tenants import secrets
from tenants.allowed_addresses import network, plain
from tenants.owned import TenantManager, TenantOwned, TenantsThemselves

RESERVED_SLUGS = {"operator"}  # the operator log lives at /log/operator
LAST_USE_RESOLUTION = timedelta(minutes=1)


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None, **fields: Any) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save()
        return user

    def create_superuser(
        self, email: str, password: str | None, **fields: Any
    ) -> "User":
        return self.create_user(
            email, password, is_staff=True, is_superuser=True, **fields
        )


class User(AbstractUser):
    """A person, known by e-mail address."""

    username = None  # type: ignore[assignment]
    email = models.EmailField()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = UserManager()  # type: ignore[assignment,misc]

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["email"], name="tenants_user_email_unique")
        ]

    def __str__(self) -> str:
        return self.email


class Mode(models.TextChoices):
    LIVE = "live"
    TEST = "test"


class Tenant(models.Model):
    class Status(models.TextChoices):
        ACTIVE = "active"
        SUSPENDED = "suspended"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.CharField(
        max_length=63,
        validators=[
            RegexValidator(
                r"\A[a-z0-9]([a-z0-9-]*[a-z0-9])?\Z",
                "Use lower-case letters, digits and inner hyphens.",
            ),
            RegexValidator(
                rf"\A({'|'.join(sorted(RESERVED_SLUGS))})\Z",
                "This name is reserved.",
                inverse_match=True,
            ),
        ],
    )
    name = models.CharField(max_length=200)
    status = models.CharField(
        max_length=9, choices=Status.choices, default=Status.ACTIVE
    )
    settings = models.JSONField(default=dict, blank=True)
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    # Counts the changes after which a worker's remembered copy of this tenant's
    # API keys, signing keys or status is wrong. Whoever acts on such a copy
    # compares the number inside the transaction that acts.
    keyring_version = models.PositiveBigIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantsThemselves["Tenant"]()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["slug"], name="tenants_tenant_slug_unique")
        ]

    def __str__(self) -> str:
        return self.slug

    def forget_keys(self) -> None:
        """Make every worker look this tenant's keys up again; call in a transaction."""
        Tenant.objects.filter(pk=self.pk).update(
            keyring_version=F("keyring_version") + 1
        )

    @transaction.atomic
    def set_status(self, status: Status) -> None:
        self.status = status
        self.save(update_fields=["status"])
        self.forget_keys()


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def issue(
        self,
        tenant: Tenant,
        name: str,
        scopes: list[str],
        mode: str = Mode.LIVE,
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
        now = timezone.now()
        return self.filter(
            Q(expires_at=None) | Q(expires_at__gt=now),
            Q(overlap_ends_at=None) | Q(overlap_ends_at__gt=now),
            revoked_at=None,
        )

    def counted_by_pepper(self) -> "models.QuerySet[Any, tuple[str, int]]":
        counts = self.order_by("pepper_id").values("pepper_id")
        return counts.annotate(count=Count("pk")).values_list("pepper_id", "count")


class NotRotatable(Exception):
    """A key that has ended, or has a successor already; the message says which."""


class ApiKey(TenantOwned):
    """A program's credential: public prefix in the row, secret known to its holder."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, related_name="api_keys"
    )
    name = models.CharField(max_length=200)
    prefix = models.CharField(max_length=24)
    mac = models.BinaryField()  # HMAC-SHA256 of the whole key under the pepper
    pepper_id = models.CharField(max_length=40)
    scopes = models.JSONField()
    mode = models.CharField(max_length=4, choices=Mode.choices, default=Mode.LIVE)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    # Once rotated: who works in its place, and until when both do.
    rotated_to = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, editable=False, db_index=False
    )
    overlap_ends_at = models.DateTimeField(null=True, editable=False)
    allowed_addresses = models.JSONField(default=list, blank=True)  # networks; any
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    last_used_from = models.GenericIPAddressField(null=True, editable=False)

    objects = TenantManager.from_queryset(ApiKeyQuerySet)()  # type: ignore[misc]

    class Meta:
        verbose_name = "API key"
        constraints = [
            models.UniqueConstraint(
                fields=["prefix"], name="tenants_api_key_prefix_unique"
            )
        ]
        indexes = [
            models.Index(
                fields=["tenant", "created_at"], name="tenants_api_key_by_tenant"
            )
        ]

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.name})"

    def state(self, now: datetime | None = None) -> str:
        """Return `active`, `revoked`, `rotated` (the overlap is over) or `expired`."""
        now = now or timezone.now()
        if self.revoked_at:
            return "revoked"
        if self.overlap_ends_at and self.overlap_ends_at <= now:
            return "rotated"
        if self.expires_at and self.expires_at <= now:
            return "expired"
        return "active"

    @property
    def ends_at(self) -> datetime | None:
        """Return when it stops to work of itself."""
        moments = (self.expires_at, self.overlap_ends_at)
        return min((moment for moment in moments if moment), default=None)

    @transaction.atomic
    def rotate(
        self, overlap: timedelta, expires_in: timedelta | None = None
    ) -> tuple["ApiKey", str]:
        """Give the key a successor that may do the same, and end it after the overlap.

        The successor expires when this one would have, unless told another lifetime.
        Returns it with its secret text. Raises NotRotatable.
        """
        successor, text = ApiKey.objects.issue(
            self.tenant,
            self.name,
            self.scopes,
            self.mode,
            expires_in,
            expires_at=self.expires_at,
            allowed_addresses=self.allowed_addresses,
            requests_per_minute=self.requests_per_minute,
        )
        # Conditional, as two may be at it: one of them makes the successor.
        rotatable = ApiKey.objects.active().filter(pk=self.pk, rotated_to=None)
        ends_at = timezone.now() + overlap
        if not rotatable.update(rotated_to=successor, overlap_ends_at=ends_at):
            self.refresh_from_db()
            raise NotRotatable(self._why_not_rotated())
        self.rotated_to, self.overlap_ends_at = successor, ends_at
        self.tenant.forget_keys()
        return successor, text

    def _why_not_rotated(self) -> str:
        if self.state() in {"revoked", "expired"}:
            return f"{self.prefix} is {self.state()}."
        return f"{self.prefix} was rotated before; rotate its successor."

    @transaction.atomic
    def revoke(self) -> bool:
        """End the key now, in every worker; revoking twice keeps the first time.

        Returns whether this was the first.
        """
        now = timezone.now()
        unrevoked = ApiKey.objects.filter(pk=self.pk, revoked_at=None)
        is_first = bool(unrevoked.update(revoked_at=now))
        if is_first:
            self.revoked_at = now
            self.tenant.forget_keys()
        else:
            self.refresh_from_db(fields=["revoked_at"])
        return is_first


class RateCount(TenantOwned):
    """Requests in a minute, of a tenant or one of its keys (tenants.rate_limits)."""

    tenant = models.ForeignKey(
        Tenant, on_delete=models.CASCADE, db_constraint=False, db_index=False
    )
    subject = models.UUIDField()  # the tenant's id, or the key's
    minute = models.BigIntegerField()  # Unix time, by the database's clock
    used = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "subject"], name="tenants_rate_count_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.subject} {self.minute}"


class AccessEvent(TenantOwned):
    """Who read, exported, verified or changed what: append-only, as the database sees
    to. Of no tenant are those of the installation itself.
    """

    class ActorKind(models.TextChoices):
        PERSON = "person"
        API_KEY = "api_key"
        TOKEN = "token"  # noqa: S105  a kind of actor
        COMMAND = "command"
        SYSTEM = "system"

    # Not counted up, which would tell tenants how much others do.
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, null=True)
    recorded_at = models.DateTimeField(auto_now_add=True)
    action = models.CharField(max_length=60)  # as `api_key.revoked`
    actor_kind = models.CharField(max_length=7, choices=ActorKind.choices)
    actor_id = models.CharField(max_length=200, blank=True)
    actor_name = models.CharField(max_length=200, blank=True)
    address = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=128, blank=True)
    object_kind = models.CharField(max_length=40, blank=True)
    object_id = models.CharField(max_length=200, blank=True)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    reason = models.TextField(blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "-id"], name="access_events_by_age"),
            models.Index(
                fields=["tenant", "action", "-id"], name="access_events_by_action"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.object_id}"
