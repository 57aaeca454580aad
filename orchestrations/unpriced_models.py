"""Models whose calls have no price, so that nobody knows what they cost."""

from typing import NamedTuple
from uuid import UUID

from django.db.models import F, Sum

from orchestrations.costs import Period
from orchestrations.models import UsageDay

HOW_MANY = 10


class UnpricedModel(NamedTuple):
    provider: str
    model: str
    calls: int  # that have no price by now


def unpriced_models(
    tenant_id: UUID, mode: str, period: Period, how_many: int = HOW_MANY
) -> list[UnpricedModel]:
    """Return those with the most such calls."""
    rows = UsageDay.objects.filter(
        tenant_id=tenant_id,
        mode=mode,
        day__range=(period.first, period.last),
        unpriced__gt=F("priced_later"),
    )
    models = rows.values_list("provider", "model").annotate(
        still=Sum(F("unpriced") - F("priced_later")),
    )
    return [
        UnpricedModel(*row) for row in models.order_by("-still", "model")[:how_many]
    ]
