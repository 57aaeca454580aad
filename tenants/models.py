"""Who: tenants, the people who log in, and the keys that programs hold."""

import uuid
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.core.validators import RegexValidator
from django.db import models, transaction
from django.db.models import F, Q
from django.utils import timezone

from lucid.api.uuid7 import uuid7
from tenants import secrets
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
    ) -> tuple["ApiKey", str]:
        """Create a key; return it with its secret text, which is kept nowhere."""
        prefix, text = secrets.new_api_key(mode)
        pepper_id = secrets.current_pepper()
        key = self.create(
            tenant=tenant,
            name=name,
            prefix=prefix,
            mac=secrets.api_key_mac(text, pepper_id),
            pepper_id=pepper_id,
            scopes=sorted(set(scopes)),
            mode=mode,
            expires_at=timezone.now() + expires_in if expires_in else None,
        )
        return key, text

    @transaction.atomic
    def touch(self, key_id: uuid.UUID) -> None:
        """Note that the key was used, at most once a minute.

        A conditional UPDATE and never a save: a row saved from a stale object
        could bring a key back to life that was revoked meanwhile. A row that
        somebody holds is passed over: no request waits for a note like this.
        """
        now = timezone.now()
        stale = Q(last_used_at=None) | Q(last_used_at__lt=now - LAST_USE_RESOLUTION)
        free = self.select_for_update(skip_locked=True, no_key=True)
        due = free.filter(stale, pk=key_id).values("pk")
        self.filter(pk__in=due).update(last_used_at=now)


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
    last_used_at = models.DateTimeField(null=True, blank=True)

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
        """Return `active`, `revoked` or `expired`."""
        if self.revoked_at:
            return "revoked"
        if self.expires_at and self.expires_at <= (now or timezone.now()):
            return "expired"
        return "active"

    @transaction.atomic
    def revoke(self) -> None:
        """End the key now, in every worker; revoking twice keeps the first time."""
        if self.revoked_at is None:
            self.revoked_at = timezone.now()
            self.save(update_fields=["revoked_at"])
            self.tenant.forget_keys()


class RateCount(TenantOwned):
    """Requests of a minute, of a tenant or of one of its keys: `tenants.rate_limits`."""

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
