from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest

from lucid.api.admin_pages import ReadOnlyAdmin
from lucid.api.large_tables import LargeTableAdmin, NewestPaginator
from orchestrations.models import (
    Adjustment,
    Attempt,
    Budget,
    Inference,
    MonthSpend,
    Orchestration,
    Price,
    ProviderCredential,
    Step,
)
from orchestrations.money import plain
from orchestrations.provider_admin import ProviderCredentialAdmin
from orchestrations.remembered_admin import RememberedAdmin
from orchestrations.tenant_usage import this_month
from orchestrations.terms_changes import LARGEST_BUDGET
from tenants.audited_admin import AuditedAdmin

FILTERS = f"Filters look through the newest {NewestPaginator.LIMIT:,} rows."


class RecordAdmin(AuditedAdmin, LargeTableAdmin, ReadOnlyAdmin):
    """A table that is too large to be counted, newest first along its primary key."""


@admin.register(Orchestration)
class OrchestrationAdmin(RecordAdmin):
    list_display = [
        "id",
        "tenant",
        "mode",
        "agent_id",
        "status",
        "inference_count",
        "cost_in_cents",
        "unpriced_count",
        "flagged_count",
        "started_at",
    ]
    list_filter = ["mode", "status"]
    search_help_text = f"An orchestration's id. {FILTERS}"

    @admin.display(description="Cost, in cents")
    def cost_in_cents(self, run: Orchestration) -> str:
        return plain(run.total_cost)


class PartOfRunAdmin(RecordAdmin):
    """Found by the run it is a part of, too, whose tenant begins every index."""

    def found_by(self, term: str) -> Q:
        run = Orchestration.objects.filter(pk=term).first()
        if run:
            return Q(tenant=run.tenant_id, orchestration_id=run.pk)
        is_numbered = isinstance(self.opts.pk, models.BigAutoField)
        return Q(pk__in=[]) if is_numbered else super().found_by(term)


@admin.register(Inference)
class InferenceAdmin(PartOfRunAdmin):
    list_display = [
        "receipt_id",
        "tenant",
        "mode",
        "outcome",
        "provider",
        "model",
        "cost_in_cents",
        "cost_source",
        "flagged",
        "recorded_at",
        "orchestration_id",
    ]
    list_filter = ["mode", "outcome", "provider", "cost_source", "flagged"]
    search_help_text = f"A receipt_id, or an orchestration's id. {FILTERS}"

    @admin.display(description="Cost, in cents")
    def cost_in_cents(self, inference: Inference) -> str | None:
        return None if inference.cost is None else plain(inference.cost)


@admin.register(Step)
class StepAdmin(PartOfRunAdmin):
    list_display = [
        "orchestration_id",
        "step_number",
        "tenant",
        "mode",
        "action",
        "name",
        "recorded_at",
    ]
    list_filter = ["mode", "action"]
    search_help_text = f"An orchestration's id. {FILTERS}"


@admin.register(Adjustment)
class AdjustmentAdmin(RecordAdmin):
    list_display = [
        "receipt_id",
        "tenant",
        "mode",
        "inference_id",
        "before",
        "after",
        "recorded_at",
    ]
    list_filter = ["mode"]
    search_help_text = f"The receipt_id of an adjustment. {FILTERS}"


@admin.register(Attempt)
class AttemptAdmin(PartOfRunAdmin):
    """The calls that are under way."""

    list_display = [
        "receipt_id",
        "tenant",
        "provider",
        "model",
        "orchestration_id",
        "number",
        "started_at",
        "deadline",
    ]
    list_filter = ["mode", "provider"]
    search_help_text = f"A receipt_id, or an orchestration's id. {FILTERS}"


class CentsInput(forms.DecimalField):
    def prepare_value(self, value: Any) -> Any:
        return plain(value) if isinstance(value, Decimal) else value


class BudgetForm(forms.ModelForm):
    limit = CentsInput(
        min_value=0,
        max_value=LARGEST_BUDGET,
        decimal_places=9,
        label="Limit, in US cents a month",
    )


@admin.register(Budget)
class BudgetAdmin(RememberedAdmin):
    form = BudgetForm
    list_display = ["tenant", "mode", "limit_in_cents", "spent", "remaining"]
    list_filter = ["mode"]
    list_select_related = ["tenant"]
    search_fields = ["tenant__slug"]
    autocomplete_fields = ["tenant"]
    fields = ["tenant", "mode", "limit", "spent", "remaining", "updated_at"]
    readonly_fields = ["spent", "remaining", "updated_at"]

    def object_id(self, obj: Budget) -> str:
        return obj.mode

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        spend = MonthSpend.objects.filter(
            tenant=OuterRef("tenant"), mode=OuterRef("mode"), month=this_month()
        )
        budgets: QuerySet = super().get_queryset(request)
        budgets = budgets.annotate(month_spent=Subquery(spend.values("spent")))
        return budgets

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [*self.readonly_fields, *(["tenant", "mode"] if obj else [])]

    @admin.display(description="Limit, in cents", ordering="limit")
    def limit_in_cents(self, budget: Budget) -> str:
        return plain(budget.limit)

    @admin.display(description="Spent this month, in cents")
    def spent(self, budget: Budget) -> str:
        return plain(_spent(budget))

    @admin.display(description="Remaining, in cents")
    def remaining(self, budget: Budget) -> str | None:
        return None if budget.limit is None else plain(budget.limit - _spent(budget))


def _spent(budget: Any) -> Decimal:
    return getattr(budget, "month_spent", None) or Decimal(0)


@admin.register(Price)
class PriceAdmin(RememberedAdmin):
    list_display = [
        "model",
        "provider",
        "tenant",
        "valid_from",
        "valid_to",
        "input_rate",
        "output_rate",
        "factor",
    ]
    list_filter = ["provider"]
    list_select_related = ["tenant"]
    search_fields = ["model", "tenant__slug"]
    autocomplete_fields = ["tenant"]
    fieldsets = [
        (None, {"fields": ["tenant", "provider", "model", "valid_from", "valid_to"]}),
        (
            "Rates",
            {
                "fields": [
                    "input_rate",
                    "cache_read_rate",
                    "cache_write_5m_rate",
                    "cache_write_1h_rate",
                    "output_rate",
                    "factor",
                ],
                "description": "Leave all rates empty for those of the catalogue."
                " Where input and output are given, a cache rate left empty is that"
                " of input.",
            },
        ),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["tenant"] if obj else []

    def object_id(self, obj: Price) -> str:
        return str(obj)


admin.site.register(ProviderCredential, ProviderCredentialAdmin)
