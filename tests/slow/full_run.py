"""A whole day of an installation whose secrets are known, and all that it wrote.

People log in and look at everything, programs report and ask, commands run, and
things go wrong in every way that tempts a program to print what it holds.
"""

import base64
import json
import re
import secrets
import socket
import subprocess
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path

from tests.caller import RUN
from tests.orchestrations.provider import CHAT
from tests.slow.browser import Browser
from tests.slow.client import Client
from tests.slow.gateway import FORMS, MODEL
from tests.slow.issued import EXPIRED, TAMPERED, VALID, issue, signature
from tests.slow.provider import CUT, Provider, Scene, head, whole
from tests.slow.server import ROOT, Installation, Server

EMAIL = "operator@example.com"
BROKEN = [  # tables whose loss breaks authentication, sessions, the ledger, the gateway
    "tenants_apikey",
    "tenants_tenant",
    "django_session",
    "receipts_log",
    "orchestrations_attempt",
]


class ProcessWatch:
    """Notes the command line of every process of the machine, again and again."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "ProcessWatch":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(0.02):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):  # that it has ended
                    self.seen.add(file.read_bytes().replace(b"\0", b" ").decode())


class FullRun:
    """Done when made. `secrets` are what nothing may hold, `written` what was told."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self.written: dict[str, str] = {}
        self.password = secrets.token_urlsafe(16)
        self.credentials = [f"sk-{secrets.token_urlsafe(24)}" for _ in range(2)]
        self.account = installation.new_account("leaky")
        self.tokens = issue(self.account, installation.environment)
        with ProcessWatch() as watch, Provider() as provider:
            self._set_up(provider)
            with installation.server() as server:
                with server.client(self.account):
                    pass
                self.browser = Browser(server.port)
                self._programs(server, provider)
                self._token_bearers(server, provider)
                self._people(server)
                self._commands()
                self._mistakes(server)
                self._breakdowns(server)
            self.written["the server's log"] = server.log
        self.written["process lists"] = "\n".join(watch.seen)
        self.written["pages"] = "\n".join(self.browser.pages)

    @property
    def secrets(self) -> dict[str, bytes]:
        environment = self._installation.environment
        url = environment["DATABASE_URL"]
        password = re.search(r"//\w+:(\w+)@", url)
        found = (
            {
                "the API key": self.account.key[18:],  # after its public part
                "the key made in the admin": self.admin_key[18:],
                "the provider's credential": self.credentials[0],
                "the credential set in the admin": self.credentials[1],
                "the password": self.password,
                "the session": self.session,
                "the secret key": environment["LUCID_SECRET_KEY"],
                "the secret of tokens": environment["LUCID_JWT_SECRET"],
                "the database's password": password[1] if password else self.password,
            }
            | {name: signature(token) for name, token in self.tokens.items()}
        )
        keys = {
            "the master key": environment["LUCID_MASTER_KEYS"],
            "the pepper": environment["LUCID_API_KEY_PEPPERS"],
        }
        raw = {
            name: base64.b64decode(text.partition(":")[2])
            for name, text in keys.items()
        }
        return {name: text.encode() for name, text in found.items()} | raw

    def manage(self, *arguments: str, line: str = "", **environment: str) -> str:
        """Run a command; keep what it prints, whatever comes of it."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self._installation.environment | environment,
            input=line,
            capture_output=True,
            text=True,
        )
        name = f"manage.py {' '.join(arguments)} ({len(self.written)})"
        self.written[name] = done.stdout + done.stderr
        return done.stdout

    def _set_up(self, provider: Provider) -> None:
        self._set_provider(provider.url, self.credentials[0])
        self.manage(
            *("createsuperuser", "--noinput", "--email", EMAIL),
            DJANGO_SUPERUSER_PASSWORD=self.password,
        )

    def _set_provider(self, url: str, credential: str, *options: str) -> None:
        where = ["--base-url", f"{url}/v1", "--allow-host", "127.0.0.1"]
        command = ["set_provider", self.account.slug, "custom", *where, *options]
        self.manage(*command, "--retries", "0", "--model", MODEL, line=credential)

    def _programs(self, server: Server, provider: Provider) -> None:
        """Report, and ask a provider that answers, refuses, repeats and hangs up."""
        quoted = {"error": {"message": f"Bad key: {self.credentials[0]}, sent by you"}}
        scenes: list[Scene] = [
            whole(CHAT),
            whole(quoted, 401),
            whole(f"<p>{self.credentials[0]}</p>".encode(), 500),
            [head(200, Content_Length="1000"), b'{"id": "', CUT],
            [CUT],
        ]
        with server.client(self.account) as client:
            told = client.post("/v1/receipts", RUN, {"Idempotency-Key": "once"})
            assert told.status == 200, told
            for scene in scenes:
                provider.plays(scene)
                answer = client.post(*FORMS["chat"])
                self.written[f"answer {len(self.written)}"] = answer.body.decode()

    def _token_bearers(self, server: Server, provider: Provider) -> None:
        """Do with tokens what programs do with keys."""
        for name, status in {VALID: 200, EXPIRED: 401, TAMPERED: 401}.items():
            provider.plays(whole(CHAT))
            with Client(server.port, self.tokens[name]) as client:
                answers = [
                    client.post("/v1/receipts", RUN, {"Idempotency-Key": "by-token"}),
                    client.get("/v1/receipts"),
                    client.post(*FORMS["chat"]),
                ]
            assert {answer.status for answer in answers} == {status}, answers
            told = [f"{answer.headers}{answer.body.decode()}" for answer in answers]
            self.written[f"answers to {name}"] = "\n".join(told)

    def _people(self, server: Server) -> None:
        browser = self.browser
        browser.log_in(EMAIL, "a wrong one")
        page = browser.log_in(EMAIL, self.password)
        assert "/admin/logout/" in page, page
        self.session = next(
            it for name, it in browser.cookies.items() if "sessionid" in name
        )
        self._make_key(browser)
        self._set_in_admin(browser)
        self._look_at_everything(browser)

    def _make_key(self, browser: Browser) -> None:
        path = "/admin/tenants/apikey/add/"
        tenants = browser.get("/admin/tenants/tenant/")
        [tenant] = set(re.findall(r"tenant/([0-9a-f-]{36})/change", tenants))
        fields = {"tenant": tenant, "name": "shown", "mode": "live", "scopes": "*"}
        page = browser.submit(path, fields | {"expires_at_0": "", "expires_at_1": ""})
        [self.admin_key] = set(re.findall(r"lk_live_\w{42}", page))
        # The page that may show it, this one time.
        browser.pages = [it for it in browser.pages if self.admin_key not in it]

    def _set_in_admin(self, browser: Browser) -> None:
        listed = browser.get("/admin/orchestrations/providercredential/")
        [row] = set(re.findall(r"providercredential/(\d+)/change", listed))
        path = f"/admin/orchestrations/providercredential/{row}/change/"
        fields = {
            "credential": self.credentials[1],
            "base_url": "not a url",
            "connect_seconds": "10",
            "silence_seconds": "300",
            "total_seconds": "900",
            "retries": "0",
            "concurrency": "10",
        }
        assert "errorlist" in browser.submit(path, fields)
        right = fields | {"base_url": "https://api.example.com/v1"}
        assert "was changed successfully" in browser.submit(path, right)

    def _look_at_everything(self, browser: Browser) -> None:
        index = browser.get("/admin/")
        for path in sorted(set(re.findall(r'href="(/admin/\w+/\w+/)"', index))):
            listed = browser.get(path)
            links = re.findall(r'href="(/admin/[^"?]+/change/)', listed)
            for link in sorted(set(links))[:3]:
                browser.get(link)
                browser.get(link.replace("/change/", "/history/"))

    def _commands(self) -> None:
        slug, prefix = self.account.slug, self.account.key[:18]
        self.manage("list_api_keys", slug, "--json")
        self.manage("list_providers", "--json")
        self.manage("verify_log", slug)
        self.manage("check_rollups", slug)
        self.manage("tick", "--json")
        self.manage("check", "--deploy")
        for traceback in ([], ["--traceback"]):
            self.manage("tick", *traceback, DATABASE_URL=self._wrong_database())
            self.manage("revoke_api_key", f"{prefix[:-1]}!", *traceback)
        self._token_settings_mixed_up()
        self._set_provider("http://127.0.0.1:1", self.credentials[0], "--test")
        self._set_provider("no url", self.credentials[0])
        self._set_provider("http://127.0.0.1:1", f"{self.credentials[0]} two words")

    def _token_settings_mixed_up(self) -> None:
        """Give the secret where public keys belong, and to an algorithm of such."""
        secret = self._installation.environment["LUCID_JWT_SECRET"]
        for setting, value in {
            "LUCID_JWT_SECRET": secret,
            "LUCID_JWT_KEYS": secret,
            "LUCID_JWT_JWKS_FILE": secret,
            "LUCID_JWT_JWKS_URL": f"https://{secret}@example.com/",
        }.items():
            mixed_up = {"LUCID_JWT_SECRET": "", setting: value}
            self.manage("check", "--traceback", LUCID_JWT_ALGORITHM="RS256", **mixed_up)

    def _wrong_database(self) -> str:
        url = self._installation.environment["DATABASE_URL"]
        if url.startswith("sqlite"):
            return "sqlite:////nonexistent/lucid.sqlite3"
        return re.sub(r":\d+/", ":1/", url)

    def _mistakes(self, server: Server) -> None:
        for bearer in (self.account.key, *self.tokens.values()):
            self._misplaced(server, bearer)
        for header in (f"Cookie : {self.session}", f"Cookie: {self.session}\1"):
            _garbage(server.port, f"GET / HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n")

    def _misplaced(self, server: Server, key: str) -> None:
        """Send a key or token in every place where it does not belong."""
        with server.client(self.account) as client, Client(server.port) as stranger:
            for path in (f"/v1/receipts?key={key}", f"/v1/receipts/{key}", f"/{key}"):
                client.get(path)
                stranger.get(path)
            stranger.get(f"/admin/login/?next=/{key}")
            for name in ("Authorization", "Cookie", "X-Tenant-ID", "Host", "Accept"):
                stranger.post("/v1/receipts", RUN, {name: f"Basic {key}"})
            client.post("/v1/receipts", {"api_key": key})
            client.post("/v1/receipts", RUN | {"tokens_in": key})
            for path, body in FORMS.values():
                client.post(path, body | {"model": [key]})
        with Client(server.port) as client:
            bearer = f"Bearer {self.account.key}"
            _raw(client, f'{{"api_key": "{key}", '.encode(), bearer)
        _garbage(server.port, f"GET /{key} HTTP/1.1 {key}\r\nHost: {key}\r\n\r\n")
        _garbage(server.port, f"{key} / HTTP/9\r\n\r\n")

    def _breakdowns(self, server: Server) -> None:
        """Lose one table after the other, and do everything that needs it."""
        for table in BROKEN:
            self._rename(table, f"{table}_lost")
            try:
                with server.client(self.account) as client:
                    statuses = {
                        client.post("/v1/receipts", RUN).status,
                        client.get(f"/v1/receipts?limit=1&run={table}").status,
                        client.post(*FORMS["chat"]).status,
                    }
                    for token in self.tokens.values():
                        client.get(f"/v1/receipts/{token}")
                for token in self.tokens.values():
                    with Client(server.port, token) as client:
                        statuses.add(client.post("/v1/receipts", RUN).status)
                self.browser.get("/admin/tenants/tenant/")
                statuses.add(self.browser.status)
                assert max(statuses) >= 500, (table, statuses)
                self.manage("tick")
            finally:
                self._rename(f"{table}_lost", table)

    def _rename(self, table: str, other: str) -> None:
        with closing(self._installation.connect()) as connection:
            connection.execute(f'ALTER TABLE "{table}" RENAME TO "{other}"')
            connection.commit()


def _raw(client: Client, body: bytes, authorization: str) -> None:
    told = {"Authorization": authorization, "Content-Type": "application/json"}
    client._connection.request("POST", "/v1/receipts", body, told)
    answer = client._connection.getresponse()
    assert answer.status == 400, json.loads(answer.read())


def _garbage(port: int, text: str) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(text.encode())
        connection.recv(1000)


def spellings(secret: bytes) -> list[bytes]:
    """Every way in which a secret may be written down."""
    texts = [
        secret.hex().encode(),
        base64.b64encode(secret).rstrip(b"="),
        base64.urlsafe_b64encode(secret).rstrip(b"="),
    ]
    return [secret, *texts, *(text.upper() for text in texts[:1])]
