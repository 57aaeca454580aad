"""JSON in: bodies and query parameters, checked before anything acts on them."""

import io
from typing import Any, TypeVar

import msgspec
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest

from lucid.api import strict_json
from lucid.api.errors import ApiError, Code, invalid

MAX_BODY = 1 << 20  # bytes, LEDGER section 1

Shape = TypeVar("Shape", bound=msgspec.Struct)


class FromJSON:
    """A type of its own in a request: `from_json` reads the parsed JSON value.

    It raises ValueError with the complaint; `JSON_SCHEMA` is for the documentation.
    """

    JSON_SCHEMA: dict[str, Any]

    @classmethod
    def from_json(cls, value: Any) -> Any:
        raise NotImplementedError


def from_json(kind: type[FromJSON], value: Any) -> Any:
    return kind.from_json(value)


def read_json(request: HttpRequest, *, literal: bool = False) -> Any:
    """Return the body of a request, parsed strictly (LEDGER section 1)."""
    _check_content_type(request)
    _accept_chunked(request)
    # `body` holds to DATA_UPLOAD_MAX_MEMORY_SIZE, and keeps the bytes for the
    # fingerprint of an Idempotency-Key.
    try:
        return strict_json.loads(request.body, literal=literal)
    except strict_json.InvalidJSON as error:
        raise invalid({error.field or "body": [error.message]}) from None


def read_bytes(request: HttpRequest, limit: int) -> bytes:
    """Return the body of a JSON request as it came, of at most `limit` bytes.

    For bodies that may be larger than those that `read_json` takes.
    """
    _check_content_type(request)
    stream: Any = request
    if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        if not request.META.get("wsgi.input_terminated"):
            raise ApiError(Code.INVALID_REQUEST, "Send a Content-Length.")
        stream = request.META["wsgi.input"]
    body: bytes = stream.read(limit + 1)
    if len(body) > limit:
        message = f"The request body is larger than {limit >> 20} MiB."
        raise ApiError(Code.PAYLOAD_TOO_LARGE, message)
    return body


def refuse_nul(request: HttpRequest) -> None:
    """Refuse what no name contains and PostgreSQL cannot be asked for."""
    if "\0" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
        raise ApiError(Code.INVALID_REQUEST, "The URL has a NUL character in it.")


def _check_content_type(request: HttpRequest) -> None:
    if request.content_type != "application/json":
        raise ApiError(
            Code.UNSUPPORTED_MEDIA_TYPE, "Send the body as application/json."
        )


def _accept_chunked(request: HttpRequest) -> None:
    """Give a chunked request, which Django takes for empty, its length and body."""
    environ = request.META
    if "chunked" not in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        return
    if not environ.get("wsgi.input_terminated"):
        raise ApiError(Code.INVALID_REQUEST, "Send a Content-Length.")
    body = environ["wsgi.input"].read(MAX_BODY + 1)
    if len(body) > MAX_BODY:
        raise RequestDataTooBig
    environ["CONTENT_LENGTH"] = str(len(body))
    request._stream = io.BytesIO(body)


def _complaint(error: msgspec.ValidationError) -> str:
    return str(error).partition(" - at `$")[0]


def _path(error: msgspec.ValidationError, field: str) -> str:
    """Name the place that the error points at, from the field down."""
    return str(error).rpartition(" - at `$.")[2].rstrip("`") or field


def _complaints(
    data: dict[str, Any], shape: type[Shape], *, strict: bool = True
) -> dict[str, list[str]]:
    """Check each field alone, so that the client hears of all that is wrong."""
    details: dict[str, list[str]] = {}
    for field in msgspec.structs.fields(shape):
        name = field.encode_name
        if name not in data:
            if field.required:
                details[name] = ["This field is required."]
            continue
        alone = msgspec.defstruct("Alone", [(name, field.type)])
        try:
            msgspec.convert(
                {name: data[name]}, alone, strict=strict, dec_hook=from_json
            )
        except msgspec.ValidationError as error:
            details[_path(error, name)] = [_complaint(error)]
    return details


def check(data: Any, shape: type[Shape]) -> Shape:
    """Return `data`, a parsed JSON body, as `shape`; 400 names every bad field."""
    if not isinstance(data, dict):
        raise invalid({"body": ["Expected a JSON object."]})
    try:
        return msgspec.convert(data, shape, dec_hook=from_json)
    except msgspec.ValidationError as error:
        details = _complaints(data, shape) or {"body": [_complaint(error)]}
        raise invalid(details) from None


def check_query(parameters: Any, shape: type[Shape]) -> Shape:
    """Return query parameters, all strings, as `shape`; 400 names the bad ones."""
    data: dict[str, Any] = {}
    for field in msgspec.structs.fields(shape):
        if field.encode_name in parameters:
            data[field.encode_name] = parameters[field.encode_name]
    try:
        return msgspec.convert(data, shape, strict=False, dec_hook=from_json)
    except msgspec.ValidationError as error:
        details = _complaints(data, shape, strict=False)
        raise invalid(details or {"query": [_complaint(error)]}) from None
