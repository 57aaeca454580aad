"""Models whose calls have no price, so that nobody knows what they cost."""

from collections import Counter
from typing import NamedTuple
from uuid import UUID

from django.db.models import F, Q, Sum

from orchestrations.costs import Period
from orchestrations.usage_sums import Days, sums_of

HOW_MANY = 10


class UnpricedModel(NamedTuple):
    provider: str
    model: str
    calls: int  # that have no price by now


def unpriced_models(
    tenant_id: UUID, mode: str, period: Period, how_many: int = HOW_MANY
) -> list[UnpricedModel]:
    """Return those with the most such calls."""
    rows = sums_of(
        tenant_id,
        mode,
        [Days(period.first, period.last)],
        ("provider", "model"),
        {"still": Sum(F("unpriced") - F("priced_later"))},
        among=Q(unpriced__gt=F("priced_later")),
    )
    calls: Counter[tuple[str, str]] = Counter()
    for _, provider, model, still in rows:
        calls[provider, model] += still
    most = sorted(calls.items(), key=lambda it: (-it[1], it[0][1]))
    return [UnpricedModel(*names, still) for names, still in most[:how_many]]
