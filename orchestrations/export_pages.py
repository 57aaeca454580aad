"""The page of exports: what to carry away, and what was carried away before."""

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render

from orchestrations.export_forms import ExportForm
from orchestrations.exporting import ALL_ACTIONS, RefusedExport, export, past_exports
from receipts.keyring import log_of
from tenants import events
from tenants.page_access import PageRequest, member
from tenants.roles import Right


@member(can=Right.EXPORT)
def exports(request: PageRequest) -> HttpResponseBase:
    tenant, mode = request.member.tenant, request.member.mode
    if request.method != "POST":
        form = ExportForm.from_address(request.GET, tenant, mode)
        return _page(request, form)
    form = ExportForm(request.POST, tenant, mode)
    if form.is_valid():
        try:
            return export(form, tenant, mode, events.person(request))
        except RefusedExport as refused:
            form.add_error(None, str(refused))
    return _page(request, form)


def _page(request: PageRequest, form: ExportForm) -> HttpResponse:
    is_wrong = form.is_bound and not form.is_valid()
    context = {
        "form": form,
        "log": log_of(request.member.tenant.pk, request.member.mode),
        "rows": past_exports(request.member.tenant),
        "actions": ALL_ACTIONS,
    }
    status = 400 if is_wrong else 200
    return render(request, "orchestrations/exports.html", context, status=status)
