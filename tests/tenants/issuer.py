"""An issuer of tokens, and a server that publishes its keys, well or badly."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tenants.token_settings import TokenSettings

ISSUER = "https://login.example.com/"
AUDIENCE = "lucid"
SECRET = "a shared secret of at least 32 bytes"


@cache
def private_key(algorithm: str, name: str = "one") -> Any:
    """Return a key pair; the same for the same name, as making one takes its time."""
    match algorithm:
        case "RS256":
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
    return SECRET


def public_jwk(algorithm: str, name: str = "one", **more: Any) -> dict[str, Any]:
    kind = jwt.get_algorithm_by_name(algorithm)
    key = private_key(algorithm, name).public_key()
    jwk = dict(kind.to_jwk(key, as_dict=True))
    jwk.pop("key_ops", None)
    return jwk | {"kid": name, "use": "sig", "alg": algorithm} | more


def jwks(*keys: dict[str, Any]) -> str:
    return json.dumps({"keys": keys})


def pem(algorithm: str, name: str = "one") -> str:
    key = private_key(algorithm, name).public_key()
    encoded = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return str(encoded.decode())


def claims(tenant: Any, **changes: Any) -> dict[str, Any]:
    """Return good claims, changed; None takes one out."""
    said = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "exp": int(time.time()) + 300,
        "sub": "agent-7",
        "tenant": str(tenant),
        "scope": "receipts:read receipts:write",
    }
    return {name: it for name, it in (said | changes).items() if it is not None}


def token(
    payload: dict[str, Any],
    algorithm: str = "RS256",
    name: str = "one",
    key: Any = None,
    **header: Any,
) -> str:
    headers = {"kid": name} | header
    headers = {name: it for name, it in headers.items() if it is not None}
    signer = key or private_key(algorithm, name)
    return jwt.encode(payload, signer, algorithm, headers)


def settings_for(algorithm: str = "RS256", **changes: Any) -> TokenSettings:
    given: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "algorithm": algorithm,
    }
    if not changes.keys() & {"keys", "jwks_file", "jwks_url", "secret"}:
        is_secret = algorithm == "HS256"
        given |= {"secret": SECRET} if is_secret else {"keys": pem(algorithm)}
    config = TokenSettings(**given | changes)
    config.check()
    return config


class KeyServer(ThreadingHTTPServer):
    """Serves `body` with `status`, after `delay` seconds; counts how often."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.body = b""
        self.status = 200
        self.delay = 0.0
        self.drip = 0.0  # seconds between bytes
        self.asked = 0
        self.goes_on = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/jwks.json"

    def publish(self, *keys: dict[str, Any]) -> None:
        self.body = jwks(*keys).encode()

    @contextmanager
    def serving(self) -> Iterator["KeyServer"]:
        thread = threading.Thread(target=self.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield self
        finally:
            self.goes_on.set()
            self.shutdown()
            thread.join()
            self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: KeyServer

    def do_GET(self) -> None:
        self.server.asked += 1
        body, status = self.server.body, self.server.status
        self.server.goes_on.wait(self.server.delay)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        for place in range(len(body)) if self.server.drip else ():
            self.wfile.write(body[place : place + 1])
            if self.server.goes_on.wait(self.server.drip):
                return
        if not self.server.drip:
            self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass
