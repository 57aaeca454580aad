import base64
import hmac
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import IO, Any

import environ  # type: ignore[import-untyped]
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, connections, transaction

from lucid.first_use import BASE_DIR
from lucid.isolation import across_tenants
from tenants import database_role, members
from tenants.api_keys import create_key
from tenants.database_role import complaint_about
from tenants.events import command_line
from tenants.models import Mode, Tenant, User
from tenants.roles import Role

TENANT = "demo"
LOGIN = "operator@localhost"
START_SECONDS = 20
TICK_SECONDS = 10
INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Process = subprocess.Popen[bytes]

CURL = """\
curl {url}/v1/receipts \\
  -H 'Authorization: Bearer {key}' \\
  -H 'Content-Type: application/json' \\
  -d '{{"model_passport_id": "my-model", "compute_passport_id": "my-laptop",
       "policy_hash": "{digest}",
       "runtime": "llama.cpp", "tokens_in": 42, "tokens_out": 128, "ttft_ms": 85}}'
"""
DIGEST = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class Command(BaseCommand):
    help = (
        "Start Lucid on this machine: migrate, make a demo tenant on first use,"
        " serve on HOST:PORT (127.0.0.1:8000) and tick until interrupted."
    )
    target = "run"  # of the Makefile
    is_interrupted = False

    def handle(self, *args: Any, **options: Any) -> None:
        self.host = os.environ.get("HOST") or "127.0.0.1"
        self.port = int(os.environ.get("PORT") or 8000)
        for name in INTERRUPTIONS:
            signal.signal(name, self.interrupt)
        self.refuse_taken_port()
        call_command("migrate", verbosity=0)
        self.environment = dict(os.environ) | self.under_role()
        with across_tenants():
            first_use = self.first_use()
        connections.close_all()
        self.end_if_interrupted()
        children: list[Process] = []
        try:
            for part in self.parts():
                children.append(part)  # at once: the next may fail
            self.wait_until_served(children[0])
            self.stdout.write(self.banner(first_use))
            self.stdout.flush()
            self.wait_for_end(children)
        except KeyboardInterrupt:
            self.stdout.write("\nStopping.")
        finally:
            self.stop(children)

    def interrupt(self, number: int, frame: Any) -> None:
        self.is_interrupted = True
        raise KeyboardInterrupt

    def end_if_interrupted(self) -> None:
        """Raise again what Python drops where it is raised in a callback or a `del`."""
        if self.is_interrupted:
            raise KeyboardInterrupt

    @property
    def url(self) -> str:
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104
        return f"http://{host}:{self.port}"

    def refuse_taken_port(self) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
            except OSError as error:
                raise CommandError(
                    f"{self.host}:{self.port}: {error.strerror}. Choose another port"
                    f" with PORT=8001 make {self.target}."
                ) from None

    @staticmethod
    def under_role() -> dict[str, str]:
        """Return what has the server run under a role that owns nothing.

        DATABASE_URL is the owner's here, who may migrate. The role is made by the way,
        with a password that is this installation's own and is written nowhere.
        """
        if connection.vendor != "postgresql" or not complaint_about(connection):
            return {}
        role = f"{connection.settings_dict['NAME']}_app"[:63]
        digest = hmac.digest(settings.SECRET_KEY.encode(), role.encode(), "sha256")
        password = base64.urlsafe_b64encode(digest).decode()
        with transaction.atomic():
            database_role.create_or_change(role, password)
            database_role.grant(role)
        url = environ.FileAwareEnv().str("DATABASE_URL")
        return {"DATABASE_URL": database_role.url_as(url, role, password)}

    @transaction.atomic
    def first_use(self) -> dict[str, str]:
        """Make tenant, key and login if there is no tenant yet; return the secrets."""
        if Tenant.objects.exists():
            return {}
        tenant = Tenant.objects.create(slug=TENANT, name="Demo")
        actor = command_line()
        _, key = create_key(actor, tenant, "quickstart", ["*"], Mode.TEST)
        password = secrets.token_urlsafe(12)
        user = User.objects.create_superuser(LOGIN, password)
        members.add(actor, tenant, user, Role.ADMIN)
        return {"key": key, "password": password}

    def parts(self) -> Iterator[Process]:
        """Start what this consists of; the server comes first."""
        yield self.serve()
        yield self.tick()

    def serve(self) -> Process:
        hosts = [*settings.ALLOWED_HOSTS, self.host]
        if not settings.DEBUG:  # which is for this machine alone
            hosts.append(socket.gethostname())
        # Plain http, unless told otherwise: browsers would send no secure cookie.
        environment = (
            {"LUCID_TLS": "false"}
            | self.environment
            | {
                "HOST": self.host,
                "PORT": str(self.port),
                "LUCID_ALLOWED_HOSTS": ",".join(dict.fromkeys(hosts)),
            }
        )
        command = ["-m", "gunicorn", "-c", "python:lucid.gunicorn", "lucid.wsgi"]
        return self.start([*command, "--log-level", "warning"], environment)

    def tick(self) -> Process:
        command = ["manage.py", "tick", "--every", str(TICK_SECONDS)]
        return self.start(command, self.environment)

    @staticmethod
    def start(
        command: list[str],
        environment: dict[str, str],
        output: IO[bytes] | None = None,
    ) -> Process:
        # A session of its own: Ctrl-C reaches this process alone, which then stops
        # the others in order.
        return subprocess.Popen(  # noqa: S603  our own programs
            [sys.executable, *command],
            cwd=BASE_DIR,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    def wait_until_served(self, server: Process) -> None:
        deadline = time.monotonic() + START_SECONDS
        host = self.url.removeprefix("http://").rpartition(":")[0].strip("[]")
        while time.monotonic() < deadline and server.poll() is None:
            self.end_if_interrupted()
            try:
                socket.create_connection((host, self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise CommandError("The server did not start; its messages are above.")

    def wait_for_end(self, children: list[Process]) -> None:
        while all(child.poll() is None for child in children):
            self.end_if_interrupted()
            time.sleep(0.5)
        raise CommandError("A part of Lucid has ended; its messages are above.")

    @staticmethod
    def stop(children: list[Process]) -> None:
        for name in INTERRUPTIONS:  # stopping is under way, and orderly
            signal.signal(name, signal.SIG_IGN)
        for child in children:
            child.terminate()
        for child in children:
            try:
                child.wait(timeout=30)
            except subprocess.TimeoutExpired:
                child.kill()

    def banner(self, first_use: dict[str, str]) -> str:
        lines = [f"Lucid is at {self.url}  (Ctrl-C stops it)", ""]
        if not first_use:
            lines += [
                f"Log in at {self.url}/login",
                "The API key and password were shown on the first start. For others:",
                f"  .venv/bin/python manage.py create_api_key {TENANT} --test"
                " --name mine --scope '*'",
                f"  .venv/bin/python manage.py changepassword {LOGIN}",
            ]
            return "\n".join(lines)
        lines += [
            f"API key     {first_use['key']}",
            f"Login       {self.url}/login  {LOGIN}  {first_use['password']}",
            f"            The same for operators, at {self.url}/admin/",
            "            Both are shown this one time.",
            "",
            "A first receipt:",
            "",
            CURL.format(url=self.url, key=first_use["key"], digest=DIGEST),
        ]
        return "\n".join(lines)
