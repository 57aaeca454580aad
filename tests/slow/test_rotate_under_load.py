"""Every key is changed on a running system under load, and no request fails."""

import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest

from receipts.key_set import from_jwks
from receipts.note import VerifierKey
from receipts.verifier import Verdict, check_entry, verify
from tests.orchestrations.runs import CALL
from tests.slow.client import Answer, Client
from tests.slow.promises import read_log
from tests.slow.server import ROOT, Account, Installation, Server, random_key
from tests.slow.test_end_under_load import start
from tests.slow.writers import Receipt, Writers

pytestmark = pytest.mark.slow

WRITERS = 16
PAUSE = 0.05  # seconds after each receipt: every one of them is verified in the end
PROVEN = 500  # receipts whose proofs are fetched, those around changes among them
BETWEEN = 100  # receipts between two changes of keys
SALTS = 6_000  # rows that a killed rotation of the master key has still to do


def _own_database(request, folder: Path) -> list[str]:
    """Return URLs of a database whose rows no other secrets have sealed: as its owner,
    and to serve under.
    """
    if request.param == "sqlite":
        return [f"sqlite:///{folder}/lucid.sqlite3"]
    cluster = request.getfixturevalue("cluster")
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {folder.name}")
    urls = [cluster.url, cluster.url_as("lucid_app")]
    return [f"{url.rpartition('/')[0]}/{folder.name}" for url in urls]


@pytest.fixture(params=["postgresql", "sqlite"])
def own(request, tmp_path_factory) -> Installation:
    """An installation whose workers know a second master key already."""
    folder = tmp_path_factory.mktemp("keys", numbered=True)
    made = Installation(folder, *_own_database(request, folder))
    made.environment["LUCID_MASTER_KEYS"] += f",m2:{random_key()}"
    return made


def turn_master_keys(installation: Installation) -> None:
    """Have commands and servers from now on seal with the second of the two."""
    first, second = installation.environment["LUCID_MASTER_KEYS"].split(",")
    installation.environment["LUCID_MASTER_KEYS"] = f"{second},{first}"


class PacedWriters(Writers):
    def _report(self, *arguments: Any) -> bool:
        time.sleep(PAUSE)
        return super()._report(*arguments)


class Others(threading.Thread):
    """Reads what auditors do and records calls in a run, again and again while entered.

    Checks what it is answered.
    """

    def __init__(self, server: Server, account: Account, writers: Writers) -> None:
        super().__init__()
        self.failures: list[Any] = []
        self.verdicts: dict[str, int] = {}
        self.recorded = 0  # calls
        self.ending: Answer
        self._server, self._account, self._writers = server, account, writers
        self._stopping = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        self.join()

    def run(self) -> None:
        with self._server.client(self._account) as client:
            run = start(client)
            while not self._stopping.is_set():
                try:
                    self._record(client, run)
                    self._read(client)
                except Exception as error:
                    self.failures.append(repr(error)[:2000])
            self.ending = client.post(f"{run}/complete", {})

    def _record(self, client: Client, run: str) -> None:
        answer = client.post(f"{run}/inferences", CALL)
        assert answer.status == 201, answer
        self.recorded += 1

    def _read(self, client: Client) -> None:
        client.read("/v1/keys")
        client.read("/v1/signer/pubkey")
        assert client.get(f"/log/{self._account.slug}/checkpoint").status == 200
        receipts = list(self._writers.receipts.values())
        if not receipts:
            return
        path = f"/v1/receipts/{receipts[-1]['run_id']}"
        told = client.read(f"{path}/verify")
        assert told["verdict"] in {"VALID", "KEY_REVOKED"}, told
        proof = client.read(f"{path}/proof")
        result = verify(receipts[-1], proof)
        assert result.verdict in {Verdict.VALID, Verdict.KEY_REVOKED}, result
        verdict = result.verdict.value
        self.verdicts[verdict] = self.verdicts.get(verdict, 0) + 1


def active(installation: Installation, account: Account, purpose: str) -> str:
    (kid,) = [
        key["kid"]
        for key in installation.list_signing_keys(account)
        if (key["purpose"], key["status"]) == (purpose, "active")
    ]
    return str(kid)


def test_every_rotation_is_done_under_load(own):
    with own.server() as server:
        account = own.new_account("acme")
        with server.client(account) as client:
            pinned = [VerifierKey.parse(client.read("/v1/signer/pubkey")["vkey"])]
        writers = PacedWriters([server], account, WRITERS)
        with writers, Others(server, account, writers) as others:
            revoked = change_keys(own, account, writers)
        assert not writers.refusals
        assert not writers.failures
        assert others.failures == []
        assert others.verdicts["VALID"] > 10
        assert others.ending.status == 200
        assert others.ending.json()["inference_count"] == others.recorded > 10
        assert own.check_rollups(account)["verdict"] == "EQUAL"
        with server.client(account) as client:
            pinned += map(VerifierKey.parse, client.read("/v1/signer/pubkey")["vkeys"])
        assert_all_as_promised(own, server, account, writers, revoked, pinned[-2:])
    assert_old_master_key_is_needed_no_more(own, account, writers)


def change_keys(own: Installation, account: Account, writers: Writers) -> set[int]:
    """Change every kind of key; return the indexes at which none counts any more."""
    writers.wait_for_receipts(BETWEEN)
    first = active(own, account, "receipt")
    rotated = own.rotate_signing_key(account)
    writers.wait_for_receipts(BETWEEN)
    own.rotate_signing_key(account, "--purpose", "checkpoint", "--overlap", "1h")
    writers.wait_for_receipts(BETWEEN)
    # The key in use, at an index of some receipts ago.
    last_valid = rotated["leaf_index"] + 10
    stolen = active(own, account, "receipt")
    in_use = own.revoke_signing_key(stolen, last_valid)
    writers.wait_for_receipts(BETWEEN)
    old_last = rotated["leaf_index"] - 10
    own.revoke_signing_key(first, old_last)
    writers.wait_for_receipts(BETWEEN)
    own.revoke_signing_key(active(own, account, "checkpoint"), in_use["leaf_index"])
    writers.wait_for_receipts(BETWEEN)
    turn_master_keys(own)
    assert own.rotate_master_key()["no_longer_used"] == ["m1"]
    writers.wait_for_receipts(BETWEEN)
    own.rotate_signing_key(account)  # sealed by the new master key
    writers.wait_for_receipts(BETWEEN)
    return {
        *range(old_last + 1, rotated["leaf_index"] + 1),
        *range(last_valid + 1, in_use["leaf_index"]),
    }


def assert_all_as_promised(
    own: Installation,
    server: Server,
    account: Account,
    writers: Writers,
    revoked: set[int],
    pinned: list[VerifierKey],
) -> None:
    """The log is sound, and each receipt verifies offline with the keys of now."""
    receipts = list(read_log(server, account))
    changes = [r for r in receipts if r["receipt_type"] == "key_rotation"]
    assert [change["key_change"] for change in reversed(changes)] == [
        *("rotated", "rotated", "revoked", "revoked", "revoked", "rotated")
    ]
    runs = {r["run_id"]: r for r in receipts if r["receipt_type"] == "compute"}
    assert {run: runs[run] for run in writers.receipts} == writers.receipts
    assert runs.keys() - writers.receipts.keys() <= writers.unanswered
    indexes = sorted(receipt["_mmr_leaf_index"] for receipt in receipts)
    assert indexes == list(range(len(receipts)))

    found = own.verify_log(account)
    assert (found["verdict"], found["size"]) == ("VALID", len(receipts)), found
    assert found["revoked_entries"] == len(revoked)

    with server.client(account) as client:
        key_sets = from_jwks(client.read("/v1/keys"))

    def expected(receipt: Receipt) -> str:
        return "KEY_REVOKED" if receipt["_mmr_leaf_index"] in revoked else "VALID"

    for receipt in receipts:
        checked = check_entry(receipt, key_sets[0], receipt["_mmr_leaf_index"])
        assert checked.verdict == expected(receipt)
    proven = around(changes, receipts) + receipts[:: len(receipts) // PROVEN + 1]
    paths = [f"/v1/receipts/{receipt['run_id']}/proof" for receipt in proven]
    proofs = [answer["proof"] for answer in server.read_all(account, paths)]
    by_run = {proof["run_id"]: proof for proof in proofs}
    for receipt in proven:
        proof = by_run[receipt["run_id"]]
        assert verify(receipt, proof, pinned).verdict == expected(receipt)
        assert verify(receipt, proof, pinned, key_sets).verdict == expected(receipt)


def around(changes: list[Receipt], receipts: list[Receipt]) -> list[Receipt]:
    near = {
        change["_mmr_leaf_index"] + distance
        for change in changes
        for distance in range(-20, 21)
    }
    return [receipt for receipt in receipts if receipt["_mmr_leaf_index"] in near]


def assert_old_master_key_is_needed_no_more(
    own: Installation, account: Account, writers: Writers
) -> None:
    second = own.environment["LUCID_MASTER_KEYS"].split(",")[0]
    assert second.startswith("m2:")
    with own.server(LUCID_MASTER_KEYS=second) as server:
        last = max(writers.receipts.values(), key=lambda r: r["_mmr_leaf_index"])
        more = Writers([server], account, 4, runs=5)
        with server.client(account) as client:
            path = f"/v1/receipts/{last['run_id']}"
            assert client.read(f"{path}/verify")["valid"]
            assert client.read(f"{path}/proof")
        more.run()
        assert not more.refusals
        assert not more.failures


class TestAMasterKeyRotationThatIsKilled:
    def test_it_loses_nothing_and_is_begun_again(self, own):
        account = own.new_account("acme")
        with own.server() as server, server.client(account) as client:
            assert client.get("/v1/keys").status == 200
        self.fill(own)
        turn_master_keys(own)
        process = subprocess.Popen(
            [sys.executable, "manage.py", "rotate_master_key"],
            cwd=ROOT,
            env=own.environment,
            stdout=subprocess.DEVNULL,
        )
        wait_until(lambda: self.rows(own).get("m2", 0) > 400)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        rows = self.rows(own)
        assert rows["m1"] > 0, "it was done already"
        assert sum(rows.values()) == SALTS
        self.assert_all_unseal(own)
        told = own.rotate_master_key()
        assert told["resealed"]["orchestrations_contentsalts"] == rows["m1"]
        assert self.rows(own) == {"m2": SALTS}
        self.assert_all_unseal(own)

    def fill(self, own: Installation) -> None:
        run_python(
            own,
            f"""
            from uuid import uuid4
            from orchestrations.models import ContentSalts
            from receipts.sealing import seal
            from lucid.isolation import across_tenants
            from tenants.models import Tenant
            rows = []
            with across_tenants():
                tenant = Tenant.objects.get()
                for number in range({SALTS}):
                    key, sealed = seal(number.to_bytes(32, "big"))
                    rows.append(ContentSalts(receipt_id=uuid4(), tenant=tenant,
                        sealed=sealed, master_key_id=key))
                ContentSalts.objects.bulk_create(rows)
            """,
        )

    def assert_all_unseal(self, own: Installation) -> None:
        told = run_python(
            own,
            """
            from orchestrations.models import ContentSalts
            from receipts.sealing import unseal
            from lucid.isolation import across_tenants
            with across_tenants():
                rows = list(ContentSalts.objects.all())
            plain = sorted(int.from_bytes(unseal(r.master_key_id, bytes(r.sealed)))
                for r in rows)
            print("whole" if plain == list(range(len(plain))) else plain[:99])
            """,
        )
        assert told.strip() == "whole"

    def rows(self, own: Installation) -> dict[str, int]:
        query = (
            "SELECT master_key_id, count(*) FROM orchestrations_contentsalts GROUP BY 1"
        )
        with closing(own.connect()) as connection:
            return dict(connection.execute(query).fetchall())


def run_python(own: Installation, code: str) -> str:
    lines = [line.removeprefix(" " * 12) for line in code.splitlines()]
    return own._manage("shell", "--verbosity", "0", "--command", "\n".join(lines))


def wait_until(condition: Any, seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
