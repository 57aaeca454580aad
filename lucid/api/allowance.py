"""What is left of a limit on requests, as answers tell it (WIRE section 1, Limits)."""

import math
import time
from dataclasses import dataclass

from lucid.api.errors import ApiError, Code


@dataclass(frozen=True, slots=True)
class Allowance:
    """Of `limit` requests a minute, the ones left until `reset`, in Unix seconds.

    Below zero where this request was one too many.
    """

    limit: int
    left: int
    reset: int

    def headers(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(0, self.left)),
            "X-RateLimit-Reset": str(self.reset),
        }

    def check(self) -> None:
        """Raise the 429 if this request was one too many."""
        if self.left >= 0:
            return
        seconds = max(1, math.ceil(self.reset - time.time()))
        raise ApiError(
            Code.RATE_LIMITED,
            f"More than {self.limit} requests in a minute. Try again in {seconds} s.",
            retry_after=seconds,
        )
