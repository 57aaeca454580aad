"""Whatever a provider does: an answer that is honest, and one receipt per attempt."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import pytest

from tests.orchestrations.provider import CHAT, chunk, encoded
from tests.orchestrations.provider_streams import named
from tests.slow.client import Answer, Client
from tests.slow.gateway import (
    ANSWERS,
    CLAUDE,
    FORMS,
    SECRET,
    STREAMED,
    STREAMS,
    Books,
    ask,
    ask_for_stream,
    assert_log_is_clean,
    assert_sound,
    hang_up,
)
from tests.slow.katan import Katan
from tests.slow.provider import CUT, HANG, Provider, Scene, Step, head, streamed, whole
from tests.slow.server import Account, Installation, Server

pytestmark = pytest.mark.slow

CERTIFICATE = Path(__file__).with_name("self_signed.pem")
LARGE_MODEL = "gpt-large-1"  # whose provider may take its time
SILENCE = 1  # seconds that the provider may be silent
TWICE = {
    "retries": 1,
    "silence_seconds": SILENCE,
    "total_seconds": 4,
    "connect_seconds": 1,
}


@pytest.fixture(scope="module")
def installation(default_installation) -> Installation:
    made: Installation = default_installation
    return made


@pytest.fixture(scope="module")
def server(installation) -> Iterator[Server]:
    with installation.server() as started:
        yield started


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as serving:
        yield serving


@pytest.fixture(scope="module")
def account(installation, provider) -> Iterator[Account]:
    """One whose calls go to the provider, each at most twice."""
    account = opened(installation, provider.url)
    url = f"{provider.url}/v1"
    installation.set_provider(account, "openai", url, SECRET, [LARGE_MODEL])
    yield account
    # Whatever one of the tests broke in them stays broken.
    assert_sound(installation, account)


def opened(installation: Installation, url: str) -> Account:
    account = installation.new_account("acme")
    installation.set_provider(account, "custom", f"{url}/v1", SECRET, (), TWICE)
    installation.set_provider(account, "anthropic", url, SECRET, ["claude*"], TWICE)
    return account


@pytest.fixture
def client(server, account) -> Iterator[Client]:
    with server.client(account) as opened:
        yield opened


@pytest.fixture
def books(installation, server, account, provider) -> Books:
    return Books(installation, server, account, lambda: len(provider.requests))


def told(receipts):
    """Return the number, outcome, error and status that receipts tell of attempts."""
    return [
        (
            receipt["attempt"],
            receipt["outcome"],
            receipt.get("error", {}).get("code"),
            receipt.get("http_status"),
        )
        for receipt in receipts
    ]


def assert_refused(form, answer, status, body):
    """The provider's refusal itself, or our 502 that tells of it."""
    if form == "inference":
        assert answer.status == 502
        refused = answer.json()
        assert refused["code"] == "PROVIDER_ERROR"
        assert refused["details"]["provider_status"] == [str(status)]
        return refused["receipt_id"]
    assert (answer.status, answer.body) == (status, body)
    assert answer.headers["X-Should-Retry"] == "false"
    return answer.headers["X-Lucid-Receipt-Id"]


@pytest.mark.parametrize(("status", "attempts"), [(401, 1), (500, 2), (529, 2)])
def test_a_refusal_is_told(client, provider, books, status, attempts):
    body = b'{"error":{"message":"Not with sk-provider-0123456789abcdef"}}'
    provider.plays(whole(body, status))
    shown = body.replace(SECRET.encode(), b"[removed]")
    named = [assert_refused(form, ask(client, form), status, shown) for form in FORMS]
    receipts = books.assert_complete()
    expected = [(n + 1, "failed", f"HTTP_{status}", status) for n in range(attempts)]
    assert told(receipts) == expected * len(FORMS)
    assert [receipt["receipt_id"] for receipt in receipts][
        attempts - 1 :: attempts
    ] == named
    for receipt in receipts:
        assert receipt["cost"] == {"cents": "0", "source": "no_charge"}
        assert SECRET not in str(receipt)


def test_too_many_requests_are_tried_again_when_the_provider_says(
    client, provider, books
):
    busy = whole({"error": {"message": "Slow down"}}, 429, Retry_After="1")
    for form in FORMS:
        provider.plays(busy, whole(ANSWERS[form]))
        start = time.monotonic()
        assert ask(client, form).status == 200
        assert 1 <= time.monotonic() - start < 3
    both = [(1, "failed", "HTTP_429", 429), (2, "completed", None, 200)]
    assert told(books.assert_complete()) == both * len(FORMS)


def test_who_is_to_wait_for_long_is_told_so_at_once(client, provider, books):
    busy = {"error": {"message": "Slow down"}}
    provider.plays(whole(busy, 429, Retry_After="60"))
    for form in FORMS:
        answer = ask(client, form)
        assert_refused(form, answer, 429, encoded(busy))
        if form != "inference":
            assert answer.headers["Retry-After"] == "60"
    assert told(books.assert_complete()) == [(1, "failed", "HTTP_429", 429)] * len(
        FORMS
    )


HALF = [head(200, Content_Length="99"), b"{}"]
SILENT: dict[str, Scene] = {
    "before its first byte": [HANG],
    "in the middle": [*HALF, HANG],
}
BROKEN: dict[str, Scene] = {
    "before its first byte": [CUT],
    "in the middle": [*HALF, CUT],
}


@pytest.mark.parametrize("scene", SILENT.values(), ids=SILENT)
def test_a_provider_that_hangs_is_not_waited_for(client, provider, books, scene):
    """And not asked again: it may have been at work, and be paid for it."""
    provider.plays(scene)
    for form in FORMS:
        start = time.monotonic()
        answer = ask(client, form)
        assert time.monotonic() - start < SILENCE + 2
        assert (answer.status, answer.json()["code"]) == (504, "PROVIDER_TIMEOUT")
        assert answer.json()["receipt_id"]
    receipts = books.assert_complete()
    assert told(receipts) == [(1, "failed", "PROVIDER_TIMEOUT", None)] * len(FORMS)
    assert [receipt["cost"]["source"] for receipt in receipts] == ["unpriced"] * 3


@pytest.mark.parametrize("scene", BROKEN.values(), ids=BROKEN)
def test_an_answer_that_breaks_off_is_none(client, provider, books, scene):
    provider.plays(scene)
    for form in FORMS:
        answer = ask(client, form)
        assert (answer.status, answer.json()["code"]) == (502, "PROVIDER_ERROR")
    failed = [(1, "failed", "PROVIDER_ERROR", None)]
    assert told(books.assert_complete()) == failed * len(FORMS)


@pytest.mark.parametrize(
    "body", [b"", b"<html>Bad gateway</html>", b'{"choices": [', b"[1]", b"\xff\xfe"]
)
def test_malformed_json_goes_on_as_it_is(client, provider, books, body):
    provider.plays(whole(body))
    for form in FORMS:
        answer = ask(client, form)
        if form == "inference":
            assert (answer.status, answer.json()["code"]) == (502, "PROVIDER_ERROR")
        else:
            assert (answer.status, answer.body) == (200, body)
    failed = [(1, "failed", "MALFORMED_ANSWER", 200)]
    receipts = books.assert_complete()
    assert told(receipts) == failed * len(FORMS)
    assert all(receipt["usage_estimated"] for receipt in receipts)


# Streams

PING = b": ping\n\n"


def cut_short(form: str, *ends: Step) -> Scene:
    """Return a stream of which half comes, and then this."""
    return streamed([*STREAMS[form][:3], *ends])[:-1]


def assert_cut(answer, form):
    assert answer.status == 200
    assert answer.body == b"".join(STREAMS[form][:3])


@pytest.mark.parametrize("form", STREAMED)
class TestStream:
    def test_arrives_as_it_was_sent(self, client, provider, books, form):
        provider.plays(streamed(STREAMS[form]))
        answer, is_whole = ask_for_stream(client, form)
        assert (answer.status, is_whole) == (200, True)
        shown = [it for it in STREAMS[form] if b'"usage": {"prompt' not in it]
        assert answer.body == b"".join(shown)
        (receipt,) = books.assert_complete()
        assert told([receipt]) == [(1, "completed", None, 200)]
        assert receipt["usage"]["output_tokens"] == 9
        assert receipt["receipt_id"] == answer.headers["X-Lucid-Receipt-Id"]

    def test_that_is_refused_is_an_answer(self, client, provider, books, form):
        body = b'{"error":{"message":"Overloaded"}}'
        provider.plays(whole(body, 529))
        answer, is_whole = ask_for_stream(client, form)
        assert (answer.status, answer.body, is_whole) == (529, body, True)
        assert answer.headers["Content-Type"] == "application/json"
        both = [(1, "failed", "HTTP_529", 529), (2, "failed", "HTTP_529", 529)]
        assert told(books.assert_complete()) == both

    @pytest.mark.parametrize("steps", [0, 1], ids=["headers", "bytes"])
    def test_that_never_begins_is_no_stream(self, client, provider, books, form, steps):
        provider.plays([*streamed(STREAMS[form])[:steps], HANG])
        answer, _ = ask_for_stream(client, form)
        assert (answer.status, answer.json()["code"]) == (504, "PROVIDER_TIMEOUT")
        failed = [(1, "failed", "PROVIDER_TIMEOUT", None)]
        assert told(books.assert_complete()) == failed

    def test_that_hangs_is_cut(self, client, provider, books, form):
        provider.plays(cut_short(form, HANG))
        start = time.monotonic()
        answer, is_whole = ask_for_stream(client, form)
        assert time.monotonic() - start < SILENCE + 2
        assert_cut(answer, form)
        assert not is_whole
        (receipt,) = books.assert_complete()
        assert told([receipt]) == [(1, "cut", "PROVIDER_TIMEOUT", 200)]
        assert receipt["usage_estimated"]

    def test_that_is_cut_is_cut(self, client, provider, books, form):
        """And not ended: the client sees what it would of the provider itself."""
        provider.plays(cut_short(form, CUT))
        answer, is_whole = ask_for_stream(client, form)
        assert_cut(answer, form)
        assert not is_whole
        (receipt,) = books.assert_complete()
        assert told([receipt]) == [(1, "cut", "PROVIDER_ERROR", 200)]
        assert receipt["usage_estimated"]

    def test_that_ends_early_ends(self, client, provider, books, form):
        """Well-formed HTTP, and no last event: it goes on, and is no whole answer."""
        provider.plays(streamed(STREAMS[form][:3]))
        answer, is_whole = ask_for_stream(client, form)
        assert_cut(answer, form)
        assert is_whole
        assert told(books.assert_complete()) == [(1, "cut", "PROVIDER_ERROR", 200)]

    def test_without_usage_is_estimated(self, client, provider, books, form):
        pieces = [it for it in STREAMS[form] if b"usage" not in it]
        pieces = pieces if form == "chat" else [WITHOUT_USAGE, *pieces]
        provider.plays(streamed(pieces))
        answer, is_whole = ask_for_stream(client, form)
        assert (answer.body, is_whole) == (b"".join(pieces), True)
        (receipt,) = books.assert_complete()
        assert told([receipt]) == [(1, "completed", None, 200)]
        assert receipt["usage_estimated"]
        assert receipt["usage"]["output_tokens"] == 3  # deltas
        assert "reported" not in receipt

    def test_that_is_malformed_goes_on(self, client, provider, books, form):
        broken = [b"data: {\n\n", b"\xff\xfe\n\n", *STREAMS[form][:-2], b"data: ]\n\n"]
        provider.plays(streamed([*broken, *STREAMS[form][-1:]]))
        answer, is_whole = ask_for_stream(client, form)
        assert is_whole
        assert answer.body.startswith(broken[0] + broken[1])
        (receipt,) = books.assert_complete()
        assert receipt["outcome"] == "completed"
        assert receipt.get("usage_estimated", False) == (form == "chat")

    def test_whose_client_leaves_is_read_on(self, client, provider, books, form):
        half = len(STREAMS[form]) // 2
        scene = streamed([*STREAMS[form][:half], 0.5, *STREAMS[form][half:], *MORE])
        provider.plays(scene)
        response = client.begin(*STREAMED[form])
        assert response.read1(100)
        client.leave()
        books.wait_for_receipts(1)
        assert any(it is scene for it in provider.finished)
        (receipt,) = books.assert_complete()
        assert told([receipt]) == [(1, "completed", None, 200)]
        assert receipt["delivered"] is False
        assert receipt["usage"]["output_tokens"] == 9
        assert "usage_estimated" not in receipt


def test_a_stream_that_trickles_for_ever_is_cut(client, provider, books):
    provider.plays(cut_short("chat", *(PING, 0.5) * 20))
    start = time.monotonic()
    answer, is_whole = ask_for_stream(client, "chat")
    assert time.monotonic() - start < TWICE["total_seconds"] + 2
    assert answer.body.startswith(b"".join(STREAMS["chat"][:3]) + b": ping")
    assert not is_whole
    assert told(books.assert_complete()) == [(1, "cut", "PROVIDER_TIMEOUT", 200)]


# It takes a few writes to see that nobody is there any more.
MORE: Scene = [0.1, PING] * 5
WITHOUT_USAGE = named({"type": "message_start", "message": {"model": "claude-tiny-1"}})


# Clients and connections


def test_whose_client_leaves_is_recorded(server, account, provider, books):
    for form in FORMS:
        provider.plays([0.8, *whole(ANSWERS[form])])
        impatient = Client(server.port, account.key, timeout=0.3)
        hang_up(impatient, form)
    books.wait_for_receipts(len(FORMS))
    receipts = books.assert_complete()
    assert told(receipts) == [(1, "completed", None, 200)] * len(FORMS)
    assert all(receipt["usage"]["output_tokens"] == 9 for receipt in receipts)


def test_a_connection_that_the_provider_closed_is_no_fault(client, provider, books):
    """It may close one that was idle; the next call is made on another."""
    for form in FORMS:
        provider.plays([*whole(ANSWERS[form]), CUT])
        for _ in range(4):
            assert ask(client, form).status == 200
            time.sleep(0.05)
    books.assert_complete()


def test_an_unreachable_provider_is_tried_again(installation, server):
    """A connection is refused, or its certificate is of nobody we know."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATE)
    with Provider(tls) as provider, socket.create_server(("127.0.0.1", 0)) as probe:
        closed = f"http://127.0.0.1:{probe.getsockname()[1]}"
        probe.close()
        account = installation.new_account("acme")
        for name, url in (("custom", closed), ("anthropic", provider.url)):
            installation.set_provider(account, name, url, SECRET, (), TWICE)
        books = Books(installation, server, account, lambda: 0)
        with server.client(account) as client:
            refused = [ask(client, form) for form in ("inference", "chat")]
            refused.append(ask_for_stream(client, "chat")[0])
            unknown = [ask(client, "messages"), ask_for_stream(client, "messages")[0]]
        assert not provider.requests  # and no credential left the house
    for answers, why in (
        (refused, "Connection refused"),
        (unknown, "self-signed certificate"),
    ):
        for answer in answers:
            assert (answer.status, answer.json()["code"]) == (502, "PROVIDER_ERROR")
            assert why in answer.json()["message"]
    receipts = books.receipts()
    both = [(number, "failed", "PROVIDER_ERROR", None) for number in (1, 2)]
    assert told(receipts) == both * 5
    assert {receipt["cost"]["source"] for receipt in receipts} == {"no_charge"}
    assert_sound(installation, account)
    assert_log_is_clean(server)


# Much at once

LARGE = 50 << 20
AT_ONCE = 8


class Watched:
    """The most memory of their own that the processes had while it was entered."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._is_over = threading.Event()
        self.before = self.most = server.memory("Pss_Anon")
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()
        self.after = self._server.memory("Pss_Anon")
        text = [f"{it >> 20} MB" for it in (self.before, self.most, self.after)]
        print("memory before, at most, after:", *text)

    def _watch(self) -> None:
        while not self._is_over.wait(0.02):
            self.most = max(self.most, self._server.memory("Pss_Anon"))


def answer_of(text: str) -> dict[str, Any]:
    return CHAT | {"choices": [{"message": {"role": "assistant", "content": text}}]}


def ask_for_much(client: Client, form: str, **options: bool) -> Answer:
    path, body = FORMS[form]
    return client.post(path, body | {"model": LARGE_MODEL, **options})


def test_a_large_answer_is_whole(server, account, provider, books):
    """Of 50 MB each, several at once: they are on the disk, and not in memory."""
    body = encoded(answer_of("x" * LARGE))
    provider.plays(whole(body))

    def fetch(_: int) -> bool:
        with server.client(account) as client:
            answer = ask_for_much(client, "chat")
            return (answer.status, answer.body) == (200, body)

    with Watched(server) as memory, ThreadPoolExecutor(AT_ONCE) as pool:
        assert list(pool.map(fetch, range(AT_ONCE))) == [True] * AT_ONCE
    receipts = books.assert_complete()
    assert told(receipts) == [(1, "completed", None, 200)] * AT_ONCE
    assert memory.most - memory.before < AT_ONCE * LARGE
    assert memory.after - memory.before < LARGE


def test_a_large_stream_is_whole(server, account, provider, books):
    pieces = [chunk("x" * (64 << 10))] * (LARGE >> 16)
    pieces += STREAMS["chat"][-3:]
    provider.plays(streamed(pieces))
    shown = [it for it in pieces if b'"usage": {"prompt' not in it]
    with Watched(server) as memory, server.client(account) as client:
        answer = ask_for_much(client, "chat", stream=True)
    assert answer.body == b"".join(shown)
    (receipt,) = books.assert_complete()
    assert told([receipt]) == [(1, "completed", None, 200)]
    assert memory.most - memory.before < 10 << 20


def test_a_large_text_is_returned(client, provider, books):
    text = "x" * LARGE
    provider.plays(whole(answer_of(text)))
    answer = ask_for_much(client, "inference")
    assert answer.status == 200
    assert answer.json()["response"] == text
    books.assert_complete()


# llm-katan, which somebody else wrote

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
NOVA = "amazon.nova-micro-v1:0"


@pytest.fixture(scope="module")
def katan(tmp_path_factory) -> Katan:
    keys = {"openai": SECRET, "anthropic": SECRET, "bedrock": ACCESS_KEY}
    return Katan(tmp_path_factory.mktemp("katan"), keys)


@pytest.fixture(scope="module")
def katans_account(installation, katan) -> Iterator[Account]:
    account = installation.new_account("acme")
    for name, url, credential in (
        ("openai", f"{katan.url}/v1", SECRET),
        ("anthropic", katan.url, SECRET),
        ("bedrock", katan.url, f"{ACCESS_KEY}:{SECRET}"),
    ):
        installation.set_provider(account, name, url, credential, (), TWICE)
    yield account
    assert_sound(installation, account)


@pytest.fixture
def katans_client(server, katans_account) -> Iterator[Client]:
    with server.client(katans_account) as opened:
        yield opened


@pytest.fixture
def katans_books(installation, server, katans_account, katan) -> Books:
    return Books(installation, server, katans_account, katan.calls)


def ask_katan(client: Client) -> list[Answer]:
    """Ask in every way for every provider."""
    path, body = FORMS["inference"]
    inferences = [
        client.post(path, body | {"model": model, "provider": provider})
        for provider, model in (
            ("openai", "tiny-1"),
            ("anthropic", CLAUDE),
            ("bedrock", NOVA),
        )
    ]
    relayed = [ask(client, form) for form in ("chat", "messages")]
    return [*inferences, *relayed, *(ask_for_stream(client, it)[0] for it in STREAMED)]


WAYS = 7


def test_katan_is_understood(katans_client, katans_books, katan):
    with katan.serving():
        answers = ask_katan(katans_client)
    assert [answer.status for answer in answers] == [200] * WAYS
    for answer in answers[:3]:
        assert "User: Is it covered?" in answer.json()["response"]
        assert answer.json()["usage"]["output_tokens"] > 0
    receipts = katans_books.assert_complete()
    assert told(receipts) == [(1, "completed", None, 200)] * WAYS
    providers = [receipt["provider"] for receipt in receipts]
    both = ["openai", "anthropic"]
    assert providers == [*both, "bedrock", *both, *both]
    for receipt in receipts:
        assert receipt["usage"]["input_tokens"] == 3
        assert receipt["usage"]["output_tokens"] > 10
        assert "usage_estimated" not in receipt


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("--error-rate=1", 500),
        ("--rate-limit-after=1", 429),
        ("--timeout-after=1", 504),
    ],
)
def test_katans_refusals_are_told(katans_client, katans_books, katan, fault, status):
    with katan.serving(fault):
        if status != 500:  # they begin after the first request
            assert ask(katans_client, "chat").status == 200
        answers = ask_katan(katans_client)
    assert [answer.status for answer in answers] == [502] * 3 + [status] * 4
    for answer in answers[:3]:
        assert answer.json()["details"]["provider_status"] == [str(status)]
    refused = [(n, "failed", f"HTTP_{status}", status) for n in (1, 2)]
    assert told(katans_books.assert_complete())[-2 * WAYS :] == refused * WAYS


def test_a_slow_katan_is_not_waited_for(katans_client, katans_books, katan):
    with katan.serving("--latency-ms=3000", "--max-concurrent=9"):
        answers = ask_katan(katans_client)
    assert [answer.status for answer in answers] == [504] * WAYS
    receipts = katans_books.assert_complete()
    assert told(receipts) == [(1, "failed", "PROVIDER_TIMEOUT", None)] * WAYS


def test_a_changed_key_is_the_one_that_is_sent(
    installation, server, katans_account, katan
):
    """At once, in every worker: the old one may have been revoked for a reason."""
    wrong = "sk-provider-that-is-wrong"
    with katan.serving(), server.client(katans_account) as client:
        assert [ask(client, "chat").status for _ in range(4)] == [200] * 4
        installation.set_provider(katans_account, "openai", f"{katan.url}/v1", wrong)
        answers = [ask(client, "chat") for _ in range(4)]
        url = f"{katan.url}/v1"
        installation.set_provider(katans_account, "openai", url, SECRET, (), TWICE)
        assert ask(client, "chat").status == 200
    for answer in answers:
        assert answer.status == 401
        assert wrong.encode() not in answer.body  # which katan tells
        assert b"[removed]" in answer.body
    assert wrong not in server.log
