"""What an auditor makes of the HTTP answers alone: bytes in, a verdict out."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from receipts import canonical, checkpoint, note
from receipts.api import MAX_BATCH
from receipts.checkpoint import Checkpoint
from receipts.note import VerifierKey
from receipts.verifier import Result, split, verify
from tests.caller import RUN, Caller


def receipt_path(name: str, action: str = "") -> str:
    """The path of a receipt, its name percent-encoded as clients do it."""
    path = f"/v1/receipts/{quote(name, safe='')}"
    return f"{path}/{action}" if action else path


def fetch(caller: Caller, path: str) -> Any:
    answer = caller.get(path)
    assert answer.status_code == 200, answer.content
    return answer.json()


def vkey(caller: Caller) -> VerifierKey:
    return VerifierKey.parse(fetch(caller, "/v1/signer/pubkey")["vkey"])


def audit(caller: Caller, name: str) -> Result:
    """Verify a receipt as it is answered, its proof, and the log's pinned key."""
    receipt = caller.get(receipt_path(name)).content
    proof = caller.get(receipt_path(name, "proof")).content
    return verify(receipt, proof, [vkey(caller)])


def log_size(caller: Caller) -> int:
    size: int = fetch(caller, "/v1/mmr/root")["leaf_count"]
    return size


def entry_of(receipt: dict[str, Any]) -> bytes:
    """The entry of the log that a receipt JSON was made from."""
    return canonical.dumps(split(receipt)[0])


def read_checkpoint(text: str | bytes, key: VerifierKey) -> Checkpoint:
    """Open a signed checkpoint; raises unless the log's key has signed it."""
    return checkpoint.parse(note.open_note(text, [key]).text)


def grow(caller: Caller, count: int) -> list[dict[str, Any]]:
    """Report runs `run-<index>` until the log has that many more; their receipts."""
    start = log_size(caller)
    runs = [RUN | {"run_id": f"run-{start + i}"} for i in range(count)]
    receipts = []
    for first in range(0, count, MAX_BATCH):
        batch = {"receipts": runs[first : first + MAX_BATCH]}
        answer = caller.post("/v1/receipts/batch", batch)
        assert answer.status_code == 200, answer.content
        receipts += [result["receipt"] for result in answer.json()["results"]]
    return receipts


@dataclass(frozen=True)
class LongLog:
    """A log that two tiles are full of, and its checkpoints on the way there."""

    caller: Caller
    receipts: list[dict[str, Any]]
    checkpoints: dict[int, str]

    @property
    def entries(self) -> list[bytes]:
        return [entry_of(receipt) for receipt in self.receipts]

    @property
    def size(self) -> int:
        return len(self.receipts)

    @property
    def path(self) -> str:
        return f"/log/{self.caller.tenant.slug}"


def long_log(caller: Caller, sizes: list[int]) -> LongLog:
    receipts: list[dict[str, Any]] = []
    checkpoints = {}
    for size in sizes:
        receipts += grow(caller, size - len(receipts))
        answer = caller.get(f"/log/{caller.tenant.slug}/checkpoint")
        checkpoints[size] = answer.content.decode()
    return LongLog(caller, receipts, checkpoints)


def dumps(document: Any) -> bytes:
    """Compact JSON, as clients send it."""
    return json.dumps(document, separators=(",", ":")).encode()
