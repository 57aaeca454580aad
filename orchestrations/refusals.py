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
        f"The budget of {whose}, {plain(from_nanocents(limit))} cents, is spent.",
    )
