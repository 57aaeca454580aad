"""Evidence of a whole orchestration, for a person who takes it away."""

from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render

from orchestrations.claims import ID_PREFIX
from orchestrations.models import Orchestration
from receipts import evidence
from receipts.evidence import MAX_RECEIPTS
from tenants import events
from tenants.page_access import PageRequest, member
from tenants.roles import Right


@member(can=Right.EXPORT)
def run_evidence(request: PageRequest, run_id: str) -> HttpResponseBase:
    """Return a zip of all receipts of a run, that of its ending included."""
    tenant, mode = request.member.tenant, request.member.mode
    runs = Orchestration.objects.filter(tenant=tenant, mode=mode)
    if not runs.filter(pk=run_id).exists():
        raise Http404
    rows = evidence.of_run(run_id, tenant, mode)
    log, head = evidence.head_of(tenant.pk, mode)
    count = rows.filter(leaf_index__lt=log.size)[: MAX_RECEIPTS + 1].count()
    if not 0 < count <= MAX_RECEIPTS:
        return _refusal(request, run_id, count)
    actor, filters = events.person(request), {"orchestration_id": run_id}
    evidence.note_export(actor, log, "orchestration", run_id, count, filters)
    about = evidence.made_by(actor, filters)
    name = evidence.file_name(tenant, mode, f"run-{run_id.removeprefix(ID_PREFIX)}")
    return evidence.stream(rows, log, head, about, name)


def _refusal(request: PageRequest, run_id: str, count: int) -> HttpResponse:
    context = {"run_id": run_id, "count": count, "limit": MAX_RECEIPTS}
    return render(request, "orchestrations/no_evidence.html", context, status=409)
