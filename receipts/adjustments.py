"""Which later receipts price a call anew, as told by the app that prices calls.

This app knows nothing of prices: whoever keeps them registers a reader.
"""

from collections.abc import Callable
from uuid import UUID

from receipts.models import Receipt

Reader = Callable[[Receipt], list[UUID]]

_readers: list[Reader] = []


def tells_adjustments(reader: Reader) -> Reader:
    _readers.append(reader)
    return reader


def adjustments_of(receipt: Receipt) -> list[UUID]:
    """Return the ids of receipts that adjust this one, the newest first."""
    return [found for reader in _readers for found in reader(receipt)]
