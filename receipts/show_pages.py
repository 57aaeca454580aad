"""One receipt as a page, and the files of it that verify offline."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from receipts import merkle_path
from receipts.adjustments import adjustments_of
from receipts.key_publication import key_set_of
from receipts.key_set import ReceiptKey
from receipts.merkle import ProofError
from receipts.merkle_path import MerklePath
from receipts.models import Log, Receipt, SigningKey, with_extras
from receipts.note import VerifierKey
from receipts.plain_words import PlainWords, covered_calls, in_plain_words
from receipts.reader import LogReader, read_with_keyring
from receipts.reading import note_check, note_download, note_reading
from receipts.receipt_files import File, proof_file, receipt_file, tlog_proof_file
from receipts.verdict_words import NOT_CHECKED, key_words, verdict_words
from receipts.verdicts import Checked, check_receipt, members_of
from tenants.page_access import PageRequest, in_other_mode, member
from tenants.roles import Right


@member(can=Right.READ_RECEIPTS)
def receipt(request: PageRequest, receipt_id: UUID) -> HttpResponse:
    found = _find(request, receipt_id)
    if found is None:
        return _in_other_mode(request, receipt_id)
    note_reading(request, found)
    checked = _checked(request, found)
    entry = bytes(found.entry)
    members = members_of(entry)
    words = in_plain_words(members)
    key = key_set_of(found.log).find(found.signer_kid)
    context = {
        "receipt": found,
        "members": members,
        "words": words,
        "covered_calls": covered_calls(members),
        "key_words": key_words(key, found.leaf_index),
        "key": key,
        **_verdict(checked, key, words),
        "path": _path(found, checked),
        "hash": bytes(found.receipt_hash).hex(),
        "entry": entry.decode(errors="replace"),
        "entry_size": len(entry),
        "raw": _raw(found, members),
        "adjustments": adjustments_of(found),
        "adjusted": _adjusted(members),
        "run_url": _address(request, "orchestration", found.orchestration_id),
        "evidence_url": _address(request, "receipt-evidence", found.pk),
        "page_url": _absolute(request, found),
        "vkey": _vkey(found.log),
        "may_check": request.member.may(Right.VERIFY_RECEIPTS),
    }
    return render(request, "receipts/receipt.html", context)


@member(can=Right.READ_RECEIPTS)
def receipt_json(request: PageRequest, receipt_id: UUID) -> HttpResponse:
    found = _receipt(request, receipt_id)
    return _download(request, found, receipt_file(found))


@member(can=Right.READ_RECEIPTS)
def proof_json(request: PageRequest, receipt_id: UUID) -> HttpResponse:
    found, keyring = read_with_keyring(
        request.member.tenant.pk,
        request.member.mode,
        lambda: _receipt(request, receipt_id),
    )
    return _download(request, found, proof_file(found, keyring))


@member(can=Right.READ_RECEIPTS)
def tlog_proof(request: PageRequest, receipt_id: UUID) -> HttpResponse:
    found = _receipt(request, receipt_id)
    return _download(request, found, tlog_proof_file(found))


def _find(request: PageRequest, receipt_id: UUID) -> Receipt | None:
    rows = Receipt.objects.of_log(request.member.tenant.pk, request.member.mode)
    return rows.select_related("log__tenant").filter(pk=receipt_id).first()


def _receipt(request: PageRequest, receipt_id: UUID) -> Receipt:
    found = _find(request, receipt_id)
    if found is None:
        raise Http404
    return found


def _in_other_mode(request: PageRequest, receipt_id: UUID) -> HttpResponse:
    rows = Receipt.objects.filter(tenant=request.member.tenant, pk=receipt_id)
    if not rows.exists():
        raise Http404
    return in_other_mode(request)


def _download(request: PageRequest, receipt: Receipt, file: File) -> HttpResponse:
    note_download(request, receipt, file.name)
    answer = HttpResponse(file.text, content_type=file.content_type)
    answer["Content-Disposition"] = f'attachment; filename="{file.name}"'
    return answer


def _checked(request: PageRequest, receipt: Receipt) -> Checked | None:
    """Have the server check the receipt, if that is asked for: an event of its own."""
    may_check = request.member.may(Right.VERIFY_RECEIPTS)
    if request.GET.get("check") != "server" or not may_check:
        return None
    checked = check_receipt(receipt, receipt.log)
    note_check(request, receipt, checked)
    return checked


def _verdict(
    checked: Checked | None, key: ReceiptKey | None, words: PlainWords
) -> dict[str, Any]:
    if checked is None:
        return {"verdict": NOT_CHECKED}
    at: datetime = timezone.now()
    verdict = verdict_words(checked.verdict, key, is_reported=words.is_reported)
    return {"verdict": verdict, "checked": checked, "checked_at": at}


def _path(receipt: Receipt, checked: Checked | None) -> MerklePath | None:
    """Return the receipt's place in the newest tree; None where the log lost rows."""
    log, index = receipt.log, receipt.leaf_index
    try:
        proof = checked.proof if checked else _proof(log, index)
        leaf, root = bytes(receipt.leaf_hash), bytes(log.root)
        return merkle_path.draw(index, log.size, leaf, proof, root)
    except (KeyError, ValueError, ProofError):
        return None


def _proof(log: Log, index: int) -> list[bytes]:
    return LogReader(log).inclusion_proof(index, log.size)


def _raw(receipt: Receipt, members: dict[str, Any]) -> str:
    whole = with_extras(members, receipt.pk, receipt.leaf_index)
    return json.dumps(whole, ensure_ascii=False, indent=2)


def _adjusted(members: dict[str, Any]) -> UUID | None:
    """Return the id of the receipt that this one adjusts."""
    adjusts = members.get("adjusts")
    try:
        return UUID(adjusts["receipt_id"]) if isinstance(adjusts, dict) else None
    except (KeyError, TypeError, ValueError, AttributeError):  # was tampered with
        return None


def _address(request: PageRequest, name: str, of: object) -> str:
    return request.member.address(name, of) if of else ""


def _absolute(request: PageRequest, receipt: Receipt) -> str:
    return request.build_absolute_uri(request.member.address("receipt", receipt.pk))


def _vkey(log: Log) -> str:
    """Return the key that signs the log's checkpoints now."""
    keys = SigningKey.objects.filter(
        tenant_id=log.tenant_id,
        mode=log.mode,
        purpose=SigningKey.Purpose.CHECKPOINT,
        status=SigningKey.Status.ACTIVE,
    )
    return str(VerifierKey.of(log.origin, bytes(keys.get().public_key)))
