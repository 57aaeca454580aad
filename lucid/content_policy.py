"""What a browser may do with an answer of ours: nothing but what our pages need.

Twenty lines of our own rather than django-csp, whose nonces and per-view policies
nothing here needs: one policy holds for every page and the admin.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from lucid.page_middleware import API

PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "object-src 'none'",
    )
)
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"
PERMISSIONS = "camera=(), microphone=(), geolocation=(), payment=(), usb=()"


class ContentPolicyMiddleware:
    """Outermost, so that error pages and static files have a policy as well."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        headers = response.headers
        if request.path_info.startswith(API) and not _is_page(response):
            headers["Content-Security-Policy"] = DATA_POLICY
        else:
            headers["Content-Security-Policy"] = PAGE_POLICY
            headers["Permissions-Policy"] = PERMISSIONS
        return response


def _is_page(response: HttpResponse) -> bool:
    return response.headers.get("Content-Type", "").startswith("text/html")
