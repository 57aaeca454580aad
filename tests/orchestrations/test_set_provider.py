"""`manage.py set_provider` and its two neighbours, with a provider on this machine."""

import io
import json
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpcore2
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from orchestrations import probing
from orchestrations.gateway.redacting import quotable
from orchestrations.management.commands.list_providers import HEADINGS
from orchestrations.management.commands.set_provider import SETTINGS
from orchestrations.models import ProviderCredential
from receipts.sealing import unseal
from tenants.models import Tenant
from tests.conftest import new_tenant

SECRET = "sk-proj-4Zq8vN2xW7mT5rJ9"
OTHER_SECRET = "key-7Hd3kP6sB1yL0cFu"


class Input(io.StringIO):
    """What stands in for standard input."""


@pytest.fixture
def manage(monkeypatch, capfd, caplog):
    """Runs a command, and looks for credentials in all that leaves it."""

    def run(name: str, *arguments: str, stdin: str = "") -> str:
        monkeypatch.setattr(sys, "stdin", Input(stdin))
        out = io.StringIO()
        told = ""
        try:
            call_command(name, *arguments, stdout=out)
        except CommandError as error:
            told = str(error)
            raise
        finally:
            told += out.getvalue() + "".join(capfd.readouterr()) + caplog.text
            for secret in (SECRET, OTHER_SECRET):
                assert secret[:4] not in told
                assert secret[-4:] not in told
        return out.getvalue().strip()

    return run


@pytest.fixture
def set_provider(acme, manage):
    def run(provider: str, *arguments: str, stdin: str = f"{SECRET}\n") -> str:
        told: str = manage("set_provider", acme.slug, provider, *arguments, stdin=stdin)
        return told

    return run


@pytest.fixture
def refusal(set_provider):
    def run(provider: str, *arguments: str, stdin: str = f"{SECRET}\n") -> str:
        with pytest.raises(CommandError) as refused:
            set_provider(provider, *arguments, stdin=stdin)
        return str(refused.value)

    return run


def row_of(tenant: Tenant, provider: str = "openai") -> ProviderCredential:
    return ProviderCredential.objects.get(tenant=tenant, provider=provider)


def has_none(tenant: Tenant) -> bool:
    return not ProviderCredential.objects.filter(tenant=tenant).exists()


def test_a_key_is_all_that_openai_needs(acme, set_provider):
    told = set_provider("openai")
    assert told == f"Set openai of {acme}: https://api.openai.com/v1."
    row, defaults = row_of(acme), ProviderCredential()
    assert row.credential == SECRET
    for name in SETTINGS:
        assert getattr(row, name) == getattr(defaults, name)


EVERY_OPTION = [
    "--base-url=http://10.0.0.7:8080/v1/",
    "--model=qwen3-*",
    "--model",
    "llama-3",
    "phi-*",
    "--allow-host=10.0.0.7",
    "--allow-host=fallback.local",
    "--connect-seconds=3",
    "--silence-seconds=40",
    "--total-seconds=500",
    "--retries=0",
    "--concurrency=7",
]


def test_every_option_as_json(acme, set_provider):
    told = json.loads(set_provider("custom", *EVERY_OPTION, "--json"))
    row = row_of(acme, "custom")
    assert told == {
        "id": row.pk,
        "tenant": acme.slug,
        "provider": "custom",
        "url": "http://10.0.0.7:8080/v1",
        "model_patterns": ["qwen3-*", "llama-3", "phi-*"],
        "allowed_hosts": ["10.0.0.7", "fallback.local"],
        "connect_seconds": 3,
        "silence_seconds": 40,
        "total_seconds": 500,
        "retries": 0,
        "concurrency": 7,
        "created_at": row.created_at.isoformat(),
        "updated_at": row.updated_at.isoformat(),
        "test": None,
    }
    for name in ("model_patterns", "allowed_hosts", "connect_seconds", "retries"):
        assert getattr(row, name) == told[name]


def test_a_new_credential_keeps_the_settings(acme, set_provider):
    set_provider("custom", *EVERY_OPTION)
    before = json.loads(set_provider("custom", "--keep-credential", "--json"))
    set_provider("custom", stdin=OTHER_SECRET)
    after = json.loads(set_provider("custom", "--keep-credential", "--json"))
    assert row_of(acme, "custom").credential == OTHER_SECRET
    del before["updated_at"], after["updated_at"]
    assert after == before


def test_what_is_given_replaces_that_alone(acme, set_provider):
    set_provider("custom", *EVERY_OPTION)
    told = set_provider("custom", "--keep-credential", "--model", "m", "--retries=5")
    assert told == f"Replaced custom of {acme}: http://10.0.0.7:8080/v1."
    row = row_of(acme, "custom")
    assert (row.model_patterns, row.retries) == (["m"], 5)
    assert (row.concurrency, row.credential) == (7, SECRET)
    assert row.allowed_hosts == ["10.0.0.7", "fallback.local"]


def test_settings_are_emptied_by_options_without_a_value(acme, set_provider):
    set_provider("openai", *EVERY_OPTION)
    set_provider(
        "openai", "--keep-credential", "--base-url=", "--model", "--allow-host"
    )
    row = row_of(acme)
    assert row.url == "https://api.openai.com/v1"
    assert (row.model_patterns, row.allowed_hosts) == ([], [])


def test_a_provider_of_each_kind_and_tenant(acme, set_provider, manage):
    other = new_tenant("globex")
    manage("set_provider", other.slug, "openai", stdin=OTHER_SECRET)
    set_provider("openai")
    set_provider("anthropic", stdin=OTHER_SECRET)
    assert row_of(acme).credential == SECRET
    assert row_of(acme, "anthropic").credential == OTHER_SECRET
    assert row_of(other).credential == OTHER_SECRET


def test_the_row_does_not_hold_the_credential(acme, set_provider):
    set_provider("openai")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT * FROM orchestrations_providercredential WHERE id = %s",
            [row_of(acme).pk],
        )
        columns = cursor.fetchone()
        at = [column[0] for column in cursor.description].index("sealed")
    stored = b"".join(
        bytes(it) if isinstance(it, bytes | memoryview) else str(it).encode()
        for it in columns
    )
    assert SECRET.encode() not in stored
    assert unseal(row_of(acme).master_key_id, bytes(columns[at])) == SECRET.encode()


def test_every_worker_hears_of_it(acme, set_provider, manage):
    def version() -> int:
        return Tenant.objects.get(pk=acme.pk).keyring_version

    versions = [version()]
    set_provider("openai")
    versions.append(version())
    set_provider("openai", "--retries=1")
    versions.append(version())
    manage("remove_provider", acme.slug, "openai")
    versions.append(version())
    assert versions == sorted(set(versions))


@pytest.mark.parametrize("stdin", [SECRET, f"  {SECRET}\t\r\n", f"{SECRET}\nmore\n"])
def test_the_credential_is_one_line(acme, set_provider, stdin):
    set_provider("openai", stdin=stdin)
    assert row_of(acme).credential == SECRET


def test_the_credential_is_asked_for_at_a_terminal(acme, set_provider, monkeypatch):
    module = "orchestrations.management.commands.set_provider"
    monkeypatch.setattr(f"{module}.getpass", lambda prompt: f"{SECRET} ")
    monkeypatch.setattr(Input, "isatty", lambda self: True)
    set_provider("openai", stdin="not read")
    assert row_of(acme).credential == SECRET


EMPTY = "The credential is empty"
NOT_ASCII = "A credential is ASCII without spaces and control characters."


@pytest.mark.parametrize(
    ("stdin", "complaint"),
    [
        ("", EMPTY),
        ("\n", EMPTY),
        (" \t\n", EMPTY),
        (f"\n{SECRET}\n", EMPTY),
        (f"{SECRET} {SECRET}", NOT_ASCII),
        (f"{SECRET}\t{SECRET}", NOT_ASCII),
        (f"{SECRET}\x00", NOT_ASCII),
        (f"{SECRET}\x7f", NOT_ASCII),
        (f"{SECRET}é", NOT_ASCII),
        (f"{SECRET}\udcff", NOT_ASCII),
        ((SECRET * 500)[:10_001], "A credential has at most 10,000 characters."),
        (SECRET * 5000, "A credential has at most 10,000 characters."),
    ],
)
@pytest.mark.parametrize("provider", ["openai", "custom"])
def test_what_is_no_credential_is_refused(acme, refusal, provider, stdin, complaint):
    url = "--base-url=https://models.example"
    assert complaint in refusal(provider, url, stdin=stdin)
    assert has_none(acme)


def test_the_longest_credential(acme, set_provider):
    longest = (SECRET * 500)[:10_000]
    set_provider("openai", stdin=longest)
    assert row_of(acme).credential == longest


def test_bytes_that_are_no_text_are_refused(acme, monkeypatch):
    stdin = io.TextIOWrapper(io.BytesIO(b"sk-\xff"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(CommandError, match=r"The credential is no text\."):
        call_command("set_provider", acme.slug, "openai")


CUSTOM = ["--base-url=https://models.example/v1"]


@pytest.mark.parametrize(
    ("provider", "arguments", "complaint"),
    [
        ("google", [], "invalid choice: 'google'"),
        ("openai", ["--no-credential"], "openai asks for a credential."),
        ("anthropic", ["--no-credential"], "anthropic asks for a credential."),
        ("bedrock", ["--no-credential", *CUSTOM], "bedrock asks for a credential."),
        ("openai", ["--keep-credential"], "has no openai credential yet."),
        (
            "custom",
            [*CUSTOM, "--no-credential", "--keep-credential"],
            "not allowed with argument",
        ),
        ("custom", [], "base_url: custom has no base URL of its own: give one."),
        ("bedrock", [], "base_url: bedrock has no base URL of its own: give one."),
        ("openai", ["--base-url=http://models.example"], "base_url: http:// is only"),
        ("openai", ["--base-url=https://10.0.0.7"], "base_url: 10.0.0.7 is neither"),
        ("openai", ["--base-url=https://bücher.example"], "base_url: Expected ASCII"),
        ("openai", ["--base-url=https://a.example?k=v"], "base_url: A base URL has"),
        (
            "openai",
            [f"--base-url=https://a.example/{'x' * 500}"],
            "base_url: Ensure this value has at most 500 characters",
        ),
        ("openai", ["--model", "gpt-*-mini"], "model_patterns: A * may stand"),
        ("openai", ["--model="], "model_patterns: Expected a list of names"),
        ("openai", ["--model", *"m" * 101], "model_patterns: There are at most 100."),
        ("openai", ["--allow-host="], "allowed_hosts: Expected a list of names"),
        ("openai", ["--allow-host", *"h" * 21], "allowed_hosts: There are at most 20."),
        ("openai", ["--connect-seconds=0"], "connect_seconds: "),
        ("openai", ["--connect-seconds=9999"], "connect_seconds: "),
        ("openai", ["--silence-seconds=0"], "silence_seconds: "),
        ("openai", ["--silence-seconds=9999"], "silence_seconds: "),
        ("openai", ["--total-seconds=0"], "total_seconds: "),
        ("openai", ["--total-seconds=9999"], "total_seconds: "),
        ("openai", ["--retries=-1"], "retries: "),
        ("openai", ["--retries=99"], "retries: "),
        ("openai", ["--retries=two"], "invalid int value: 'two'"),
        ("openai", ["--concurrency=0"], "concurrency: "),
        ("openai", ["--concurrency=9999"], "concurrency: "),
    ],
)
def test_what_makes_no_sense_is_refused(acme, refusal, provider, arguments, complaint):
    assert complaint in refusal(provider, *arguments)
    assert has_none(acme)


@pytest.mark.parametrize(
    "arguments",
    [
        ["set_provider", "nobody", "openai"],
        ["list_providers", "nobody"],
        ["remove_provider", "nobody", "openai"],
    ],
)
def test_a_tenant_that_is_not_there(database, manage, arguments):
    with pytest.raises(CommandError, match="There is no tenant 'nobody'"):
        manage(*arguments, stdin=SECRET)


def test_a_refused_replacement_changes_nothing(acme, set_provider, refusal):
    set_provider("openai")
    assert "retries" in refusal("openai", "--retries=99", stdin=OTHER_SECRET)
    assert (row_of(acme).credential, row_of(acme).retries) == (SECRET, 2)


def test_a_custom_provider_may_ask_for_no_credential(acme, set_provider):
    set_provider("custom", *CUSTOM, "--no-credential", stdin=SECRET)
    assert row_of(acme, "custom").credential == ""


class Server(ThreadingHTTPServer):
    """A provider that answers every request the same, and remembers them."""

    status = 200
    body = b'{"data": []}'
    missing = 0  # bytes of it that are promised and never come

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/base"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append((self.path, headers))
        self.send_response(self.server.status)
        length = len(self.server.body) + self.server.missing
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def here(server: Server) -> list[str]:
    return [f"--base-url={server.url}", "--allow-host=127.0.0.1", "--test"]


@pytest.mark.parametrize("provider", ["openai", "custom"])
def test_a_test_asks_for_the_models(acme, set_provider, server, provider):
    told = json.loads(set_provider(provider, *here(server), "--json"))["test"]
    assert told["status"] == 200
    assert told["text"] == f"Tested: HTTP 200 after {told['milliseconds']} ms."
    ((path, headers),) = server.seen
    assert path == "/base/models"
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert row_of(acme, provider).credential == SECRET


def test_a_test_is_told_of_in_a_sentence(acme, set_provider, server):
    told = set_provider("openai", *here(server))
    assert told.startswith(f"Set openai of {acme}: {server.url}. Tested: HTTP 200 ")


def test_anthropic_is_asked_as_its_client_does(set_provider, server):
    set_provider("anthropic", *here(server))
    ((path, headers),) = server.seen
    assert path == "/base/v1/models"
    assert headers["x-api-key"] == SECRET
    assert headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in headers


def test_the_credential_that_is_kept_is_tested(set_provider, server):
    set_provider("openai")
    set_provider("openai", "--keep-credential", *here(server))
    assert server.seen[0][1]["authorization"] == f"Bearer {SECRET}"


def test_no_credential_is_sent_where_there_is_none(set_provider, server):
    set_provider("custom", "--no-credential", *here(server))
    assert "authorization" not in server.seen[0][1]


def test_nothing_is_asked_without_test(set_provider, server):
    *where, _ = here(server)
    set_provider("openai", *where)
    assert server.seen == []


def test_bedrock_is_not_tested_and_saved(acme, set_provider, server):
    told = set_provider("bedrock", *here(server))
    assert "Not tested: Bedrock offers no cheap request" in told
    assert row_of(acme, "bedrock").credential == SECRET
    assert server.seen == []


def test_a_custom_host_without_a_list_of_models_is_reached(acme, set_provider, server):
    server.status = 404
    told = set_provider("custom", *here(server))
    assert "Reached, but it lists no models (HTTP 404 after" in told
    assert row_of(acme, "custom").credential == SECRET


@pytest.mark.parametrize(
    ("provider", "status"),
    [("openai", 404), ("anthropic", 404)]
    + [("custom", status) for status in (302, 401, 403, 429, 500)],
)
def test_a_refused_credential_is_not_saved(acme, refusal, server, provider, status):
    server.status = status
    server.body = b'{"error": {"message": "Not\\nlike that.", "type": "x"}}'
    told = refusal(provider, *here(server))
    assert told.startswith(f"Nothing was saved: HTTP {status} after ")
    assert told.endswith(" ms: Not like that.")
    assert has_none(acme)


def test_a_failed_test_keeps_what_was_there(acme, set_provider, refusal, server):
    set_provider("openai")
    server.status = 401
    refusal("openai", *here(server), stdin=OTHER_SECRET)
    assert (row_of(acme).credential, row_of(acme).base_url) == (SECRET, "")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "."),
        (b"<b>no</b>", ": <b>no</b>"),
        (b'{"error": "no"}', ': {"error": "no"}'),
        (b"\xff\x1b[31mno", ": \N{REPLACEMENT CHARACTER} [31mno"),
        (b"[" * 9999, ": " + "[" * 300),
        (b"word " * 100_000, ": " + ("word " * 60)),
    ],
)
def test_what_the_provider_says_is_quoted_in_part(refusal, server, body, message):
    server.status, server.body = 500, body
    assert refusal("openai", *here(server)).partition(" ms")[2] == message


@pytest.mark.parametrize(
    "echo",
    [
        f"The key {SECRET} is wrong.",
        f"The key {SECRET[:8]}******{SECRET[-4:]} is wrong.",
        f"The key Bearer='{SECRET}' is wrong.",
        f"The key ...{SECRET[-4:]} is wrong.",
        f"The key {SECRET[:4]}... is wrong.",
    ],
)
@pytest.mark.parametrize("form", ['{"error": {"message": "%s"}}', "%s"])
def test_an_echoed_credential_is_removed(refusal, server, form, echo):
    server.status, server.body = 401, (form % echo).encode()
    told = refusal("openai", *here(server))
    assert told.endswith(": The key [removed] is wrong.")


@pytest.mark.parametrize("length", range(270, 310, 7))
def test_no_cut_lets_a_part_of_it_through(refusal, server, length):
    server.status, server.body = 401, f"{'x' * length} {SECRET} y".encode()
    told = refusal("openai", *here(server)).rpartition(": ")[2]
    assert len(told) <= 300
    assert told in f"{'x' * length} [removed] y"


def test_a_short_credential_is_removed_too():
    assert quotable("no pw=abc here", "abc") == "no [removed] here"
    assert quotable("no such thing", "") == "no such thing"
    assert quotable("the latest test (test) failed", "test") == (
        "the latest [removed] [removed] failed"
    )


def test_a_connection_refused_is_told(acme, refusal):
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        told = refusal(
            "custom", f"--base-url={url}", "--allow-host=127.0.0.1", "--test"
        )
    assert told.startswith(f"Nothing was saved: No answer from {url}: ")
    assert "Connection refused" in told
    assert has_none(acme)


@pytest.fixture
def silent() -> Iterator[list[str]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        yield [f"--base-url={url}", "--allow-host=127.0.0.1", "--test"]


def test_a_silent_server_is_waited_for_as_long_as_calls_would(acme, refusal, silent):
    started = time.monotonic()
    assert refusal("custom", "--silence-seconds=1", *silent).endswith("timed out")
    assert 1 <= time.monotonic() - started < 15
    assert has_none(acme)


def test_a_test_has_less_patience_than_calls_may_need(refusal, silent, monkeypatch):
    monkeypatch.setattr(probing, "MOST_SECONDS", 0.1)
    started = time.monotonic()
    assert refusal("custom", "--silence-seconds=300", *silent).endswith("timed out")
    assert time.monotonic() - started < 15


def endless(chunk: bytes) -> Iterator[bytes]:
    yield from [chunk] * 1000
    raise AssertionError("This is read to no end.")


def test_an_endless_refusal_is_read_no_further_than_it_is_quoted():
    response = httpcore2.Response(500, content=endless(b"x" * 999))
    assert probing._beginning(response, time.monotonic()) == b"x" * 10_000


def test_a_refusal_that_drips_is_left_when_the_time_is_over():
    response = httpcore2.Response(500, content=endless(b"x"))
    assert probing._beginning(response, time.monotonic() - 31) == b"x"


def test_a_refusal_that_breaks_off_is_told(refusal, server):
    server.status, server.body, server.missing = 403, b"Not y", 10
    assert refusal("openai", *here(server)).endswith(" ms: Not y")


def test_a_test_goes_through_the_guard(acme, refusal, server, monkeypatch):
    address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 443))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: [address])
    told = refusal("custom", "--base-url=https://rebound.example", "--test")
    assert "rebound.example has an address that is not public" in told
    assert has_none(acme)


def test_providers_are_listed(acme, set_provider, manage):
    set_provider("openai")
    set_provider("custom", *EVERY_OPTION)
    updated = f"{row_of(acme).updated_at:%Y-%m-%d %H:%M} UTC"
    headings, custom, openai = manage("list_providers", acme.slug).splitlines()
    assert re.split("  +", headings) == list(HEADINGS)
    for cell in (
        "custom ",
        "http://10.0.0.7:8080/v1 ",
        "qwen3-* llama-3 phi-* ",
        "10.0.0.7 fallback.local ",
        "3/40/500 s, 0 retries, 7 at a time ",
    ):
        assert f"  {cell}" in custom
    assert openai.startswith(f"{acme.slug}  openai    https://api.openai.com/v1  ")
    assert "  any " in openai
    assert openai.endswith(f" retries, 100 at a time  {updated}")
    assert headings.index("UPDATED") == openai.index(updated)


def test_providers_of_every_tenant_are_listed(acme, set_provider, manage):
    other = new_tenant("globex")
    set_provider("openai")
    manage("set_provider", other.slug, "anthropic", stdin=OTHER_SECRET)
    told = json.loads(manage("list_providers", "--json"))["providers"]
    mine = {acme.slug, other.slug}
    assert [(it["tenant"], it["provider"]) for it in told if it["tenant"] in mine] == [
        (acme.slug, "openai"),
        (other.slug, "anthropic"),
    ]
    (alone,) = json.loads(manage("list_providers", other.slug, "--json"))["providers"]
    assert (alone["tenant"], alone["model_patterns"]) == (other.slug, [])


def test_a_tenant_without_providers(acme, manage):
    assert manage("list_providers", acme.slug) == "No providers."
    assert manage("list_providers", acme.slug, "--json") == '{"providers": []}'


def test_a_provider_is_removed(acme, set_provider, manage):
    set_provider("openai")
    set_provider("anthropic")
    told = manage("remove_provider", acme.slug, "anthropic")
    assert told == f"Removed anthropic of {acme}."
    assert row_of(acme, "openai")
    told = json.loads(manage("remove_provider", acme.slug, "openai", "--json"))
    assert (told["tenant"], told["provider"]) == (acme.slug, "openai")
    assert has_none(acme)


def test_what_is_not_there_is_not_removed(acme, manage):
    with pytest.raises(CommandError, match=f"{acme} has no openai credential"):
        manage("remove_provider", acme.slug, "openai")
