"""What every endpoint under /v1 shares."""

from typing import Any

from django.db import OperationalError
from psycopg_pool import PoolTimeout
from rest_framework.request import Request
from rest_framework.views import APIView

from lucid.api.allowance import Allowance
from lucid.api.connections import discard_dead
from lucid.api.parsing import read_json, refuse_nul


class ApiView(APIView):
    """One resource of the API; `scopes` maps each method to the scope it needs."""

    scopes: dict[str, str] = {}
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    @property
    def request_id(self) -> str:
        return str(self.request.request_id)  # type: ignore[attr-defined]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # DRF would also negotiate content, version and throttles, which this API
        # does not have: a tenth of what a short request costs.
        try:
            self.perform_authentication(request)
        except OperationalError as error:
            # The first query of a request is the one to meet a connection that died
            # while it was idle. Where there is none to be had, asking again is vain.
            if isinstance(error.__cause__, PoolTimeout):
                raise
            discard_dead()
            self.perform_authentication(request)
        self.check_permissions(request)
        refuse_nul(request._request)

    def finalize_response(
        self, request: Request, response: Any, *args: Any, **kwargs: Any
    ) -> Any:
        answer = super().finalize_response(request, response, *args, **kwargs)
        allowance: Allowance | None = getattr(request._request, "allowance", None)
        if allowance:
            for name, value in allowance.headers().items():
                answer[name] = value
        return answer

    @property
    def default_response_headers(self) -> dict[str, str]:
        return {}

    def json(self, request: Request, *, literal: bool = False) -> Any:
        """Return the request's JSON body, read strictly; raises the 4xx it earns."""
        return read_json(request._request, literal=literal)
