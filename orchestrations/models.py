"""What agents did and what it cost: runs, their calls and steps, money, rollups.

Rows that count something (totals of a run, the Usage tables, MonthSpend) are written
by `orchestrations.books` in the ledger's transaction, with what they count. Like
receipts they are protected by the lock on their log's row, so their foreign keys
need no constraint.
"""

import uuid
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import Q, Sum

from orchestrations.money import CentsField
from tenants.models import Mode, Tenant

NOBODY = uuid.UUID(int=0)  # in place of an API key, in keys that must not be NULL


def tenant_of_row() -> "models.ForeignKey[Tenant, Tenant]":
    return models.ForeignKey(
        Tenant, on_delete=models.PROTECT, db_constraint=False, db_index=False
    )


class Provider(models.TextChoices):
    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    BEDROCK = "bedrock"
    CUSTOM = "custom"


class CostSource(models.TextChoices):
    """Who says what a call cost (LLM.md, "Usage and cost")."""

    PROVIDER_REPORTED = "provider_reported"
    AGENT_REPORTED = "agent_reported"
    TENANT_PRICE = "tenant_price"
    CATALOGUE = "catalogue"
    UNPRICED = "unpriced"


class Tokens(models.Model):
    """Tokens in disjoint buckets: their sum is what the provider counted.

    `reasoning_tokens` alone are a part of another, `output_tokens`.
    """

    input_tokens = models.BigIntegerField(default=0)  # neither read nor written cache
    cache_read_tokens = models.BigIntegerField(default=0)
    cache_write_5m_tokens = models.BigIntegerField(default=0)
    cache_write_1h_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)

    class Meta:
        abstract = True


class Orchestration(Tokens):
    """A run of agents (WIRE section 3). What has ended never changes again."""

    class Status(models.TextChoices):
        RUNNING = "running"
        COMPLETED = "completed"
        FAILED = "failed"
        TIMEOUT = "timeout"
        CANCELLED = "cancelled"

    id = models.CharField(primary_key=True, max_length=36)  # maip-orch:<ULID>
    tenant = tenant_of_row()
    mode = models.CharField(max_length=4, choices=Mode.choices)
    api_key_id = models.UUIDField(default=NOBODY)
    agent_id = models.CharField(max_length=200)
    workflow_id = models.CharField(max_length=200, default="")
    name = models.CharField(max_length=200, default="")
    model = models.CharField(max_length=200, default="")
    # What the caller handed in as JSON, shown as it came: agents, input,
    # parameters, metadata.
    request = models.JSONField(default=dict)
    max_steps = models.BigIntegerField()
    timeout_seconds = models.BigIntegerField()
    budget = CentsField(null=True)
    status = models.CharField(
        max_length=9, choices=Status.choices, default=Status.RUNNING
    )
    started_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    ending = models.JSONField(null=True)  # output, output_hash, error, as given
    receipt_id = models.UUIDField(null=True)  # of the ending
    # Totals of its inferences, in the order of the log: their count, and the
    # frontier of the tree over their receipt hashes (`receipts.merkle.Frontier`).
    inference_count = models.BigIntegerField(default=0)
    frontier = models.BinaryField(default=bytes)
    cost = CentsField(default=Decimal(0))  # as charged, of inferences
    list_price = CentsField(default=Decimal(0))
    unpriced_count = models.BigIntegerField(default=0)
    flagged_count = models.BigIntegerField(default=0)
    step_count = models.BigIntegerField(default=0)
    step_cost = CentsField(default=Decimal(0))

    class Meta:
        indexes = [
            models.Index(
                fields=["tenant", "mode", "-id"], name="orchestrations_by_age"
            ),
            models.Index(
                fields=["tenant", "mode", "agent_id", "-id"],
                name="orchestrations_by_agent",
            ),
            models.Index(
                fields=["tenant", "mode", "workflow_id", "-id"],
                condition=~Q(workflow_id=""),
                name="orchestrations_by_workflow",
            ),
            models.Index(
                fields=["expires_at"],
                condition=Q(status="running"),
                name="orchestrations_running",
            ),
        ]

    def __str__(self) -> str:
        return self.id

    @property
    def total_cost(self) -> Decimal:
        return Decimal(self.cost + self.step_cost)

    def adjustment(self) -> Decimal:
        """Return what its calls cost more, or less, since they were priced anew."""
        sums = Adjustment.objects.filter(
            tenant_id=self.tenant_id, orchestration_id=self.pk
        ).aggregate(after=Sum("after"), before=Sum("before"))
        return (sums["after"] or Decimal(0)) - (sums["before"] or Decimal(0))


class Inference(Tokens):
    """One LLM call; the receipt of the same id holds what was claimed of it."""

    receipt_id = models.UUIDField(primary_key=True)
    tenant = tenant_of_row()
    mode = models.CharField(max_length=4, choices=Mode.choices)
    orchestration_id = models.CharField(max_length=36, default="")
    leaf_index = models.BigIntegerField()
    recorded_at = models.DateTimeField()
    model = models.CharField(max_length=200)
    provider = models.CharField(max_length=20, choices=Provider.choices)
    agent_id = models.CharField(max_length=200, default="")
    workflow_id = models.CharField(max_length=200, default="")
    api_key_id = models.UUIDField(default=NOBODY)
    sequence = models.BigIntegerField(null=True)  # the client's own counter
    latency_ms = models.BigIntegerField(null=True)
    cost = CentsField(null=True)  # as charged; NULL is unpriced
    list_price = CentsField(null=True)
    cost_source = models.CharField(max_length=17, choices=CostSource.choices)
    flagged = models.BooleanField(default=False)  # the usage contradicts itself

    class Meta:
        indexes = [
            models.Index(
                fields=["tenant", "orchestration_id", "leaf_index"],
                condition=~Q(orchestration_id=""),
                name="inferences_by_orchestration",
            ),
            models.Index(
                fields=["tenant", "mode", "recorded_at"], name="inferences_by_time"
            ),
        ]

    def __str__(self) -> str:
        return str(self.receipt_id)


class Step(models.Model):
    """Something else that an agent did within an orchestration."""

    class Action(models.TextChoices):
        TOOL_CALL = "tool_call"
        DECISION = "decision"
        GUARDRAIL_CHECK = "guardrail_check"
        LLM_INFERENCE = "llm_inference"

    tenant = tenant_of_row()
    orchestration_id = models.CharField(max_length=36)
    step_number = models.BigIntegerField()  # from 1
    recorded_at = models.DateTimeField()
    action = models.CharField(max_length=15, choices=Action.choices)
    agent_id = models.CharField(max_length=200, default="")
    name = models.CharField(max_length=200, default="")
    result = models.JSONField(null=True)
    duration_ms = models.BigIntegerField(null=True)
    cost = CentsField(null=True)
    input_hash = models.CharField(max_length=64, default="")
    output_hash = models.CharField(max_length=64, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "orchestration_id", "step_number"],
                name="orchestrations_step_number_unique",
            )
        ]

    def __str__(self) -> str:
        return f"{self.orchestration_id} {self.step_number}"


class Adjustment(models.Model):
    """An inference priced anew: what it counts from now on, not what was charged."""

    receipt_id = models.UUIDField(primary_key=True)  # of the adjustment
    tenant = tenant_of_row()
    mode = models.CharField(max_length=4, choices=Mode.choices)
    inference_id = models.UUIDField()  # receipt_id of the inference
    orchestration_id = models.CharField(max_length=36, default="")
    recorded_at = models.DateTimeField()
    before = CentsField(null=True)
    after = CentsField()

    class Meta:
        indexes = [
            models.Index(
                fields=["tenant", "orchestration_id"],
                condition=~Q(orchestration_id=""),
                name="adjustments_by_orchestration",
            ),
            models.Index(
                fields=["tenant", "inference_id", "recorded_at"],
                name="adjustments_by_inference",
            ),
        ]

    def __str__(self) -> str:
        return str(self.receipt_id)


class Usage(Tokens):
    """Sums over inferences that share a period and every name they can be grouped by.

    By our clock's UTC day of recording: what a caller claims of the time could put
    a call into a day already accounted for. Step costs count under the model "".
    """

    tenant = tenant_of_row()
    mode = models.CharField(max_length=4, choices=Mode.choices)
    day = models.DateField()
    model = models.CharField(max_length=200)
    provider = models.CharField(max_length=20)
    agent_id = models.CharField(max_length=200)
    workflow_id = models.CharField(max_length=200)
    api_key_id = models.UUIDField()
    calls = models.BigIntegerField(default=0)
    cost = CentsField(default=Decimal(0))
    list_price = CentsField(default=Decimal(0))
    unpriced = models.BigIntegerField(default=0)
    flagged = models.BigIntegerField(default=0)
    latency_ms = models.BigIntegerField(default=0)  # sum
    timed = models.BigIntegerField(default=0)  # calls with a latency
    steps = models.BigIntegerField(default=0)
    step_cost = CentsField(default=Decimal(0))

    class Meta:
        abstract = True


class UsageDay(Usage):
    # Of inferences of this day, whenever they were priced anew.
    adjustment = CentsField(default=Decimal(0))  # adjusted cost - cost, may be < 0
    priced_later = models.BigIntegerField(default=0)  # of the unpriced

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "tenant",
                    "mode",
                    "day",
                    "model",
                    "provider",
                    "agent_id",
                    "workflow_id",
                    "api_key_id",
                ],
                name="orchestrations_usageday_unique",
            )
        ]
        indexes = [
            # For sums over a year: a third of the unique one's pages, and so the
            # planner never prefers to read other tenants' rows.
            models.Index(
                fields=["tenant", "mode", "day"], name="orchestrations_usageday_by_day"
            )
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.model}"


class UsageHour(Usage):
    """As UsageDay for each hour, and for each band of latencies within it."""

    hour = models.SmallIntegerField()  # 0-23, UTC
    latency_band = models.SmallIntegerField()  # orchestrations.bands; -1: untimed

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "tenant",
                    "mode",
                    "day",
                    "hour",
                    "model",
                    "provider",
                    "agent_id",
                    "workflow_id",
                    "api_key_id",
                    "latency_band",
                ],
                name="orchestrations_usagehour_unique",
            )
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.hour:02}h {self.model}"


class RunDay(models.Model):
    """Ended runs of a day by what they cost: how often each band of costs occurred.

    For every way to group them: `dimension` is "" for all runs, else one of model,
    provider, agent_id, workflow_id, api_key, and a run counts once for each `value`
    of it among its calls, with what it cost there.
    """

    tenant = tenant_of_row()
    mode = models.CharField(max_length=4, choices=Mode.choices)
    day = models.DateField()
    dimension = models.CharField(max_length=11)
    value = models.CharField(max_length=200)
    status = models.CharField(max_length=9)
    cost_band = models.SmallIntegerField()  # orchestrations.bands
    runs = models.BigIntegerField(default=0)
    cost = CentsField(default=Decimal(0))

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "tenant",
                    "mode",
                    "dimension",
                    "day",
                    "value",
                    "status",
                    "cost_band",
                ],
                name="orchestrations_runday_unique",
            )
        ]
        indexes = [
            models.Index(  # as UsageDay's
                fields=["tenant", "mode", "dimension", "day"],
                name="orchestrations_runday_by_day",
            )
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.dimension} {self.value}"


class MonthSpend(models.Model):
    """What a tenant's calls and steps cost in a calendar month, UTC."""

    tenant = tenant_of_row()
    mode = models.CharField(max_length=4, choices=Mode.choices)
    month = models.DateField()  # its first day
    spent = CentsField(default=Decimal(0))

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "mode", "month"],
                name="orchestrations_monthspend_unique",
            )
        ]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}"


class Budget(models.Model):
    """What a tenant may spend in a calendar month, UTC."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    mode = models.CharField(max_length=4, choices=Mode.choices, default=Mode.LIVE)
    limit = CentsField("limit, in US cents a month")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "mode"], name="orchestrations_budget_one_per_mode"
            ),
            models.CheckConstraint(
                condition=Q(limit__gte=0), name="orchestrations_budget_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tenant} ({self.mode})"

    @transaction.atomic
    def save(self, *args: Any, **options: Any) -> None:
        super().save(*args, **options)
        self.tenant.forget_keys()  # as with prices

    @transaction.atomic
    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        self.tenant.forget_keys()
        return super().delete(*args, **options)


def _rate(name: str) -> "models.DecimalField[Decimal | None, Decimal | None]":
    return models.DecimalField(
        f"{name}, US dollars per million tokens",
        max_digits=15,
        decimal_places=6,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal(0))],
    )


class Price(models.Model):
    """A tenant's own price of a model, or its discount on the catalogue's.

    Holds for calls from `valid_from` until before `valid_to`. Of those that hold,
    an exact model name goes before a pattern, the longer pattern before the
    shorter, then the later `valid_from`.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    provider = models.CharField(max_length=20, choices=Provider.choices)
    model = models.CharField(
        max_length=200, help_text="A model's name, or a beginning of it and `*`."
    )
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True, blank=True)
    # All empty: the catalogue's rates. Else what is empty costs as much as input
    # (both cache writes, cache reads), and input and output are given.
    input_rate = _rate("input")
    cache_read_rate = _rate("cache read")
    cache_write_5m_rate = _rate("cache write, 5 minutes")
    cache_write_1h_rate = _rate("cache write, 1 hour")
    output_rate = _rate("output")
    factor = models.DecimalField(
        "discount factor",
        max_digits=7,
        decimal_places=6,
        default=Decimal(1),
        validators=[MinValueValidator(Decimal(0)), MaxValueValidator(Decimal(9))],
        help_text="What is paid of the rates: 0.85 is 15 % off.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(valid_to=None) | Q(valid_to__gt=models.F("valid_from")),
                name="orchestrations_price_ends_after_it_begins",
            ),
            models.CheckConstraint(
                condition=Q(input_rate=None, output_rate=None)
                | Q(input_rate__isnull=False, output_rate__isnull=False),
                name="orchestrations_price_has_both_rates",
            ),
        ]
        indexes = [
            models.Index(
                fields=["tenant", "provider"], name="orchestrations_price_by_tenant"
            )
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.model}"

    @transaction.atomic
    def save(self, *args: Any, **options: Any) -> None:
        super().save(*args, **options)
        self.tenant.forget_keys()  # which stands for what workers know of a tenant

    @transaction.atomic
    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        self.tenant.forget_keys()
        return super().delete(*args, **options)

    @property
    def is_pattern(self) -> bool:
        return self.model.endswith("*")

    def clean(self) -> None:
        errors = {}
        if "*" in self.model[:-1]:
            errors["model"] = "A `*` may stand at the end, and only there."
        if self.valid_from and self.valid_to and self.valid_to <= self.valid_from:
            errors["valid_to"] = "This is not after the beginning."
        caches = (
            self.cache_read_rate,
            self.cache_write_5m_rate,
            self.cache_write_1h_rate,
        )
        for name, rate, others in (
            ("input_rate", self.input_rate, (self.output_rate, *caches)),
            ("output_rate", self.output_rate, (self.input_rate, *caches)),
        ):
            if rate is None and any(other is not None for other in others):
                errors[name] = "Where any rate is given, this is too."
        if self.provider == Provider.CUSTOM and self.input_rate is None:
            errors["input_rate"] = "A custom provider has no list price to discount."
        if errors:
            raise ValidationError(errors)
