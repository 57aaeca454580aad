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
from lucid.owned import TenantManager, TenantOwned, TenantsThemselves
from tenants.querysets import ApiKeyQuerySet
from tenants.roles import RIGHTS, Right, Role

LOGIN_MEMORY = timedelta(hours=1)  # after the last failure
RESERVED_SLUGS = {"operator"}  # the operator log lives at /log/operator


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None, **fields: Any) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save()
        return user

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=(username or "").lower())

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


class MembershipQuerySet(models.QuerySet["Membership"]):
    def of_user(self, user: Any) -> "MembershipQuerySet":
        """Return where a user belongs, with the tenants, in the order of a list."""
        return self.filter(user=user).select_related("tenant").order_by("tenant__slug")

    def of_tenant(self, tenant: "Tenant") -> "MembershipQuerySet":
        return (
            self.filter(tenant=tenant)
            .select_related("tenant", "user")
            .order_by("user__email")
        )


class Membership(TenantOwned):
    """A person's part in a tenant."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, related_name="memberships"
    )
    # Who is removed as a user is removed as a member first, which is an event.
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=7, choices=Role.choices)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantManager.from_queryset(MembershipQuerySet)()  # type: ignore[misc]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "user"],
                name="tenants_membership_unique",
                violation_error_message="This person is a member already.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.tenant}"

    @property
    def rights(self) -> frozenset[Right]:
        return RIGHTS[self.role]


class LoginCountQuerySet(models.QuerySet["LoginCount"]):
    def forget(self, now: datetime) -> int:
        """Delete the counts that say nothing any more; return how many."""
        ended = Q(last_failed_at__lt=now - LOGIN_MEMORY)
        ended &= Q(blocked_until=None) | Q(blocked_until__lt=now)
        ended &= Q(trusted_until=None) | Q(trusted_until__lt=now)
        return self.filter(ended).delete()[0]


class LoginCount(models.Model):
    """Log-ins that failed, of an account from an address (`tenants.throttle`).

    An empty account stands for any account, an empty address for any address. The
    account is a MAC of what was typed: people type passwords there.
    """

    account = models.CharField(max_length=64, blank=True)
    address = models.CharField(max_length=43, blank=True)
    failures = models.PositiveIntegerField(default=0)
    last_failed_at = models.DateTimeField(db_index=True)
    blocked_until = models.DateTimeField(null=True)
    trusted_until = models.DateTimeField(null=True)

    objects = LoginCountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "address"], name="tenants_login_count_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.failures} from {self.address or 'anywhere'}"

    @property
    def key(self) -> tuple[str, str]:
        return self.account, self.address


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
            models.Index(
                fields=["tenant", "object_id", "-id"], name="access_events_by_object"
            ),
            # Not of one tenant: an operator asks what somebody did anywhere.
            models.Index(fields=["actor_name", "-id"], name="access_events_by_actor"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.object_id}"

    def as_json(self) -> dict[str, Any]:
        return {
            "id": str(self.pk),
            "recorded_at": int(self.recorded_at.timestamp()),
            "action": self.action,
            "actor_kind": self.actor_kind,
            "actor_id": self.actor_id,
            "actor": self.actor_name,
            "address": self.address,
            "request_id": self.request_id,
            "object_kind": self.object_kind,
            "object_id": self.object_id,
            "before": self.before,
            "after": self.after,
            "reason": self.reason,
        }
