"""API keys and the pepper they are kept under change while programs are at work."""

import pytest

from tests.slow.client import Client
from tests.slow.server import Account, Installation, Server, random_key
from tests.slow.writers import Writers, report

pytestmark = pytest.mark.slow

WRITERS = 8
BETWEEN = 50  # receipts
OVERLAP = "4s"


def code(server: Server, account: Account) -> str | None:
    with server.client(account) as client:
        answer = client.get("/v1/mmr/root")
    return None if answer.status == 200 else str(answer.json()["error_code"])


class WritersOfRuns(Writers):
    """Writers whose runs have names of their own, for several groups of them."""

    prefix = "old"

    def _report(self, client: Client, number: int, run_id: str) -> bool:
        return super()._report(client, number, f"{self.prefix}-{run_id}")


class NewWriters(WritersOfRuns):
    prefix = "new"


def test_a_key_is_rotated_without_a_refusal(installation, server, account):
    with WritersOfRuns([server], account, WRITERS) as before:
        before.wait_for_receipts(BETWEEN)
        successor = installation.rotate_api_key(account, OVERLAP)
        with NewWriters([server], successor, WRITERS) as after:
            after.wait_for_receipts(BETWEEN)
            before.wait_for_receipts(BETWEEN)
            # Those that go on with the old key are told so when the overlap is over.
            before.wait_for_each(401)
            after.wait_for_receipts(BETWEEN)
    assert (after.refusals, after.failures, before.failures) == ([], [], [])
    told = {answer.json()["error_code"] for answer in before.refusals}
    assert told == {"KEY_ROTATED"}
    assert code(server, account) == "KEY_ROTATED"
    assert code(server, successor) is None
    assert installation.verify_log(account)["verdict"] == "VALID"


def test_the_pepper_is_changed_without_a_refusal(installation, account):
    """Server by server: first they learn the new pepper, then they use it."""
    old = installation.environment["LUCID_API_KEY_PEPPERS"]
    new = f"p2:{random_key()}"
    try:
        with installation.server() as first, Writers([first], account, WRITERS) as busy:
            busy.wait_for_receipts(BETWEEN)
            learn(installation, f"{old},{new}", account, busy)
        assert (busy.refusals, busy.failures) == ([], [])
        # Whoever uses it moves the keys; a server that has learned it takes both.
        with installation.server() as first, Writers([first], account, WRITERS) as busy:
            busy.wait_for_receipts(BETWEEN)
            learn(installation, f"{new},{old}", account, busy)
        assert (busy.refusals, busy.failures) == ([], [])
    finally:
        # Other tests of this installation have keys under either.
        installation.environment["LUCID_API_KEY_PEPPERS"] = f"{old},{new}"
    assert installation.verify_log(account)["verdict"] == "VALID"


def learn(
    installation: Installation, peppers: str, account: Account, busy: Writers
) -> None:
    """Start another server with these peppers, and let both answer."""
    installation.environment["LUCID_API_KEY_PEPPERS"] = peppers
    with installation.server() as second:
        with second.client(account) as client:
            for number in range(BETWEEN):
                answer = report(client, f"{peppers[:2]}-{number}")
                assert answer.status == 200, answer
        busy.wait_for_receipts(BETWEEN)
