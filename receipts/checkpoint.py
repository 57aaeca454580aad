"""C2SP tlog-checkpoint: the text of a log's signed tree head."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from receipts.merkle import HASH_BYTES, MAX_SIZE
from receipts.note import decode_base64


class CheckpointError(ValueError):
    """Not the text of a checkpoint."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The root (32 bytes) of the log `origin` when it had `size` entries.

    `extensions` are the lines after the root. We never write any; the
    specification tells readers to let them pass.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if type(self.size) is not int or not 0 <= self.size <= MAX_SIZE:
            raise CheckpointError("a tree size is an integer from 0 to 2^63-1")
        if len(self.root) != HASH_BYTES:
            raise CheckpointError(f"a root has {HASH_BYTES} bytes")
        if any(not line or "\n" in line for line in (self.origin, *self.extensions)):
            raise CheckpointError("an origin or extension is one non-empty line")

    def text(self) -> str:
        """Return the note text, the last newline included."""
        root = base64.b64encode(self.root).decode()
        lines = (self.origin, str(self.size), root, *self.extensions)
        return "".join(f"{line}\n" for line in lines)


def parse(text: str) -> Checkpoint:
    """Read a note text, in its one spelling; raises CheckpointError."""
    origin, *lines = text.split("\n")
    if len(lines) < 3 or lines.pop() != "":
        raise CheckpointError("a checkpoint has three lines, each ended")
    try:
        size, root = parse_decimal(lines[0]), decode_base64(lines[1])
    except ValueError as error:
        raise CheckpointError(f"malformed checkpoint: {error}") from error
    return Checkpoint(origin, size, root, tuple(lines[2:]))


def parse_decimal(text: str) -> int:
    """Read an ASCII decimal up to 2^63-1 without leading zeroes, or ValueError."""
    if not re.fullmatch("0|[1-9][0-9]{0,18}", text) or int(text) > MAX_SIZE:
        raise ValueError(f"{text!r:.40} is not a decimal from 0 to 2^63-1")
    return int(text)
