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
from tenants.roles import RIGHTS, Right, Role

RESERVED_SLUGS = {"operator"}  # the operator log lives at /log/operator
LAST_USE_RESOLUTION = timedelta(minutes=1)
LOGIN_MEMORY = timedelta(hours=1)  # after the last failure


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

    def of_tenant(self, tenant: Tenant) -> "MembershipQuerySet":
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
