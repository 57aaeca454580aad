"""Whom a request is served for, before anybody has said."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from lucid.isolation import across_tenants, working_for

ADMIN = "/admin/"


class NobodyYet:
    """Each request begins for nobody, and leaves nothing to the next on its thread.

    Authentication of the API enters the key's tenant. Operators see across tenants in
    the admin, and only there.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        is_admin = request.path_info.startswith(ADMIN)
        with across_tenants() if is_admin else working_for():
            return self.get_response(request)
