"""What every endpoint under /v1 shares."""

from typing import Any

from rest_framework.request import Request
from rest_framework.views import APIView

from lucid.api.parsing import accept_chunked


class ApiView(APIView):
    """One resource of the API; `scopes` maps each method to the scope it needs."""

    scopes: dict[str, str] = {}
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    @property
    def request_id(self) -> str:
        return str(self.request.request_id)  # type: ignore[attr-defined]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        accept_chunked(request._request)
