"""A program that calls the API with a key, and the receipt it likes to report."""

import json
from dataclasses import dataclass
from typing import Any

from django.test import Client
from django.test.client import ClientHandler

from tenants.models import ApiKey, Tenant

RUN: dict[str, Any] = {
    "model_passport_id": "ppt_model_7xK9mQ2v",
    "compute_passport_id": "ppt_compute_Xn5vR2kJ",
    "policy_hash": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "runtime": "vllm",
    "tokens_in": 42,
    "tokens_out": 128,
    "ttft_ms": 85,
}

# One for all requests: making its middleware means to look at every static file.
HANDLER = ClientHandler(enforce_csrf_checks=False)


@dataclass(frozen=True)
class Caller:
    tenant: Tenant
    key: ApiKey
    text: str

    def get(self, path: str, **options: Any) -> Any:
        return self.request("GET", path, **options)

    def post(self, path: str, data: Any = None, **options: Any) -> Any:
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        return self.request("POST", path, body, **options)

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        content_type: str = "application/json",
        **headers: str,
    ) -> Any:
        sent = {"Authorization": f"Bearer {self.text}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        client = Client(raise_request_exception=False)
        client.handler = HANDLER
        return client.generic(method, path, body, content_type, headers=sent)

    def record(self, **claims: Any) -> dict[str, Any]:
        """Report a run and return its receipt."""
        answer = self.post("/v1/receipts", RUN | claims)
        assert answer.status_code == 200, answer.content
        receipt: dict[str, Any] = answer.json()["receipt"]
        return receipt
