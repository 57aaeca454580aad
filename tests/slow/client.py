"""A program that talks to a server over one keep-alive connection, as SDKs do."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage, HTTPResponse
from typing import Any, Self

SECONDS = 60  # longer than any request may take


@dataclass(frozen=True)
class Answer:
    status: int
    headers: HTTPMessage
    body: bytes

    def json(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.body)
        return data


class Client:
    """Raises OSError or HTTPException when no answer comes."""

    def __init__(self, port: int, key: str = "", timeout: float = SECONDS) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=timeout)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def get(self, path: str) -> Answer:
        return self._request("GET", path)

    def post(
        self, path: str, data: Any, headers: Mapping[str, str] | None = None
    ) -> Answer:
        return self._request("POST", path, json.dumps(data).encode(), headers)

    def begin(
        self, path: str, data: Any, headers: Mapping[str, str] | None = None
    ) -> HTTPResponse:
        """Send a request whose answer is read by the caller, as it comes."""
        return self._send("POST", path, json.dumps(data).encode(), headers)

    def leave(self) -> None:
        """Hang up, whatever is still to come."""
        self._connection.close()

    def read(self, path: str) -> dict[str, Any]:
        """Return the JSON of an answer that has to be 200."""
        answer = self.get(path)
        assert answer.status == 200, answer
        return answer.json()

    def _request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        response = self._send(method, path, body, headers)
        return Answer(response.status, response.headers, response.read())

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str] | None,
    ) -> HTTPResponse:
        told = {"Content-Type": "application/json", **self._headers, **(headers or {})}
        self._connection.request(method, path, body, told)
        return self._connection.getresponse()
