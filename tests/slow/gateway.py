"""Calls through the gateway, and what each is to leave, seen from outside."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import IncompleteRead
from typing import Any

from tests.orchestrations.provider import CHAT, MESSAGE, stream
from tests.orchestrations.provider_streams import named
from tests.slow.client import Answer, Client
from tests.slow.server import Account, Installation, Server

Receipt = dict[str, Any]

SECRET = "sk-provider-0123456789abcdef"
MODEL = "tiny-1"
CLAUDE = "claude-tiny-1"
AGENT = "maip-agent:desk"
QUESTION = [{"role": "user", "content": "Is it covered?"}]
SETTLE_SECONDS = 15  # until a call that nobody waits for has its receipt

# How a call may be asked for: the path, and the body.
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "inference": (
        "/v1/orchestrations/llm-inference",
        {"model": MODEL, "prompt": "Is it covered?", "agent_id": AGENT},
    ),
    "chat": ("/v1/chat/completions", {"model": MODEL, "messages": QUESTION}),
    "messages": (
        "/v1/messages",
        {"model": CLAUDE, "messages": QUESTION, "max_tokens": 64},
    ),
}
STREAMED = {
    form: (FORMS[form][0], FORMS[form][1] | {"stream": True})
    for form in ("chat", "messages")
}
ANSWERS = {"inference": CHAT, "chat": CHAT, "messages": MESSAGE}

MESSAGE_EVENTS = [
    named({"type": "message_start", "message": MESSAGE | {"content": []}}),
    *(
        named(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": text},
            }
        )
        for text in ("It ", "is ", "covered.")
    ),
    named(
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 9},
        }
    ),
    named({"type": "message_stop"}),
]
# A whole stream of each form, event by event, as its provider sends it.
STREAMS = {
    "chat": stream("It ", "is ", "covered."),
    "messages": MESSAGE_EVENTS,
}


def ask(client: Client, form: str, headers: Mapping[str, str] | None = None) -> Answer:
    path, body = FORMS[form]
    return client.post(path, body, headers)


def ask_for_stream(client: Client, form: str) -> tuple[Answer, bool]:
    """Return what came of a streamed answer, and whether it came to its end."""
    response = client.begin(*STREAMED[form])
    try:
        body, is_whole = response.read(), True
    except IncompleteRead as error:
        body, is_whole = error.partial, False
    except ConnectionError:
        body, is_whole = b"", False
    return Answer(response.status, response.headers, body), is_whole


class Books:
    """An account's receipts and books, from a moment on.

    `provider_calls` tells how many requests have come to the provider.
    """

    def __init__(
        self,
        installation: Installation,
        server: Server,
        account: Account,
        provider_calls: Callable[[], int],
    ) -> None:
        self._installation, self._server, self._account = installation, server, account
        self._provider_calls = provider_calls
        self._calls_before = provider_calls()
        self._size_before = 1 + max(
            (receipt["_mmr_leaf_index"] for receipt in self._newest(1)), default=-1
        )

    def _newest(self, count: int) -> list[Receipt]:
        with self._server.client(self._account) as client:
            listed: list[Receipt] = client.read(f"/v1/receipts?limit={count}")[
                "receipts"
            ]
        return listed

    def receipts(self) -> list[Receipt]:
        """Return the calls' receipts, the first attempt first; at most 200."""
        found = [
            receipt
            for receipt in reversed(self._newest(200))
            if receipt["_mmr_leaf_index"] >= self._size_before
            and receipt["receipt_type"] == "inference"
        ]
        return sorted(found, key=lambda receipt: receipt["_mmr_leaf_index"])

    def wait_for_receipts(self, count: int) -> list[Receipt]:
        deadline = time.monotonic() + SETTLE_SECONDS
        while len(found := self.receipts()) < count and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(found) == count, found
        return found

    def assert_complete(self) -> list[Receipt]:
        """Return the receipts: one for each call at the provider; none is open."""
        receipts = self.receipts()
        assert len(receipts) == self._provider_calls() - self._calls_before
        assert len({receipt["run_id"] for receipt in receipts}) == len(receipts)
        for receipt in receipts:
            assert receipt["observed"] == "witnessed"
        assert self._installation.calls_under_way(self._account) == 0
        assert_log_is_clean(self._server)
        return receipts


def assert_sound(installation: Installation, account: Account) -> None:
    """The log and the books agree with themselves, and no call is left open."""
    with ThreadPoolExecutor() as pool:
        log = pool.submit(installation.verify_log, account)
        rollups = pool.submit(installation.check_rollups, account)
    assert log.result()["verdict"] == "VALID", log.result()
    assert rollups.result()["verdict"] == "EQUAL", rollups.result()
    assert installation.calls_under_way(account) == 0


def assert_log_is_clean(server: Server) -> None:
    log = server.log
    assert "Traceback" not in log
    assert SECRET not in log


def wait_until(condition: Callable[[], bool], seconds: float = SETTLE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def hang_up(client: Client, form: str) -> None:
    """Send a request, and leave before there is an answer."""
    with suppress(TimeoutError):
        ask(client, form)
    client.leave()
