"""How the gateway reaches providers, and the calls that it has under way."""

from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from lucid.owned import TenantOwned
from orchestrations.gateway.destinations import BadBaseURL, check_base_url
from orchestrations.models.remembered import Remembered
from orchestrations.models.runs import NOBODY, Provider, tenant_of_row
from orchestrations.money import CentsField
from receipts.sealing import holds_sealed, seal, unseal
from tenants.models import Mode

MAX_PATTERNS = 100
MAX_HOSTS = 20

DEFAULT_BASE_URLS: dict[str, str] = {
    Provider.OPENAI: "https://api.openai.com/v1",
    Provider.ANTHROPIC: "https://api.anthropic.com",
}


def _seconds(default: int, most: int) -> Any:
    return models.PositiveIntegerField(
        default=default, validators=[MinValueValidator(1), MaxValueValidator(most)]
    )


@holds_sealed("sealed")
class ProviderCredential(Remembered):
    """How a tenant's calls reach a provider: where, with whose key, which models.

    `model_patterns` are names, or beginnings of names with a `*`; none means that
    any model goes. Of several providers that take a model, an exact name goes before
    a pattern, and the longer pattern before the shorter.
    """

    provider = models.CharField(max_length=20, choices=Provider.choices)
    base_url = models.CharField(
        "base URL",
        max_length=500,
        blank=True,
        help_text="As the provider's own clients take it; empty for openai and"
        " anthropic: their own.",
    )
    model_patterns = models.JSONField(
        "models",
        default=list,
        blank=True,
        help_text="As gpt-5, or gpt-5* for all that begin so. None: any model.",
    )
    allowed_hosts = models.JSONField(
        default=list,
        blank=True,
        help_text="Hosts that may be reached by http, or on a private address.",
    )
    # Of bedrock: a Bedrock API key, or `ACCESS_KEY_ID:SECRET[:SESSION_TOKEN]`.
    sealed = models.BinaryField(editable=False)
    master_key_id = models.CharField(max_length=40, editable=False)
    connect_seconds = _seconds(default=10, most=60)
    silence_seconds = _seconds(default=300, most=1800)  # to the next byte
    total_seconds = _seconds(default=900, most=3600)
    retries = models.PositiveSmallIntegerField(
        default=2, validators=[MaxValueValidator(5)]
    )
    concurrency = models.PositiveIntegerField(
        "calls at a time",
        default=100,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "provider"], name="orchestrations_provider_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.provider} of {self.tenant}"

    @property
    def url(self) -> str:
        """The base URL without a slash at its end."""
        default = DEFAULT_BASE_URLS.get(self.provider, "")
        return (self.base_url or default).rstrip("/")

    @property
    def credential(self) -> str:
        """The secret itself; "" where the provider asks for none."""
        return unseal(self.master_key_id, bytes(self.sealed)).decode()

    @credential.setter
    def credential(self, text: str) -> None:
        self.master_key_id, self.sealed = seal(text.encode())

    def clean(self) -> None:
        errors = {}
        if complaint := _complaint_about(self.model_patterns, MAX_PATTERNS):
            errors["model_patterns"] = complaint
        elif any("*" in pattern[:-1] for pattern in self.model_patterns):
            errors["model_patterns"] = "A * may stand at the end, and only there."
        if complaint := _complaint_about(self.allowed_hosts, MAX_HOSTS):
            errors["allowed_hosts"] = complaint
        elif complaint := self._complaint_about_url():
            errors["base_url"] = complaint
        if errors:
            raise ValidationError(errors)

    def _complaint_about_url(self) -> str | None:
        if not self.url:
            return f"{self.provider} has no base URL of its own: give one."
        if not self.url.isascii():
            return "Expected ASCII: a host in punycode, a path percent-encoded."
        try:
            check_base_url(self.url, self.allowed_hosts)
        except BadBaseURL as error:
            return str(error)
        return None


def _complaint_about(names: Any, limit: int) -> str | None:
    if not isinstance(names, list) or not all(_is_name(name) for name in names):
        return "Expected a list of names of 1 to 200 characters."
    return f"There are at most {limit}." if len(names) > limit else None


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= 200 and value.isprintable()


class Attempt(TenantOwned):
    """A call to a provider that is under way: durable before the provider is called.

    Deleted with the receipt of what became of it, in one transaction; the receipt
    has the same id. Until then it holds back from budgets what the call may cost.
    An attempt whose worker has died is closed with a receipt that says `unknown`.
    """

    receipt_id = models.UUIDField(primary_key=True)
    tenant = tenant_of_row()
    mode = models.CharField(max_length=4, choices=Mode.choices)
    orchestration_id = models.CharField(max_length=36, default="")
    provider = models.CharField(max_length=20, choices=Provider.choices)
    model = models.CharField(max_length=200)
    agent_id = models.CharField(max_length=200, default="")
    api_key_id = models.UUIDField(default=NOBODY)
    number = models.SmallIntegerField(default=1)  # the first try, the second, …
    started_at = models.DateTimeField()
    input_hash = models.CharField(max_length=64)  # salted
    ends_run = models.BooleanField(default=False)  # which was begun for it alone
    reserved = CentsField(default=Decimal(0))
    worker_id = models.UUIDField()
    deadline = models.DateTimeField()  # nobody can be at work on it after this

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "mode"], name="attempts_by_tenant"),
            models.Index(fields=["worker_id"], name="attempts_by_worker"),
            models.Index(fields=["deadline"], name="attempts_by_deadline"),
        ]

    def __str__(self) -> str:
        return str(self.receipt_id)


@holds_sealed("sealed")
class ContentSalts(TenantOwned):
    """The salts of an inference's input and output hashes, sealed.

    Apart from the receipt, which stays when they are erased: then nobody can try
    out any more what its hashes may be of.
    """

    receipt_id = models.UUIDField(primary_key=True)
    tenant = tenant_of_row()
    sealed = models.BinaryField()  # input salt || output salt, 16 bytes each
    master_key_id = models.CharField(max_length=40)

    class Meta:
        verbose_name_plural = "content salts"

    def __str__(self) -> str:
        return str(self.receipt_id)
