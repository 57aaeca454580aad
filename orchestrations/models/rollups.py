"""Sums over runs, calls and steps, kept so that no page ever adds them up."""

from decimal import Decimal

from django.db import models

from lucid.owned import TenantOwned
from orchestrations.models.runs import Tokens, tenant_of_row
from orchestrations.money import CentsField
from tenants.models import Mode


class Usage(Tokens):
    """Sums over inferences that share a period and every name they can be grouped by.

    By our clock's UTC day of recording: what a caller claims of the time could put
    a call into a day already accounted for. Step costs count under the model "".
    """

    tenant = tenant_of_row()
    mode = models.CharField(max_length=4, choices=Mode.choices)
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
    failed = models.BigIntegerField(default=0)  # failed, cut or unknown
    latency_ms = models.BigIntegerField(default=0)  # sum
    timed = models.BigIntegerField(default=0)  # calls with a latency
    steps = models.BigIntegerField(default=0)
    step_cost = CentsField(default=Decimal(0))

    class Meta:
        abstract = True


class AdjustedUsage(Usage):
    """Usage, and what its inferences cost more or less since they were priced anew."""

    adjustment = CentsField(default=Decimal(0))  # adjusted cost - cost, may be < 0
    priced_later = models.BigIntegerField(default=0)  # of the unpriced

    class Meta:
        abstract = True


class UsageDay(AdjustedUsage):
    day = models.DateField()

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


class UsageMonth(AdjustedUsage):
    """UsageDay's rows of a calendar month in one."""

    month = models.DateField()  # its first day

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "tenant",
                    "mode",
                    "month",
                    "model",
                    "provider",
                    "agent_id",
                    "workflow_id",
                    "api_key_id",
                ],
                name="orchestrations_usagemonth_unique",
            )
        ]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m} {self.model}"


class UsageHour(Usage):
    """As UsageDay for each hour, and for each band of latencies within it."""

    day = models.DateField()
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


class RunDay(TenantOwned):
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


class RunMonth(TenantOwned):
    """RunDay's rows of a calendar month in one, however the runs ended.

    A year of RunDay is some 100,000 rows of a dimension, of this some 10,000.
    """

    tenant = tenant_of_row()
    mode = models.CharField(max_length=4, choices=Mode.choices)
    month = models.DateField()  # its first day
    dimension = models.CharField(max_length=11)
    value = models.CharField(max_length=200)
    cost_band = models.SmallIntegerField()
    runs = models.BigIntegerField(default=0)
    cost = CentsField(default=Decimal(0))

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "mode", "dimension", "month", "value", "cost_band"],
                name="orchestrations_runmonth_unique",
            )
        ]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m} {self.dimension} {self.value}"


class MonthSpend(TenantOwned):
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
