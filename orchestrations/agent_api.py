"""Receipts of what agents did, as the published connectors ask for them.

WIRE section 5. Whatever names its agent is one of these receipts, calls and ends of
orchestrations too; those that the connectors send have a metadata object besides.
"""

import uuid
from typing import Any
from uuid import UUID

import msgspec
from rest_framework.request import Request

from lucid.api.errors import ApiError, Code, not_found
from lucid.api.openapi import describe
from lucid.api.pagination import (
    Page,
    cut,
    decode_cursor,
    encode_cursor,
)
from lucid.api.parsing import check, check_query
from lucid.api.rendering import Answer, encode
from lucid.api.views import ApiView
from orchestrations import agent_examples
from orchestrations.action_books import Act, ActionBooks
from orchestrations.agent_claims import NewAgentReceipt
from orchestrations.claims import ID_PREFIX
from orchestrations.recording import Facts, call_of, iso
from orchestrations.views import RECORD_ERRORS, OrchestrationsView
from orchestrations.work import Record, Scope, Work
from receipts import canonical, merkle
from receipts.entry import Entry, make_entry
from receipts.keyring import Keyring
from receipts.ledger import Conflict, Logged, Submission
from receipts.models import Receipt, ReceiptQuerySet
from receipts.reading import note_verification
from receipts.verdicts import Checked, check_receipt
from receipts.verifier import Verdict
from tenants.authentication import Principal

ALGORITHM = "Ed25519"
# A list tells how many receipts there are, up to here: 3 to 7 ms on PostgreSQL, which
# reads the index alone.
MAX_TOTAL = 10_000

REASONS = {
    Verdict.VALID: "Hash, signature and place in the log are as they were made.",
    Verdict.INVALID: "The stored receipt is not what was signed.",
    Verdict.UNSIGNED: "The stored receipt carries no signature.",
    Verdict.UNKNOWN_KEY: "The key that it names is none of this log's.",
    Verdict.KEY_REVOKED: "Its key counts only for earlier places in the log.",
    Verdict.NOT_IN_LOG: "The log's newest tree does not include it.",
}


class AgentReceiptList(OrchestrationsView):
    scopes = {"POST": "receipts:write"}

    @describe(
        "Report what an agent did and get a receipt; an LLM call is an inference",
        body=NewAgentReceipt,
        answer=agent_examples.ONE_AGENT_RECEIPT,
        errors=RECORD_ERRORS,
        idempotent=True,
        status=201,
    )
    def post(self, request: Request) -> Answer:
        claims = check(self.json(request, literal=True), NewAgentReceipt)
        claims.check()
        name = claims.orchestration()
        facts = self.facts(request, name) if name else None
        take = self._record if claims.is_llm_call else self._log
        answer = take(request, claims, facts)
        if facts and answer.status_code == 409:
            self.run(request, facts.id)  # settles it, if its time is over
        return answer

    def _record(
        self, request: Request, claims: NewAgentReceipt, facts: Facts | None
    ) -> Answer:
        """Record an LLM call, so that it counts wherever inferences do."""
        inference = claims.inference()
        extra = claims.members()

        def compose(scope: Scope, keyring: Keyring, principal: Principal) -> Work:
            call = call_of(inference, facts, keyring, principal.api_key_id, extra)
            return Record(scope, facts.id if facts else "", [call])

        return self.work(request, compose, self._rendered)

    def _log(
        self, request: Request, claims: NewAgentReceipt, facts: Facts | None
    ) -> Answer:
        members = claims.members()
        if facts:
            members |= {"orchestration_id": facts.id}
            members.setdefault("agent_id", facts.agent_id)
        run_id = f"act_{uuid.uuid4().hex}"

        def entry(keyring: Keyring) -> Entry:
            return make_entry(keyring, "action", run_id, None, members)

        def act(keyring: Keyring, principal: Principal) -> Submission:
            assert facts  # noqa: S101  else it is appended without books
            scope = Scope(principal.tenant_id, principal.mode)
            work = Act(scope, facts.id, entry(keyring))
            return Submission(keyring, [work.entry], books=ActionBooks, work=work)

        def encoded(results: list[Any]) -> tuple[int, bytes]:
            status, body = self._rendered(results)
            return status, encode(body)

        if facts:
            return self.submit(request, act, encoded)
        return self.append(request, lambda keyring: [entry(keyring)], encoded)

    def _rendered(self, results: list[Any]) -> tuple[int, Any]:
        result: Logged | Conflict | ApiError = results[0]
        if isinstance(result, ApiError):
            return self.rendered_error(result)
        # The run_id is ours and new: there is nothing that it could conflict with.
        assert isinstance(result, Logged)  # noqa: S101
        leaf_hash = merkle.leaf_hash(canonical.dumps(result.members))
        receipt = agent_receipt_json(
            result.members, result.receipt_id, result.leaf_index, leaf_hash
        )
        return 201, {"success": True, **receipt}


class AgentReceiptDetail(ApiView):
    scopes = {"GET": "receipts:read"}

    @describe(
        "One receipt of an agent, by receipt_id",
        answer=agent_examples.ONE_AGENT_RECEIPT,
        errors=[Code.NOT_FOUND],
    )
    def get(self, request: Request, name: str) -> Answer:
        return Answer({"success": True, **_shown(_receipt(request, name))})


class AgentReceiptVerification(ApiView):
    scopes = {"GET": "receipts:read"}

    @describe(
        "Check a receipt of an agent from its stored bytes up",
        answer=agent_examples.AGENT_VERIFICATION,
        errors=[Code.NOT_FOUND],
    )
    def get(self, request: Request, name: str) -> Answer:
        receipt = _receipt(request, name)
        checked = check_receipt(receipt, receipt.log)
        note_verification(request, receipt, checked)
        return Answer(
            {
                "success": True,
                "valid": checked.verdict == Verdict.VALID,
                "verdict": checked.verdict,
                "reason": REASONS.get(checked.verdict, ""),
                "receipt_id": str(receipt.pk),
                "signature_verified": checked.signature_valid,
                "transparency_verified": checked.inclusion_valid,
                "chain_verified": _is_chained(receipt, checked),
                # What nobody signed is not shown as a receipt.
                "receipt": _shown(receipt) if checked.signature_valid else None,
            }
        )


def _is_chained(receipt: Receipt, checked: Checked) -> bool:
    leaf_hash = merkle.leaf_hash(bytes(receipt.entry))
    return checked.hash_valid and leaf_hash == bytes(receipt.leaf_hash)


class AgentReceipts(ApiView):
    """Of an agent, or of an orchestration where that is what the id names.

    `total` counts up to 10,000: 10,000 says that there may be more.
    """

    scopes = {"GET": "receipts:read"}

    @describe(
        "List the receipts of an agent or an orchestration, newest first",
        query=Page,
        answer=agent_examples.AGENT_RECEIPTS,
        errors=[Code.INVALID_REQUEST],
    )
    def get(self, request: Request, agent_id: str) -> Answer:
        query = check_query(request.query_params, Page)
        is_run = agent_id.startswith(ID_PREFIX)
        named = {"orchestration_id" if is_run else "agent_id": agent_id}
        receipts = _receipts(request).filter(**named)
        # The columns of the index and no others, so that no row is read.
        total = receipts.values("leaf_index")[:MAX_TOTAL].count()
        if query.cursor is not None:
            receipts = receipts.filter(leaf_index__lt=decode_cursor(query.cursor))
        newest = receipts.order_by("-leaf_index")
        shown = newest.only("entry", "leaf_index", "leaf_hash")
        page, more = cut(shown, query.limit)
        return Answer(
            {
                "success": True,
                "receipts": [_shown(receipt) for receipt in page],
                "total": total,
                "next_cursor": encode_cursor(page[-1].leaf_index) if more else None,
            }
        )


def _receipts(request: Request) -> ReceiptQuerySet:
    principal: Principal = request.auth  # type: ignore[assignment]
    return Receipt.objects.of_log(principal.tenant_id, principal.mode)


def _receipt(request: Request, name: str) -> Receipt:
    of_agents = _receipts(request).exclude(agent_id="").select_related("log")
    receipt = of_agents.named(name)
    if receipt is None:
        raise not_found("receipt")
    return receipt


def _shown(receipt: Receipt) -> dict[str, Any]:
    members = msgspec.json.decode(bytes(receipt.entry))
    leaf_hash = bytes(receipt.leaf_hash)
    return agent_receipt_json(members, receipt.pk, receipt.leaf_index, leaf_hash)


def agent_receipt_json(
    members: dict[str, Any], receipt_id: UUID, leaf_index: int, leaf_hash: bytes
) -> dict[str, Any]:
    """Return a receipt as the connectors know it, from the members of its entry."""
    receipt_type = members["receipt_type"]
    return {
        "id": str(receipt_id),
        "receipt_id": str(receipt_id),
        "run_id": members["run_id"],
        "status": "valid",
        "created_at": iso(members["issued_at"]),
        "agent_id": members.get("reported_agent_id", members["agent_id"]),
        "receipt_type": members.get("agent_receipt_type", receipt_type),
        "action": members.get("action", receipt_type),
        "purpose": members.get("purpose"),
        "metadata": members.get("metadata", {}),
        "inputs_hash": members.get("inputs_hash", members.get("input_hash")),
        "outputs_hash": members.get("outputs_hash", members.get("output_hash")),
        "orchestration_id": members.get("orchestration_id"),
        "receipt_hash": members["receipt_hash"],
        "signature": members["receipt_signature"],
        "signing_envelope": {"alg": ALGORITHM, "kid": members["signer_kid"]},
        "chain_hash": leaf_hash.hex(),
        "log_index": leaf_index,
    }
