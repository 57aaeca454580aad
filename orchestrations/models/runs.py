"""What agents did: runs, their calls and steps, and calls priced anew."""

import uuid
from decimal import Decimal

from django.db import models
from django.db.models import Q, Sum

from lucid.owned import TenantOwned
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
    NO_CHARGE = "no_charge"  # the provider refused, or was not met


class Outcome(models.TextChoices):
    """What became of a call that the gateway made; "" of one that was reported."""

    COMPLETED = "completed"
    FAILED = "failed"  # no answer, or one that says why not
    CUT = "cut"  # the answer broke off
    UNKNOWN = "unknown"  # the server died meanwhile


NOT_COMPLETED = (Outcome.FAILED, Outcome.CUT, Outcome.UNKNOWN)


class Tokens(TenantOwned):
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
    # What it cost in all, once that is known: for the index of the dearest.
    final_cost = CentsField(null=True)
    # Totals of its inferences, in the order of the log: their count, and the
    # frontier of the tree over their receipt hashes (`receipts.merkle.Frontier`).
    inference_count = models.BigIntegerField(default=0)
    frontier = models.BinaryField(default=bytes)
    cost = CentsField(default=Decimal(0))  # as charged, of inferences
    list_price = CentsField(default=Decimal(0))
    unpriced_count = models.BigIntegerField(default=0)
    flagged_count = models.BigIntegerField(default=0)
    failed_count = models.BigIntegerField(default=0)  # failed, cut or unknown
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
            # For the dearest that ended in a period, by its days or by their cost. With
            # `cost` and `step_cost` in one, no count of a call would be a small update
            # any more (HOT): these two change with every call, and the final cost when
            # the run ends.
            models.Index(
                fields=["tenant", "mode", "ended_at", "final_cost"],
                condition=Q(ended_at__isnull=False),
                name="orchestrations_by_end",
            ),
            models.Index(
                fields=["tenant", "mode", "final_cost", "ended_at"],
                condition=Q(ended_at__isnull=False),
                name="orchestrations_by_cost",
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
    outcome = models.CharField(max_length=9, choices=Outcome.choices, default="")
    # As the provider named it, where our gateway saw that.
    served_model = models.CharField(max_length=200, default="")

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
            models.Index(  # the first page counts them; there are hardly any
                fields=["tenant", "mode", "-recorded_at"],
                condition=Q(outcome="unknown"),
                name="inferences_unknown",
            ),
        ]

    def __str__(self) -> str:
        return str(self.receipt_id)


class Step(TenantOwned):
    """Something else that an agent did within an orchestration."""

    class Action(models.TextChoices):
        TOOL_CALL = "tool_call"
        DECISION = "decision"
        GUARDRAIL_CHECK = "guardrail_check"
        LLM_INFERENCE = "llm_inference"

    tenant = tenant_of_row()
    mode = models.CharField(max_length=4, choices=Mode.choices)  # of its run
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
        indexes = [
            # Of those alone that the costs of steps are made of.
            models.Index(
                fields=["tenant", "mode", "recorded_at"],
                condition=Q(cost__gt=0) & ~Q(action="llm_inference"),
                name="steps_that_cost",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.orchestration_id} {self.step_number}"


class Adjustment(TenantOwned):
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
