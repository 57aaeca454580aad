"""Why the books keep something not, as the API tells it."""

from lucid.api.errors import ApiError, Code, invalid
from orchestrations.models import Orchestration
from orchestrations.money import from_nanocents, plain

Status = Orchestration.Status


def not_running(status: str) -> ApiError:
    return ApiError(
        Code.NOT_RUNNING,
        f"The orchestration has ended: {status}.",
        extra={"status": str(status)},
    )


def too_many_steps(limit: int) -> ApiError:
    message = f"The orchestration has had its {limit} steps (max_steps)."
    return ApiError(Code.NOT_RUNNING, message, extra={"status": str(Status.FAILED)})


def ended_otherwise(status: str) -> ApiError:
    return ApiError(
        Code.CONFLICT,
        f"The orchestration has ended otherwise: {status}.",
        extra={"status": str(status)},
    )


def beyond_exactness() -> ApiError:
    # The final receipt carries the totals, and no receipt an integer beyond 2^53-1:
    # such a run could never end.
    return invalid({"body": ["The sums that this adds to would no longer be exact."]})


def over_budget(whose: str, limit: int) -> ApiError:
    return ApiError(
        Code.BUDGET_EXCEEDED,
        f"The budget of {whose}, {_cents(limit)} cents, is spent.",
    )


def over_budget_with(whose: str, limit: int, spent: int, most: int) -> ApiError:
    left = max(limit - spent, 0)
    return ApiError(
        Code.BUDGET_EXCEEDED,
        f"This call may cost up to {_cents(most)} cents. Of the budget of {whose},"
        f" {_cents(limit)} cents, {_cents(left)} are neither spent nor held for calls"
        " under way.",
    )


def at_capacity(provider: str, limit: int) -> ApiError:
    return ApiError(
        Code.RATE_LIMITED,
        f"{provider} has {limit} calls of this tenant under way, all that it may get.",
    )


def _cents(nanocents: int) -> str:
    return plain(from_nanocents(nanocents))
