"""What the published connectors may say of what agents did (WIRE section 5)."""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated, Any, get_args

import msgspec
from msgspec import Meta

from lucid.api.errors import ApiError, invalid
from lucid.api.parsing import FromJSON, check
from lucid.api.strict_json import Literal, without_literals
from orchestrations.claims import ID_PREFIX, NewInference, ProviderName
from orchestrations.money import MAX_CENTS, Cents, InvalidAmount
from receipts import canonical
from receipts.claims import Count, Hash, OptionalText, Text

LLM_CALL = "llm_call_receipt"

# Bytes of canonical JSON. Beside it all that can be said is short: no entry of an
# agent's receipt is too large for the log.
MAX_METADATA = 32 << 10

PROVIDERS: dict[str, ProviderName] = {name: name for name in get_args(ProviderName)}

MAX_DOLLARS = MAX_CENTS / 100
PLACES = Decimal("1E-11")  # of a dollar: a nanocent

AnyHash = Annotated[str, Meta(pattern=r"\A([0-9A-Fa-f]{64})?\Z")] | None


class Dollars(Decimal, FromJSON):
    """An amount in a request, a JSON number of US dollars read from its own digits.

    The connectors write floats: 0.00001 comes as 1e-05.
    """

    JSON_SCHEMA = {"type": "number", "minimum": 0, "maximum": 10**4}

    @classmethod
    def from_json(cls, value: Any) -> "Dollars":
        match value:
            case bool():
                pass
            case int():
                return cls(_dollars(str(value)))
            case Literal():
                return cls(_dollars(value.text))
        raise InvalidAmount("Expected a number.")

    def in_cents(self) -> Cents:
        return Cents(self.scaleb(2))


def _dollars(literal: str) -> Decimal:
    """Return what a JSON number says, to the nanocent."""
    try:
        dollars = Decimal(literal)
    except ArithmeticError:
        raise InvalidAmount("Expected fewer digits in the exponent.") from None
    if not 0 <= dollars <= MAX_DOLLARS:
        raise InvalidAmount(f"Expected 0 to {MAX_DOLLARS:f} dollars.")
    return dollars.quantize(PLACES, ROUND_HALF_EVEN)


class LlmCall(msgspec.Struct, frozen=True):
    """What is read of the metadata of an LLM call. Null, "" and absent are the same."""

    model: Text
    provider: OptionalText = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    latency_ms: Count | None = None
    estimated_cost_usd: Dollars | None = None
    prompt_hash: AnyHash = None
    completion_hash: AnyHash = None

    @property
    def cost_cents(self) -> Cents | None:
        """Return the cost claimed: 0 is said of models that the client cannot price."""
        return self.estimated_cost_usd.in_cents() if self.estimated_cost_usd else None


class NewAgentReceipt(msgspec.Struct, frozen=True):
    """The body of POST /v1/agent-receipts. An LLM call says more in its metadata."""

    agent_id: Text
    receipt_type: Text
    action: Text
    purpose: OptionalText = None
    metadata: dict[str, Any] | None = None
    inputs_hash: Hash | None = None
    outputs_hash: Hash | None = None
    orchestration_id: OptionalText = None

    def check(self) -> None:
        """Raise the 400 for what a type cannot say."""
        size = len(canonical.dumps(self._metadata()))
        if size > MAX_METADATA:
            raise invalid(
                {
                    "metadata": [
                        f"{size} bytes as canonical JSON; at most {MAX_METADATA}"
                    ]
                }
            )

    @property
    def is_llm_call(self) -> bool:
        inner = (self.metadata or {}).get("receipt_type")
        return LLM_CALL in {self.action, self.receipt_type} or inner == LLM_CALL

    def orchestration(self) -> str:
        """Return the orchestration that it names, "" for none; 400 if it names two.

        Connectors can be told an agent_id alone, so that may be the orchestration's.
        """
        inner = (self.metadata or {}).get("orchestration_id")
        if inner is not None and not isinstance(inner, str):
            raise invalid({"metadata.orchestration_id": ["Expected `str`"]})
        by_agent = self.agent_id if self.is_by_orchestration else ""
        named = {self.orchestration_id, inner, by_agent} - {None, ""}
        if len(named) > 1:
            raise invalid({"orchestration_id": ["Two orchestrations are named."]})
        return str(named.pop()) if named else ""

    @property
    def is_by_orchestration(self) -> bool:
        return self.agent_id.startswith(ID_PREFIX)

    def members(self) -> dict[str, Any]:
        """Return the members of the receipt's body that say what was reported.

        The agent is not among them where an orchestration's id stands for it.
        """
        given = {
            "agent_id": None if self.is_by_orchestration else self.agent_id,
            "reported_agent_id": self.agent_id if self.is_by_orchestration else None,
            "agent_receipt_type": self.receipt_type,
            "action": self.action,
            "purpose": self.purpose,
            "metadata": self._metadata(),
            "inputs_hash": self.inputs_hash and self.inputs_hash.lower(),
            "outputs_hash": self.outputs_hash and self.outputs_hash.lower(),
        }
        return {name: value for name, value in given.items() if value}

    def inference(self) -> NewInference:
        """Return the LLM call; 400 names what of its metadata is wrong."""
        try:
            call = check(self.metadata or {}, LlmCall)
        except ApiError as error:
            wrong = error.details or {}
            named = {f"metadata.{name}": told for name, told in wrong.items()}
            raise invalid(named) from None
        return NewInference(
            model=call.model,
            provider=PROVIDERS.get(call.provider or "", "custom"),
            prompt_tokens=call.input_tokens,
            completion_tokens=call.output_tokens,
            latency_ms=call.latency_ms,
            cost_cents=call.cost_cents,
            input_hash=self.inputs_hash or call.prompt_hash or None,
            output_hash=self.outputs_hash or call.completion_hash or None,
            agent_id=None if self.is_by_orchestration else self.agent_id,
        )

    def _metadata(self) -> dict[str, Any]:
        members: dict[str, Any] = without_literals(self.metadata or {})
        return members
