"""X-Request-ID: the caller's own when it is fit for a log line, else a fresh one."""

import re
import secrets
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

ACCEPTABLE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


class RequestIdMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        accepted = ACCEPTABLE.fullmatch(given)
        request_id = given if accepted else f"req_{secrets.token_hex(16)}"
        request.request_id = request_id  # type: ignore[attr-defined]
        response = self.get_response(request)
        response["X-Request-ID"] = request_id
        return response
