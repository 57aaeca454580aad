"""What is paid and what may be spent: set by operators, read by every worker."""

from datetime import datetime
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from lucid.owned import TenantManager
from orchestrations.models.remembered import Remembered
from orchestrations.models.runs import Provider
from orchestrations.money import CentsField
from tenants.models import Mode


class Budget(Remembered):
    """What a tenant may spend in a calendar month, UTC."""

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


def _rate(name: str) -> "models.DecimalField[Decimal | None, Decimal | None]":
    return models.DecimalField(
        f"{name}, US dollars per million tokens",
        max_digits=15,
        decimal_places=6,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal(0))],
    )


class PriceQuerySet(models.QuerySet["Price"]):
    def holding_at(self, at: datetime) -> "PriceQuerySet":
        return self.filter(Q(valid_to=None) | Q(valid_to__gt=at), valid_from__lte=at)


class Price(Remembered):
    """A tenant's own price of a model, or its discount on the catalogue's.

    Holds for calls from `valid_from` until before `valid_to`. Of those that hold,
    an exact model name goes before a pattern, the longer pattern before the
    shorter, then the later `valid_from`.
    """

    provider = models.CharField(max_length=20, choices=Provider.choices)
    model = models.CharField(
        max_length=200, help_text="As gpt-5, or gpt-5* for all that begin so."
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

    objects = TenantManager.from_queryset(PriceQuerySet)()  # type: ignore[misc]

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

    def has_ended(self, at: datetime) -> bool:
        return self.valid_to is not None and self.valid_to <= at

    @property
    def is_pattern(self) -> bool:
        return self.model.endswith("*")

    def clean(self) -> None:
        errors = {}
        if "*" in self.model[:-1]:
            errors["model"] = "A * may stand at the end, and only there."
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
