"""64 clients record into one run while it ends, or while every process is killed."""

import json
import sqlite3
import threading
import time
from contextlib import closing
from decimal import Decimal
from http.client import HTTPException
from typing import Any, Self

import psycopg
import pytest

from orchestrations.counting import root_over
from orchestrations.money import from_nanocents
from tests.orchestrations.runs import AGENT, CALL
from tests.slow.client import Answer, Client
from tests.slow.server import Account, Installation, Server
from tests.slow.writers import PATIENCE

pytestmark = pytest.mark.slow

CLIENTS = 64
FREE = Decimal("0.1")  # what the cheapest call costs
# What sums of every rollup have to agree on.
SUMS = {
    "orchestrations_usageday": ("calls", "cost", "output_tokens", "latency_ms"),
    "orchestrations_usagehour": ("calls", "cost", "output_tokens", "latency_ms"),
    "orchestrations_inference": ("1", "cost", "output_tokens", "latency_ms"),
    "orchestrations_monthspend": ("spent",),
}

Inference = dict[str, Any]


def exact(answer: Answer) -> dict[str, Any]:
    """An answer's JSON with the numbers of money as Decimals."""
    data: dict[str, Any] = json.loads(answer.body, parse_float=Decimal)
    return data


def start(client: Client) -> str:
    """Start a run and return its path."""
    body = {"agent_id": AGENT, "timeout_seconds": 3600}
    answer = client.post("/v1/orchestrations", body)
    assert answer.status == 201, answer
    return f"/v1/orchestrations/{answer.json()['id']}"


class Recorders:
    """Threads that record calls in a run until that is refused, or a connection ends.

    Each call costs another amount, with six decimals. They record while entered.
    """

    def __init__(self, server: Server, account: Account, path: str) -> None:
        self.answered: dict[str, Inference] = {}
        self.unanswered: dict[str, dict[str, Any]] = {}  # calls sent without an answer
        self.refusals: dict[str, Answer] = {}
        self.failures: list[Exception] = []  # in the place of an answer
        self._server = server
        self._account = account
        self._path = f"{path}/inferences"
        self._news = threading.Condition()
        self._threads = [
            threading.Thread(target=self._record_many, args=(number,))
            for number in range(CLIENTS)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.join()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a recorder hangs"

    def wait_for_answers(self, count: int) -> None:
        with self._news:
            done = self._news.wait_for(lambda: len(self.answered) >= count, PATIENCE)
            assert done, f"{len(self.answered)} answers, {len(self.refusals)} refusals"

    @property
    def cost(self) -> Decimal:
        costs = (call["cost_cents"] for call in self.answered.values())
        return sum(costs, Decimal(0))

    def _record_many(self, number: int) -> None:
        with self._server.client(self._account) as client:
            place = 0
            while self.record(client, self._call(number, place)):
                place += 1

    @staticmethod
    def _call(number: int, place: int) -> dict[str, Any]:
        cost = FREE + Decimal(number * 10_007 + place * 101) / 10**6
        name = f"call-{number}-{place}"
        return CALL | {"inference_id": name, "cost_cents": float(cost)}

    def record(self, client: Client, call: dict[str, Any]) -> bool:
        """Record a call and note the answer; say whether to go on."""
        name = call["inference_id"]
        self.unanswered[name] = call
        try:
            answer = client.post(self._path, call)
        except (OSError, HTTPException) as error:
            self.failures.append(error)
            return False
        with self._news:
            del self.unanswered[name]
            if answer.status in {200, 201}:
                self.answered[name] = exact(answer)
            else:
                self.refusals[name] = answer
            self._news.notify_all()
        return answer.status in {200, 201}


def read_receipts(client: Client, path: str) -> tuple[list[dict[str, Any]], Any]:
    """Return a run's inference receipts and its final one."""
    receipts, cursor = [], ""
    while cursor is not None:
        page = client.read(f"{path}/receipts?limit=200{cursor}")
        receipts += page["receipts"]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    return receipts, page["final_receipt"]


def read_sums(installation: Installation, account: Account) -> dict[str, list[int]]:
    """Return the sums of each table's rows of a tenant, from the database itself."""
    url = installation.database_url
    sums = {}
    for table, columns in SUMS.items():
        summed = ", ".join(f"COALESCE(SUM({name}), 0)" for name in columns)
        sql = (
            f"SELECT {summed} FROM {table} JOIN tenants_tenant t ON t.id = tenant_id"  # noqa: S608  constants
            f" WHERE t.slug = '{account.slug}'"
        )
        if url.startswith("sqlite"):
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
                row = database.execute(sql).fetchone()
        else:
            with psycopg.connect(url) as connection:
                row = connection.execute(sql).fetchone()
        sums[table] = [*map(int, row)]
    return sums


def assert_books_agree(
    recorders: Recorders,
    installation: Installation,
    account: Account,
    client: Client,
    path: str,
) -> None:
    """All that was answered is in the log, the final receipt and every sum, once."""
    receipts, final = read_receipts(client, path)
    stored = {receipt["run_id"]: receipt for receipt in receipts}
    assert len(stored) == len(receipts)
    assert stored.keys() == recorders.answered.keys()
    for name, answer in recorders.answered.items():
        assert stored[name]["receipt_id"] == answer["receipt_id"]
        assert stored[name]["receipt_hash"] == answer["receipt_hash"]
        assert Decimal(stored[name]["cost"]["cents"]) == answer["cost_cents"]

    count, cost = len(receipts), recorders.cost
    hashes = [bytes.fromhex(receipt["receipt_hash"]) for receipt in receipts]
    root = root_over(hashes).hex()
    assert final["inferences"] == {"count": count, "root": root}
    assert Decimal(final["totals"]["cost_cents"]) == cost
    assert final["totals"]["output_tokens"] == count * CALL["completion_tokens"]
    # What the log holds of the run comes before its end.
    indexes = [receipt["_mmr_leaf_index"] for receipt in receipts]
    assert [*indexes, final["_mmr_leaf_index"]] == list(range(count + 1))

    run = exact(client.get(path))
    assert (run["inference_count"], run["total_cost_cents"]) == (count, cost)
    sums = read_sums(installation, account)
    spent = sums.pop("orchestrations_monthspend")
    assert [from_nanocents(amount) for amount in spent] == [cost]
    for calls, nanocents, output, latency in sums.values():
        assert (calls, from_nanocents(nanocents)) == (count, cost)
        assert output == count * CALL["completion_tokens"]
        assert latency == count * CALL["latency_ms"]
    log = installation.verify_log(account)
    assert (log["verdict"], log["size"]) == ("VALID", count + 1), log


@pytest.mark.parametrize("how", ["complete", "fail"])
def test_a_run_that_ends_under_load_counts_all_it_answered(
    installation, server, account, how
):
    with server.client(account) as client:
        path = start(client)
        with Recorders(server, account, path) as recorders:
            recorders.wait_for_answers(400)
            ended = client.post(f"{path}/{how}", {"code": "E", "output": 1})
            recorders.join()
        assert ended.status == 200, ended
        assert not recorders.failures
        assert len(recorders.refusals) == CLIENTS
        for answer in recorders.refusals.values():
            assert answer.status == 409, answer
            assert answer.json()["error_code"] == "NOT_RUNNING"
        assert_books_agree(recorders, installation, account, client, path)
        again = client.post(f"{path}/{how}", {"code": "E", "output": 1})
        assert again.body == ended.body


def test_of_many_endings_under_load_one_counts(installation, server, account):
    with server.client(account) as client:
        path = start(client)
        answers: list[Answer] = []

        def finish(number: int) -> None:
            with server.client(account) as other:
                body = {"code": f"E{number}", "output": number}
                how = ("complete", "fail", "cancel")[number % 3]
                answers.append(other.post(f"{path}/{how}", body | {"reason": "r"}))

        threads = [threading.Thread(target=finish, args=(n,)) for n in range(9)]
        with Recorders(server, account, path) as recorders:
            recorders.wait_for_answers(200)
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(PATIENCE)
        won = [answer.json() for answer in answers if answer.status == 200]
        lost = [answer for answer in answers if answer.status != 200]
        assert len(answers) == 9
        # Cancelling three times for one reason is one ending.
        assert len({answer["receipt_id"] for answer in won}) == 1
        assert len(won) in {1, 3}
        assert {(a.status, a.json()["error_code"]) for a in lost} == {(409, "CONFLICT")}
        assert_books_agree(recorders, installation, account, client, path)


def test_a_run_times_out_under_load(installation, server, account):
    with server.client(account) as client:
        body = {"agent_id": AGENT, "timeout_seconds": 2}
        name = client.post("/v1/orchestrations", body).json()["id"]
        path = f"/v1/orchestrations/{name}"
        with Recorders(server, account, path) as recorders:
            time.sleep(2)
        assert not recorders.failures
        assert {answer.status for answer in recorders.refusals.values()} == {409}
        assert client.read(path)["status"] == "timeout"
        assert_books_agree(recorders, installation, account, client, path)


def test_what_was_answered_outlives_the_processes(installation, server, account):
    with server.client(account) as client:
        path = start(client)
    with Recorders(server, account, path) as recorders:
        recorders.wait_for_answers(400)
        server.kill()
        recorders.join()
    assert recorders.failures, "nobody was waiting when the processes died"
    assert not recorders.refusals

    server.start()
    with server.client(account) as client:
        receipts, final = read_receipts(client, path)
        assert final is None
        stored = {receipt["run_id"] for receipt in receipts}
        # What was sent without an answer may be there or not; nothing else is.
        assert recorders.answered.keys() <= stored
        assert stored <= recorders.answered.keys() | recorders.unanswered.keys()
        for call in list(recorders.unanswered.values()):
            assert recorders.record(client, call)
        assert client.post(f"{path}/complete", {}).status == 200
        assert_books_agree(recorders, installation, account, client, path)
