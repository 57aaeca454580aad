"""The one error body of the API, and how each exception becomes it (WIRE section 1)."""

import logging
from enum import StrEnum
from typing import Any

import psycopg
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import InterfaceError, InternalError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.template import loader
from rest_framework import exceptions

from lucid.api.rendering import Answer
from lucid.page_middleware import is_page

logger = logging.getLogger(__name__)

RETRY_AFTER = "1"  # seconds

# What says that the database cannot now, and nothing of the request: a connection
# lost or not to be had, a time-out, a full disk, a standby that takes no writes.
DATABASE_UNAVAILABLE = (
    OperationalError,
    InterfaceError,
    InternalError,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.InternalError,
)


class Code(StrEnum):
    INVALID_REQUEST = "INVALID_REQUEST"
    UNAUTHORIZED = "UNAUTHORIZED"
    KEY_REVOKED = "KEY_REVOKED"
    KEY_EXPIRED = "KEY_EXPIRED"
    KEY_ROTATED = "KEY_ROTATED"
    TOKEN_INVALID = "TOKEN_INVALID"  # noqa: S105  a code, not a token
    TENANT_REQUIRED = "TENANT_REQUIRED"
    INSUFFICIENT_SCOPE = "INSUFFICIENT_SCOPE"
    ADDRESS_NOT_ALLOWED = "ADDRESS_NOT_ALLOWED"
    TENANT_MISMATCH = "TENANT_MISMATCH"
    TENANT_SUSPENDED = "TENANT_SUSPENDED"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    CONFLICT = "CONFLICT"
    NOT_RUNNING = "NOT_RUNNING"
    RUN_ID_CONFLICT = "RUN_ID_CONFLICT"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    RATE_LIMITED = "RATE_LIMITED"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    PROVIDER_ERROR = "PROVIDER_ERROR"
    PROVIDER_TIMEOUT = "PROVIDER_TIMEOUT"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    UNAVAILABLE = "UNAVAILABLE"


STATUS = {
    Code.INVALID_REQUEST: 400,
    Code.TENANT_REQUIRED: 400,
    Code.UNAUTHORIZED: 401,
    Code.KEY_REVOKED: 401,
    Code.KEY_EXPIRED: 401,
    Code.KEY_ROTATED: 401,
    Code.TOKEN_INVALID: 401,
    Code.INSUFFICIENT_SCOPE: 403,
    Code.ADDRESS_NOT_ALLOWED: 403,
    Code.TENANT_MISMATCH: 403,
    Code.TENANT_SUSPENDED: 403,
    Code.NOT_FOUND: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.CONFLICT: 409,
    Code.NOT_RUNNING: 409,
    Code.RUN_ID_CONFLICT: 409,
    Code.IDEMPOTENCY_CONFLICT: 409,
    Code.PAYLOAD_TOO_LARGE: 413,
    Code.UNSUPPORTED_MEDIA_TYPE: 415,
    Code.RATE_LIMITED: 429,
    Code.BUDGET_EXCEEDED: 429,
    Code.INTERNAL_ERROR: 500,
    Code.PROVIDER_ERROR: 502,
    Code.PROVIDER_TIMEOUT: 504,
    Code.UNAVAILABLE: 503,
}


# By a client that repeats a 429 and any 5xx of its own accord: the call was tried as
# often as makes sense, and may have been paid for.
NOT_WORTH_REPEATING = frozenset(
    {Code.BUDGET_EXCEEDED, Code.PROVIDER_ERROR, Code.PROVIDER_TIMEOUT}
)


class ApiError(Exception):
    """An answer other than success. `details` maps each field to its complaints."""

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        details: dict[str, list[str]] | None = None,
        extra: dict[str, Any] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details
        self.extra = extra or {}
        self.retry_after = retry_after  # seconds

    @property
    def status(self) -> int:
        return STATUS[self.code]

    def body(self, request_id: str | None) -> dict[str, Any]:
        """Return the flat body, with every spelling that a client family reads."""
        return {
            "success": False,
            "error": self.message,
            "message": self.message,
            "error_code": self.code,
            "code": self.code,
            "http_status": self.status,
            "details": self.details,
            "request_id": request_id,
            **self.extra,
        }


def invalid(details: dict[str, list[str]]) -> ApiError:
    """Return the 400 that names each bad field."""
    field, complaints = next(iter(details.items()))
    message = f"{field}: {complaints[0]}"
    if len(details) > 1:
        message += f" (and {len(details) - 1} more, see details)"
    return ApiError(Code.INVALID_REQUEST, message, details=details)


def not_found(what: str) -> ApiError:
    return ApiError(Code.NOT_FOUND, f"No such {what}.")


def unavailable() -> ApiError:
    return ApiError(
        Code.UNAVAILABLE,
        "The ledger cannot take this request now. Nothing that was answered is lost;"
        " repeat the request.",
    )


def answer_error(error: ApiError, request: HttpRequest) -> Answer:
    answer = Answer(error.body(getattr(request, "request_id", None)), error.status)
    if error.status == 401:
        answer["WWW-Authenticate"] = 'Bearer realm="lucid"'
    if error.code in NOT_WORTH_REPEATING:
        answer["X-Should-Retry"] = "false"  # OpenAI's and Anthropic's clients obey
    if error.retry_after is not None:
        answer["Retry-After"] = str(error.retry_after)
    elif error.code in {Code.UNAVAILABLE, Code.RATE_LIMITED}:
        answer["Retry-After"] = RETRY_AFTER
    return answer


def _as_api_error(exception: Exception) -> ApiError | None:
    match exception:
        case ApiError():
            return exception
        case Http404() | exceptions.NotFound():
            return not_found("resource")
        case RequestDataTooBig():
            return ApiError(
                Code.PAYLOAD_TOO_LARGE, "The request body is larger than 1 MiB."
            )
        case exceptions.MethodNotAllowed():
            return ApiError(Code.METHOD_NOT_ALLOWED, str(exception.detail))
        case exceptions.UnsupportedMediaType():
            return ApiError(
                Code.UNSUPPORTED_MEDIA_TYPE, "Send the body as application/json."
            )
        case exceptions.ParseError():
            return ApiError(Code.INVALID_REQUEST, str(exception.detail))
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            return ApiError(Code.UNAUTHORIZED, "Give an API key.")
        case exceptions.PermissionDenied() | PermissionDenied():
            return ApiError(Code.INSUFFICIENT_SCOPE, "Not allowed.")
    if isinstance(exception, DATABASE_UNAVAILABLE):
        logger.error("database unavailable: %s", type(exception).__name__)
        return unavailable()
    return None


def answer_exception(exception: Exception, context: dict[str, Any]) -> Answer | None:
    """Render an exception of an API view; None hands it on as a 500."""
    error = _as_api_error(exception)
    if error is None:
        return None
    answer = answer_error(error, context["request"])
    if error.status == 405:
        answer["Allow"] = ", ".join(context["view"].allowed_methods)
    return answer


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_page(request):
        return HttpResponse(loader.render_to_string("404.html"), status=404)
    return answer_error(not_found("path"), request)


def server_error(request: HttpRequest) -> HttpResponse:
    if is_page(request):
        context = {"request_id": getattr(request, "request_id", None)}
        text = loader.render_to_string("500.html", context)
        return HttpResponse(text, status=500)
    error = ApiError(Code.INTERNAL_ERROR, "A fault on our side; it has been logged.")
    return answer_error(error, request)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_page(request):
        return HttpResponse(loader.render_to_string("400.html"), status=400)
    error = ApiError(Code.INVALID_REQUEST, "The request is not well-formed HTTP.")
    return answer_error(error, request)
