"""When a call is worth another attempt, and after what pause."""

import random
import time
from email.utils import parsedate_to_datetime

from orchestrations.gateway.upstream import Exchange, Failure

# What passes, and costs nothing: too many requests, a fault, overload.
PASSING = frozenset({408, 429, 500, 502, 503, 504, 529})
FIRST_PAUSE = 0.5  # seconds; doubled with every attempt
MAX_PAUSE = 20.0  # who is asked to wait for longer is better told so


def pause_after(number: int, result: Exchange | Failure) -> float | None:
    """Return the seconds to wait after attempt `number`; None: it is no use.

    A request that was sent and not answered is not sent again, as it may have been
    paid for.
    """
    if isinstance(result, Failure):
        return None if result.is_sent else _backoff(number)
    if result.status not in PASSING:
        return None
    asked = _asked_for(result)
    if asked is None:
        return _backoff(number)
    return asked if asked <= MAX_PAUSE else None


def _backoff(number: int) -> float:
    """Return a pause of which half is random: clients that failed together part."""
    longest = min(FIRST_PAUSE * 2 ** (number - 1), MAX_PAUSE)
    return float(longest * random.uniform(0.5, 1))  # noqa: S311  not a secret


def _asked_for(exchange: Exchange) -> float | None:
    milliseconds = exchange.header("Retry-After-Ms")
    if milliseconds.isdecimal():
        return float(milliseconds) / 1000
    text = exchange.header("Retry-After")
    if text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(moment.timestamp() - time.time(), 0)
