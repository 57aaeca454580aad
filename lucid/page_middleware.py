"""Django's middleware for pages, which the API does without.

/v1 and /log have no session, no cookies and no forms (WIRE section 1), and what these
would cost is a fifth of a short request.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from django.contrib.auth import middleware as auth
from django.contrib.messages import middleware as messages
from django.contrib.sessions import middleware as sessions
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware import clickjacking, csrf, gzip
from django.utils.deprecation import MiddlewareMixin

from lucid.stack_room import with_room

GetResponse = Callable[[HttpRequest], HttpResponseBase]
API = ("/v1/", "/log/")


def is_page(request: HttpRequest) -> bool:
    return not f"{request.path_info}/".startswith(API)


def room_middleware(get_response: GetResponse) -> GetResponse:
    """Draw pages where no loop of a template crosses the end of a stack chunk."""

    def draw(request: HttpRequest) -> HttpResponseBase:
        if is_page(request):
            return with_room(get_response, request)
        return get_response(request)

    return draw


class PagesOnly(MiddlewareMixin):
    def __call__(
        self, request: HttpRequest
    ) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if is_page(request):
            return super().__call__(request)
        return self.get_response(request)


# What a browser shows, and compressed is a fifth of its size. Downloads of evidence are
# compressed already.
TEXT = ("text/", "application/json", "image/svg+xml")


class GZipMiddleware(PagesOnly, gzip.GZipMiddleware):
    """Compress pages and static files; Django pads them against BREACH."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        is_text = response.headers.get("Content-Type", "").startswith(TEXT)
        if not is_text or response.status_code == HTTPStatus.PARTIAL_CONTENT:
            return response
        return super().process_response(request, response)


class SessionMiddleware(PagesOnly, sessions.SessionMiddleware): ...


class CsrfViewMiddleware(PagesOnly, csrf.CsrfViewMiddleware): ...


class AuthenticationMiddleware(PagesOnly, auth.AuthenticationMiddleware): ...


class MessageMiddleware(PagesOnly, messages.MessageMiddleware): ...


class XFrameOptionsMiddleware(PagesOnly, clickjacking.XFrameOptionsMiddleware): ...
