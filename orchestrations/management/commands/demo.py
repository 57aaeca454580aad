import os
import socket
import time
from collections.abc import Iterator
from decimal import Decimal
from io import StringIO
from pathlib import Path

import httpcore2
from django.core.management import call_command
from django.core.management.base import CommandError

from lucid.api.errors import ApiError
from lucid.first_use import data_dir
from orchestrations.models import Budget, Price, Provider, ProviderCredential
from tenants.api_keys import create_key
from tenants.authentication import look_up
from tenants.events import command_line
from tenants.management.commands import quickstart
from tenants.management.commands.quickstart import Process
from tenants.models import Mode, Tenant

TENANT = quickstart.TENANT
KEY_FILE = "demo.key"
MODEL = "smollm2-135m"  # as examples/local_model.py serves it
MODEL_HOST = "127.0.0.1"
MODEL_SECONDS = 60  # to be loaded
PRICE = ["--input=0.1", "--output=0.4", "--cache-read=0.01"]
MONTH = Decimal(100)  # US cents

SNIPPETS = """\
Ask the model through Lucid, and get a receipt with the answer:

curl {url}/v1/orchestrations/llm-inference \\
  -H 'Authorization: Bearer {key}' \\
  -H 'Content-Type: application/json' \\
  -d '{{"model": "{model}", "agent_id": "maip-agent:me",
       "prompt": "In one sentence: what does a notary do?",
       "parameters": {{"max_tokens": 48, "temperature": 0}}}}'

Or with OpenAI's client (make .venv/installed-connectors) in .venv/bin/python:

from openai import OpenAI
client = OpenAI(base_url="{url}/v1", api_key="{key}")
print(client.chat.completions.create(model="{model}", max_tokens=48, \
messages=[{{"role": "user", "content": "What does a notary do?"}}])\
.choices[0].message.content)

Agents are at work with it now, as at every start of the demo:
"""


class Command(quickstart.Command):
    help = (
        "Start Lucid as quickstart does, with a real model on this machine behind its"
        " gateway and agents that work with it, until interrupted."
    )
    target = "demo"

    def first_use(self) -> dict[str, str]:
        made = super().first_use()
        tenant, _ = Tenant.objects.get_or_create(slug=TENANT, defaults={"name": "Demo"})
        self.key = _kept_key() or made.get("key") or _new_key(tenant)
        _keep_key(self.key)
        self.model_port = _free_port()
        _set_provider(tenant, self.model_url)
        _set_terms(tenant)
        return made

    @property
    def model_url(self) -> str:
        return f"http://{MODEL_HOST}:{self.model_port}"

    def parts(self) -> Iterator[Process]:
        yield from super().parts()
        with _model_log().open("wb") as log:
            self.model = self.start(
                ["examples/local_model.py", str(self.model_port)],
                dict(os.environ),
                log,
            )
        yield self.model

    def wait_until_served(self, server: Process) -> None:
        super().wait_until_served(server)
        deadline = time.monotonic() + MODEL_SECONDS
        while time.monotonic() < deadline and self.model.poll() is None:
            try:
                if httpcore2.request("GET", f"{self.model_url}/health").status == 200:
                    return
            except httpcore2.NetworkError:
                pass  # not listening yet
            time.sleep(0.1)
        raise CommandError(f"The model did not start; {_model_log()} says why.")

    def wait_for_end(self, children: list[Process]) -> None:
        agents = self.start(
            ["examples/demo_agents.py"],
            os.environ
            | {
                "LUCID_URL": self.url,
                "LUCID_API_KEY": self.key,
                "MODEL_URL": self.model_url,
            },
        )
        try:
            super().wait_for_end(children)
        finally:
            self.stop([agents])  # first, as they would complain about the others

    def banner(self, first_use: dict[str, str]) -> str:
        login = f"{quickstart.LOGIN}  {first_use.get('password', '')}".rstrip()
        lines = [
            f"Lucid is at {self.url}  (Ctrl-C stops it and the model)",
            "",
            f"API key     {self.key}",
            f"            Of the tenant {TENANT}, for test data. {_key_file()} keeps it"
            " for the next start.",
            f"Login       {self.url}/login  {login}",
            f"            The same for operators, at {self.url}/admin/",
            f"            {_about_password(first_use)}",
            f"Model       {MODEL}, at {self.model_url}/v1 as provider `custom`",
            "",
            SNIPPETS.format(url=self.url, key=self.key, model=MODEL),
        ]
        return "\n".join(lines)


def _about_password(first_use: dict[str, str]) -> str:
    if first_use:
        return "The password is shown this one time."
    return (
        "The password was shown on the first start. For another:"
        f" .venv/bin/python manage.py changepassword {quickstart.LOGIN}"
    )


def _key_file() -> Path:
    return data_dir() / KEY_FILE


def _model_log() -> Path:
    return data_dir() / "model.log"


def _kept_key() -> str | None:
    """Return the key of an earlier start, if this database still takes it."""
    try:
        key = _key_file().read_text().strip()
        principal = look_up(key)
    except (FileNotFoundError, ApiError):
        return None
    return key if principal.tenant_slug == TENANT else None


def _new_key(tenant: Tenant) -> str:
    return create_key(command_line(), tenant, "demo", ["*"], Mode.TEST)[1]


def _keep_key(key: str) -> None:
    file = _key_file()
    file.touch(mode=0o600)
    file.write_text(f"{key}\n")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((MODEL_HOST, 0))
        return int(probe.getsockname()[1])


def _set_provider(tenant: Tenant, model_url: str) -> None:
    """Let the provider `custom` be our model, which has another port each time."""
    row = ProviderCredential.objects.filter(
        tenant=tenant, provider=Provider.CUSTOM
    ).first()
    if row and not row.url.startswith(f"http://{MODEL_HOST}:"):
        raise CommandError(
            f"The tenant {TENANT} has a provider `custom` of its own, {row.url}. Remove"
            f" it (manage.py remove_provider {TENANT} custom), or start the demo with"
            " LUCID_DATA_DIR set to a folder of its own."
        )
    call_command(
        "set_provider",
        *(TENANT, Provider.CUSTOM.value, "--no-credential"),
        f"--base-url={model_url}/v1",
        f"--allow-host={MODEL_HOST}",
        f"--model={MODEL}*",
        stdout=StringIO(),
    )


def _set_terms(tenant: Tenant) -> None:
    """Set a price of the model and a month's budget, unless there are others."""
    if not Price.objects.filter(tenant=tenant, provider=Provider.CUSTOM).exists():
        call_command("set_price", TENANT, "custom", MODEL, *PRICE, stdout=StringIO())
    Budget.objects.get_or_create(
        tenant=tenant, mode=Mode.TEST, defaults={"limit": MONTH}
    )
