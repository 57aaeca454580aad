"""Logs that only this process has been writing to, and what it knows of them.

The head of such a log is known before the transaction, so a batch for it needs no
look first: one conditional statement writes it, or finds that the log has moved.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from receipts.keyring import Keyring
from receipts.storage import Head
from receipts.tiles import TILE_WIDTH

# Batches in a row without a sign of another writer. Fewer would be a guess, and a
# wrong one costs a round trip and a wait for the other's lock.
QUIET_AFTER = 8
MEMORY_LIMIT = 10_000  # heads; some 10 MB


class Submitted(Protocol):
    @property
    def keyring(self) -> Keyring: ...
    @property
    def entries(self) -> Sequence[object]: ...
    @property
    def claim(self) -> object: ...


@dataclass(slots=True)
class _Known:
    head: Head
    streak: int


class QuietLogs:
    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}

    def head_for(self, batch: Sequence[Submitted]) -> Head | None:
        """Return the head that the batch extends, if it may be written unseen.

        It may not when it is for several logs, answers an Idempotency-Key, was
        signed with other keys, or fills a tile, which takes earlier hashes.
        """
        known = self._known.get(batch[0].keyring.log_id)
        if known is None or known.streak < QUIET_AFTER:
            return None
        head = known.head
        for submission in batch:
            keyring = submission.keyring
            if keyring.log_id != head.log_id or submission.claim:
                return None
            if keyring.version != head.keyring_version:
                return None
        count = sum(len(submission.entries) for submission in batch)
        return head if head.size % TILE_WIDTH + count < TILE_WIDTH else None

    def wrote(self, before: Head, after: Head) -> None:
        """Note that a log, found to be at `before`, was written up to `after`."""
        known = self._known.get(before.log_id)
        undisturbed = known is not None and known.head.size == before.size
        if len(self._known) >= MEMORY_LIMIT:
            self._known.clear()
        streak = known.streak + 1 if known and undisturbed else 0
        self._known[before.log_id] = _Known(after, streak)

    def forget(self, log_id: int) -> None:
        self._known.pop(log_id, None)
