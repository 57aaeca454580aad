"""The gateway goes to public addresses, and elsewhere only by an allowed name."""

import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import httpcore2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrations.gateway import destinations
from orchestrations.gateway.destinations import (
    BadBaseURL,
    ForbiddenAddress,
    Guarded,
    canonical_host,
    check_base_url,
    is_public,
)

NAME = "provider.test"
LOOPBACK = "127.0.0.1"
PUBLIC, ALSO_PUBLIC = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
METADATA = "169.254.169.254"

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def refusal_of(url: str, *allowed: str) -> str:
    with pytest.raises(BadBaseURL) as refused:
        check_base_url(url, allowed)
    return str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com",
        "https://api.openai.com/v1",
        "https://api.openai.com./v1/",
        "HTTPS://API.OPENAI.COM:8443/v1",
        "https://bücher.example/v1",
        "https://xn--bcher-kva.example/v1",
        "https://not-yet.in-any-dns.example/a@b:c",
        "https://4.example:65535",
        "https://8.8.8.8:1/v1",
        "https://[2606:4700::1111]/v1",
        "https://[2606:4700::1111]:443/v1",
    ],
)
def test_a_base_url_of_a_public_host_needs_nobodys_permission(url):
    check_base_url(url, ())


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "starts with https"),
        ("api.openai.com/v1", "starts with https"),
        ("//api.openai.com/v1", "starts with https"),
        ("https:api.openai.com", "starts with https"),
        ("https:/api.openai.com", "starts with https"),
        ("ftp://api.openai.com", "starts with https"),
        ("file:///etc/passwd", "starts with https"),
        ("http://api.openai.com", "only for allowed hosts"),
        ("http://8.8.8.8", "only for allowed hosts"),
        ("https://me:secret@api.openai.com", "no password"),
        ("https://me@api.openai.com", "no password"),
        ("https://@api.openai.com", "no password"),
        ("https://api.openai.com@169.254.169.254", "no password"),
        ("https://api.openai.com/v1?key=1", "query"),
        ("https://api.openai.com?", "query"),
        ("https://api.openai.com/v1#top", "fragment"),
        ("https://api.openai.com#@169.254.169.254", "fragment"),
        ("https://", "names a host"),
        ("https:///v1", "names a host"),
        ("https://:443/v1", "names a host"),
        ("https://api.openai.com:/v1", "port"),
        ("https://api.openai.com:0/v1", "port"),
        ("https://api.openai.com:65536/v1", "port"),
        ("https://api.openai.com:+443/v1", "port"),
        ("https://api.openai.com:\uff14\uff14\uff13/v1", "port"),
        ("https://api.openai.com:https/v1", "port"),
        ("https://api.openai.com:443:443/v1", "port"),
        ("https://api.openai.com\\@169.254.169.254", "backslashes"),
        ("https://api.openai .com", "spaces"),
        (" https://api.openai.com", "spaces"),
        ("https://api.openai.com/v1\n", "control"),
        ("https://api.open\tai.com/v1", "control"),
        ("https://api.openai.com\0.example", "control"),
        ("https://api.openai.com/\x7f", "control"),
        ("https://api.openai.com\u2028/v1", "control"),
        ("https://api..com", "host"),
        ("https://.", "host"),
        ("https://-api.example", "host"),
        ("https://api%2eexample", "host"),
        (f"https://{'a' * 64}.example", "host"),
        (f"https://{'a.' * 126}ab", "host"),
        ("https://xn--\u0301.example", "host"),
        ("https://[api.example]", "host"),
        ("https://[8.8.8.8]", "host"),
        ("https://[::1", "host"),
        ("https://[[2606:4700::1111]]", "host"),
        ("https://[2606:4700::1111].example", "host"),
        ("https://[2606:4700::1111%25lo]", "host"),
    ],
)
def test_a_malformed_base_url_is_refused(url, reason):
    assert reason in refusal_of(url)


@pytest.mark.parametrize("url", ["https://me:secret@a.test", "https://a.test?secret"])
def test_a_refusal_repeats_no_secret(url):
    assert "secret" not in refusal_of(url)


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "127.0.1",
        "0x7f000001",
        "0X7F.1",
        "2130706433",
        "0177.0.0.1",
        "127.0.0.0x1",
        "127.0.0.01",
        "127.0.0.1.1",
        "8.8.2056",
        "127.1.",
        "\uff10x7f000001",
        "127。1",
        "example.1",
        "example.0x",
    ],
)
def test_an_ip_address_has_one_spelling(host):
    assert "neither a host name nor" in refusal_of(f"https://{host}/v1")
    with pytest.raises(BadBaseURL):
        canonical_host(host)


@given(st.ip_addresses(v=4))
def test_no_number_stands_for_an_ip_address(address):
    for host in (f"{int(address)}", f"0x{int(address):x}", f"0{int(address):o}"):
        assert "neither a host name nor" in refusal_of(f"https://{host}")


@pytest.mark.parametrize(
    "host",
    [
        LOOPBACK,
        "127.0.0.1.",
        "127。0。0。1",
        METADATA,
        "10.0.0.1",
        "[::1]",
        "[fd00::1]",
    ],
)
def test_an_ip_address_that_is_not_public_is_refused_at_once(host):
    assert "neither a public address" in refusal_of(f"https://{host}:8000/v1")


@pytest.mark.parametrize(
    ("allowed", "host"),
    [
        ("localhost", "localhost"),
        ("LocalHost", "LOCALHOST"),
        ("localhost.", "localhost"),
        ("localhost", "localhost."),
        ("ollama_server", "ollama_server"),
        ("bücher.example", "BÜCHER.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "bücher。example"),
        ("10.0.0.1", "10.0.0.1"),
        ("::1", "[::1]"),
        ("[::1]", "[0:0:0:0:0:0:0:1]"),
        ("FD00::A", "[fd00::a]"),
    ],
)
def test_an_allowed_host_may_be_private_and_without_tls(allowed, host):
    assert refusal_of(f"http://{host}:11434/v1", "other.example")
    check_base_url(f"http://{host}:11434/v1", [allowed])
    check_base_url(f"https://{host}:11434/v1", ["other.example", allowed])


@pytest.mark.parametrize(
    "host", ["evil-localhost", "localhost.evil.example", "sub.localhost", "127.0.0.1"]
)
def test_an_allowed_host_allows_no_other(host):
    assert "only for allowed hosts" in refusal_of(f"http://{host}", "localhost")


@pytest.mark.parametrize(
    "entry",
    ["localhost:11434", "http://localhost", "", "127.1", "1[::1]", "fe80::1%lo"],
)
def test_an_allowed_host_that_is_none_is_an_error(entry):
    assert repr(entry) in refusal_of("https://api.openai.com", entry)
    with pytest.raises(BadBaseURL):
        Guarded(frozenset({entry}))


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "93.184.215.14",
        "100.63.255.255",
        "100.128.0.1",
        "168.63.129.17",
        "192.0.1.1",
        "2606:4700::1111",
        "2a00:1450:4001:80b::200a",
        "::ffff:8.8.8.8",
        "2002:808:808::1",
        "64:ff9b::8.8.8.8",
    ],
)
def test_public_addresses(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "169.254.170.2",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.0.9",
        "192.0.0.192",
        "192.0.2.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::1%lo",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:168.63.129.16",
        "::ffff:0:127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::10.0.0.1",
        "64:ff9b:1:7f00:0:100::",
        "64:ff9b:1::8.8.8.8",
        "100::1",
        "2001::1",
        "2001:0:808:808:8000:0:f5ff:fffe",
        "2001:1::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "2002:c0a8:1::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "fe80::1",
        "fe80::1%eth0",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ],
)
def test_addresses_that_are_not_public(address):
    assert not is_public(address)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_in_ipv6_is_judged_as_itself(address: IPv4Address):
    digits = f"{int(address) >> 16:x}:{int(address) & 0xFFFF:x}"
    carriers = [f"::ffff:{digits}", f"64:ff9b::{digits}", f"2002:{digits}::1"]
    assert {is_public(text) for text in carriers} == {is_public(str(address))}


class Names:
    """A resolver of made-up names, each with one answer after the other."""

    def __init__(self) -> None:
        self.answers: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []
        self._real = socket.getaddrinfo

    def getaddrinfo(self, host: str, port: int, *args: Any, **options: Any) -> Any:
        if host not in self.answers:
            return self._real(host, port, *args, **options)
        self.asked.append(host)
        answers = self.answers[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        # Numbers, with which the real one asks nobody.
        return [
            answer
            for address in addresses
            for answer in self._real(address, port, *args, **options)
        ]


@pytest.fixture
def names(monkeypatch) -> Names:
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    return names


class Provider(socketserver.ThreadingTCPServer):
    """Answers every request with 200, and remembers what it was sent."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__((LOOPBACK, 0), None)  # type: ignore[arg-type]
        self.tls = tls
        self.connections = 0
        self.requests: list[bytes] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def finish_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        if self.tls:
            try:
                request = self.tls.wrap_socket(request, server_side=True)
            except OSError:  # the client does not like the certificate
                return
        with request:
            self.requests.append(request.recv(65536))
            request.sendall(ANSWER)


@contextmanager
def serving(provider: Provider) -> Iterator[Provider]:
    with provider:
        thread = threading.Thread(target=provider.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield provider
        finally:
            provider.shutdown()
            thread.join()


@pytest.fixture
def provider() -> Iterator[Provider]:
    with serving(Provider()) as provider:
        yield provider


def get(url: str, *allowed: str, **options: Any) -> bytes:
    backend = Guarded(frozenset(allowed))
    with httpcore2.ConnectionPool(network_backend=backend, **options) as pool:
        answer = pool.request("GET", url, extensions={"timeout": {"connect": 5}})
        return answer.content


@pytest.mark.parametrize("host", [NAME, "localhost", LOOPBACK])
def test_a_private_address_is_reached_only_if_its_host_is_allowed(
    host, names, provider
):
    names.answers[NAME] = [[LOOPBACK]]
    names.answers["localhost"] = [[LOOPBACK]]
    url = f"http://{host}:{provider.port}/v1"
    with pytest.raises(ForbiddenAddress, match=rf"{host} .* may allow"):
        get(url, "other.example")
    assert provider.connections == 0

    assert get(url, host.upper()) == b"hello"
    assert provider.requests[0].startswith(
        b"GET /v1 HTTP/1.1\r\nHost: " + host.encode()
    )


@pytest.mark.parametrize("host", ["PROVIDER.test", "provider.test."])
def test_an_allowed_host_is_known_however_it_is_spelled(host, names, attempts):
    names.answers[host] = [[LOOPBACK]]
    Guarded(frozenset({NAME})).connect_tcp(host, 443)
    assert attempts.made == [LOOPBACK]


def test_an_allowed_address_does_not_allow_the_names_of_it(names, provider):
    names.answers[NAME] = [[LOOPBACK]]
    with pytest.raises(ForbiddenAddress):
        get(f"http://{NAME}:{provider.port}", LOOPBACK)
    assert provider.connections == 0


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "127.0.0.1."])
def test_a_number_that_resolvers_know_leads_nowhere_either(host, provider):
    with pytest.raises((ForbiddenAddress, httpcore2.ConnectError)):
        get(f"http://{host}:{provider.port}", "localhost")
    assert provider.connections == 0


def test_a_refusal_does_not_tell_where_the_host_led(names):
    names.answers[NAME] = [["10.1.2.3"]]
    with pytest.raises(ForbiddenAddress) as refused:
        Guarded(frozenset()).connect_tcp(NAME, 443)
    assert "10.1.2.3" not in str(refused.value)


def test_a_refusal_is_not_tried_again(names):
    names.answers[NAME] = [[METADATA]]
    with pytest.raises(ForbiddenAddress):
        get(f"https://{NAME}/", retries=3)
    assert names.asked == [NAME]


def test_unix_sockets_are_refused(tmp_path):
    with pytest.raises(ForbiddenAddress, match="Unix socket"):
        get("http://localhost/", "localhost", uds=str(tmp_path / "socket"))


class Attempts:
    """Stands in for the network: notes each attempt, and fails as it is told."""

    def __init__(self) -> None:
        self.failures: dict[str, Exception] = {}
        self.made: list[str] = []
        self.arguments: list[tuple[Any, ...]] = []
        self.clock = 1000.0
        self.takes = 0.0
        self.stream = httpcore2.NetworkStream()

    @property
    def timeouts(self) -> list[float | None]:
        return [arguments[1] for arguments in self.arguments]

    def connect(self, address: str, *arguments: Any) -> httpcore2.NetworkStream:
        self.made.append(address)
        self.arguments.append(arguments)
        timeout = arguments[1]
        self.clock += self.takes if timeout is None else min(self.takes, timeout)
        if address in self.failures:
            raise self.failures[address]
        return self.stream


@pytest.fixture
def attempts(monkeypatch) -> Attempts:
    attempts = Attempts()
    monkeypatch.setattr(destinations, "monotonic", lambda: attempts.clock)
    monkeypatch.setattr(
        httpcore2.SyncBackend,
        "connect_tcp",
        lambda backend, *arguments: attempts.connect(*arguments),
    )
    return attempts


@pytest.mark.parametrize(
    "addresses",
    [
        [PUBLIC, LOOPBACK],
        [LOOPBACK, PUBLIC],
        [PUBLIC, ALSO_PUBLIC, METADATA],
        [ALSO_PUBLIC, "fe80::1"],
        [PUBLIC, "::ffff:127.0.0.1"],
    ],
)
def test_one_private_address_among_public_ones_is_enough(addresses, names, attempts):
    names.answers[NAME] = [addresses]
    with pytest.raises(ForbiddenAddress):
        Guarded(frozenset()).connect_tcp(NAME, 443)
    assert attempts.made == []


def test_the_address_that_was_checked_is_the_one_connected_to(names, attempts):
    names.answers[NAME] = [[PUBLIC], [LOOPBACK]]
    stream = Guarded(frozenset()).connect_tcp(NAME, 443)
    assert stream is attempts.stream
    assert attempts.made == [PUBLIC]
    assert names.asked == [NAME]


def test_a_name_that_is_rebound_is_refused_at_the_next_connection(names, attempts):
    names.answers[NAME] = [[PUBLIC], [LOOPBACK]]
    guarded = Guarded(frozenset())
    guarded.connect_tcp(NAME, 443)
    with pytest.raises(ForbiddenAddress):
        guarded.connect_tcp(NAME, 443)
    assert attempts.made == [PUBLIC]


def test_what_else_httpcore_says_is_passed_on(names, attempts):
    names.answers[NAME] = [[ALSO_PUBLIC, PUBLIC]]
    attempts.failures[ALSO_PUBLIC] = httpcore2.ConnectError("refused")
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    Guarded(frozenset()).connect_tcp(NAME, 8443, 4.0, "192.0.2.7", options)
    assert attempts.arguments == [
        (8443, 2.0, "192.0.2.7", options),
        (8443, 4.0, "192.0.2.7", options),
    ]


def test_addresses_are_tried_in_order(names, attempts):
    names.answers[NAME] = [[ALSO_PUBLIC, PUBLIC, "8.8.8.8"]]
    attempts.failures[ALSO_PUBLIC] = httpcore2.ConnectError("refused")
    assert Guarded(frozenset()).connect_tcp(NAME, 443) is attempts.stream
    assert attempts.made == [ALSO_PUBLIC, PUBLIC]
    assert attempts.timeouts == [None, None]


@pytest.mark.parametrize("kind", [httpcore2.ConnectError, httpcore2.ConnectTimeout])
def test_the_last_failure_is_the_one_that_is_told(kind, names, attempts):
    names.answers[NAME] = [[ALSO_PUBLIC, PUBLIC]]
    attempts.failures[ALSO_PUBLIC] = httpcore2.ConnectError("first")
    attempts.failures[PUBLIC] = kind("last")
    with pytest.raises(kind, match="last"):
        Guarded(frozenset()).connect_tcp(NAME, 443, 10.0)


def test_all_attempts_share_the_timeout(names, attempts):
    names.answers[NAME] = [[ALSO_PUBLIC, PUBLIC, "8.8.8.8"]]
    for address in names.answers[NAME][0]:
        attempts.failures[address] = httpcore2.ConnectTimeout("timed out")
    attempts.takes = 60.0
    with pytest.raises(httpcore2.ConnectTimeout):
        Guarded(frozenset()).connect_tcp(NAME, 443, 8.0)
    assert attempts.timeouts == [4.0, 2.0, 2.0]


def test_the_resolver_uses_up_the_timeout(names, attempts, monkeypatch):
    def resolve_slowly(*arguments: Any, **options: Any) -> Any:
        attempts.clock += 3.0
        return names.getaddrinfo(*arguments, **options)

    names.answers[NAME] = [[PUBLIC]]
    monkeypatch.setattr(socket, "getaddrinfo", resolve_slowly)
    Guarded(frozenset()).connect_tcp(NAME, 443, 5.0)
    assert attempts.timeouts == [2.0]

    with pytest.raises(httpcore2.ConnectTimeout):
        Guarded(frozenset()).connect_tcp(NAME, 443, 3.0)
    assert attempts.made == [PUBLIC]


def free_port() -> int:
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        return int(free.getsockname()[1])


def test_a_port_where_nobody_listens_is_a_connect_error():
    with pytest.raises(httpcore2.ConnectError):
        get(f"http://{LOOPBACK}:{free_port()}/", LOOPBACK)


def test_the_second_address_is_reached_when_the_first_is_not(names, provider):
    names.answers[NAME] = [["::1", LOOPBACK]]  # the provider listens on IPv4 alone
    assert get(f"http://{NAME}:{provider.port}/", NAME) == b"hello"


@pytest.mark.parametrize("host", ["nobody.invalid", "a..b", "a" * 64])
def test_a_host_without_an_address_is_a_connect_error(host, monkeypatch):
    def fail(host: str, *arguments: Any, **options: Any) -> Any:
        host.encode("idna")  # as the real one does
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(httpcore2.ConnectError):
        Guarded(frozenset()).connect_tcp(host, 443, 5.0)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> Path:
    """A self-signed certificate of NAME, and its key, in one file."""
    folder: Path = tmp_path_factory.mktemp("tls")
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out certificate.pem"
        f" -days 2 -subj /CN={NAME} -addext subjectAltName=DNS:{NAME}"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    both = folder / "both.pem"
    parts = [folder / "key.pem", folder / "certificate.pem"]
    both.write_text("".join(part.read_text() for part in parts))
    return both


@pytest.fixture
def tls_provider(certificate) -> Iterator[Provider]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(Provider(context)) as provider:
        yield provider


def test_a_self_signed_certificate_is_refused(names, tls_provider):
    names.answers[NAME] = [[LOOPBACK]]
    with pytest.raises(httpcore2.ConnectError, match=r"self.signed certificate"):
        get(f"https://{NAME}:{tls_provider.port}/", NAME)
    assert tls_provider.connections == 1
    assert tls_provider.requests == []


def test_a_certificate_is_one_of_the_name_in_the_url(names, certificate, tls_provider):
    names.answers = {NAME: [[LOOPBACK]], "other.test": [[LOOPBACK]]}
    trusting = ssl.create_default_context(cafile=certificate)
    port = tls_provider.port
    assert get(f"https://{NAME}:{port}/", NAME, ssl_context=trusting) == b"hello"
    for host in ("other.test", LOOPBACK):
        with pytest.raises(
            httpcore2.ConnectError, match="certificate is not valid for"
        ):
            get(f"https://{host}:{port}/", host, ssl_context=trusting)
    assert len(tls_provider.requests) == 1
