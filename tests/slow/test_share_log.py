"""Two gunicorn masters, four processes, one log: written by all of them at once."""

import base64
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import pytest

from receipts import checkpoint, note
from receipts.checkpoint import Checkpoint
from receipts.merkle import leaf_hash, verify_consistency, verify_inclusion
from receipts.note import VerifierKey
from tests.slow.server import Account, Installation, Server
from tests.slow.writers import Writers

pytestmark = pytest.mark.slow

WRITERS = 16
RUNS = 25  # of each writer


class Watcher(threading.Thread):
    """Fetches the checkpoint of a log again and again while entered."""

    def __init__(self, server: Server, account: Account) -> None:
        super().__init__()
        self.notes: list[str] = []
        self._server = server
        self._account = account
        self._stopping = threading.Event()

    def __enter__(self) -> list[str]:
        self.start()
        return self.notes

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        self.join()

    def run(self) -> None:
        with self._server.client(self._account) as client:
            stopping = False
            while not stopping:
                stopping = self._stopping.is_set()  # once more after the last write
                answer = client.get(f"/log/{self._account.slug}/checkpoint")
                assert answer.status == 200, answer
                self.notes.append(answer.body.decode())


@dataclass
class SharedLog:
    """A log when the load was over, and what two readers saw of it meanwhile."""

    installation: Installation
    server: Server
    account: Account
    writers: Writers
    notes: tuple[list[str], list[str]]  # in the order in which a reader saw them

    vkey: VerifierKey

    def __post_init__(self) -> None:
        self.heads = sorted(
            {self.open(text) for notes in self.notes for text in notes},
            key=lambda head: head.size,
        )

    def open(self, text: str) -> Checkpoint:
        return checkpoint.parse(note.open_note(text, [self.vkey]).text)


@pytest.fixture(scope="module")
def log(installation) -> Iterator[SharedLog]:
    with installation.server() as one, installation.server() as other:
        account = installation.new_account("shared")
        vkey = read_vkey(one, account)
        writers = Writers([one, other], account, WRITERS, RUNS)
        with Watcher(one, account) as at_one, Watcher(other, account) as at_other:
            writers.run()
        notes = at_one, at_other
        yield SharedLog(installation, one, account, writers, notes, vkey)


def read_vkey(server: Server, account: Account) -> VerifierKey:
    """Return the log's public key; asking for it opens the log, with size 0."""
    with server.client(account) as client:
        return VerifierKey.parse(client.read("/v1/signer/pubkey")["vkey"])


def test_every_run_has_an_index_of_its_own_and_none_is_left_out(log):
    receipts = log.writers.receipts.values()
    indexes = sorted(receipt["_mmr_leaf_index"] for receipt in receipts)
    assert indexes == list(range(WRITERS * RUNS))


def test_the_log_is_sound(log):
    found = log.installation.verify_log(log.account)
    assert (found["verdict"], found["size"]) == ("VALID", WRITERS * RUNS)


def test_no_writer_was_refused(log):
    assert not log.writers.refusals
    assert not log.writers.failures


def test_every_receipt_is_proven_by_the_first_checkpoint_seen_after_it(log):
    heads = {
        run_id: next(h for h in log.heads if h.size > receipt["_mmr_leaf_index"])
        for run_id, receipt in log.writers.receipts.items()
    }
    paths = (f"/v1/receipts/{run}/proof?size={h.size}" for run, h in heads.items())
    proofs = [answer["proof"] for answer in log.server.read_all(log.account, paths)]
    assert len(proofs) == len(heads)
    for proof in proofs:
        receipt, head = log.writers.receipts[proof["run_id"]], heads[proof["run_id"]]
        entry = base64.b64decode(proof["leaf"])
        hashes = [bytes.fromhex(item) for item in proof["proof"]]
        assert receipt["receipt_hash"].encode() in entry
        assert receipt["_mmr_leaf_index"] == proof["leaf_index"]
        verify_inclusion(
            proof["leaf_index"], head.size, leaf_hash(entry), hashes, head.root
        )


def test_checkpoints_of_one_size_never_differ(log):
    notes = {text for seen in log.notes for text in seen}
    assert len(notes) == len({head.size for head in log.heads})


def test_a_reader_never_sees_the_log_shrink(log):
    for seen in log.notes:
        sizes = [log.open(text).size for text in seen]
        assert sizes == sorted(sizes)


def test_all_checkpoints_seen_are_of_one_history(log):
    """Each extends the one before it, and so every one before."""
    pairs = list(pairwise(head for head in log.heads if head.size))
    assert len(pairs) > 10, "the readers saw too little of the load"
    path = f"/log/{log.account.slug}/consistency?from={{}}&to={{}}"
    paths = [path.format(old.size, new.size) for old, new in pairs]
    answers = log.server.read_all(log.account, paths)
    proofs = {(answer["from"], answer["to"]): answer["proof"] for answer in answers}
    for old, new in pairs:
        proof = [bytes.fromhex(item) for item in proofs[old.size, new.size]]
        verify_consistency(old.size, new.size, old.root, new.root, proof)
