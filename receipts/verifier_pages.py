"""What the verifier in the browser needs of the server: a page, and evidence.

No verdict is made here: static/js/verifier computes it from the files.
"""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from lucid.api.errors import ApiError, not_found
from lucid.api.parsing import check_query
from receipts.log_api import ConsistencyQuery, prove_consistency
from receipts.models import Log
from tenants.page_access import PageRequest, member
from tenants.roles import Right


def verify_files(request: HttpRequest) -> HttpResponse:
    """The page for files that somebody has, logged in or not."""
    return render(request, "receipts/verify.html")


@member(can=Right.READ_RECEIPTS)
def consistency(request: PageRequest) -> HttpResponse:
    """The proof that the page's log extends what it was when a browser last looked.

    A refusal says how many entries the log has now: a browser that remembers more of
    them has found something.
    """
    tenant, mode = request.member.tenant, request.member.mode
    log = Log.objects.filter(tenant=tenant, mode=mode).first()
    try:
        query = check_query(request.GET, ConsistencyQuery)
        if log is None:
            raise not_found("log")
        return JsonResponse(prove_consistency(log, query))
    except ApiError as error:
        body: dict[str, Any] = {**error.body(None), "size": log.size if log else 0}
        return JsonResponse(body, status=error.status)
