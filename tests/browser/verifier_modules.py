"""The verifier's modules in a browser by themselves: no server, no page of ours.

Over plain http off localhost a browser has no WebCrypto, and the vendored libraries do
the work. Both are looked at.
"""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Route

STATIC = Path(__file__).resolve().parents[2] / "static"
HTML = "text/html"
ORIGINS = {"webcrypto": "http://localhost", "noble": "http://lucid.test"}

VERIFY = """async (cases) => {
  const { verify, asText } = await import("/js/verifier/verify.js");
  const { VerifierKey } = await import("/js/verifier/note.js");
  const { fromJwks } = await import("/js/verifier/key_set.js");
  const { parse } = await import("/js/verifier/strict_json.js");
  const bytes = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  const one = async ({ receipt, proof, vkeys, jwks, origin }) => {
    const logKeys = await Promise.all(vkeys.map(VerifierKey.parse));
    const keySets = jwks && (await fromJwks(parse(new TextEncoder().encode(jwks))));
    const pinned = { logKeys, keySets, origin };
    const result = await verify(bytes(receipt), bytes(proof), pinned);
    const { verdict, field, steps, notes, expected, found } = result;
    return {
      verdict,
      field,
      steps: steps.map(({ name, ok }) => [name, ok]),
      notes: notes.length,
      expected: asText(expected),
      found: asText(found),
    };
  };
  const results = [];
  for (const each of cases) results.push(await one(each));
  return results;
}"""


class Modules:
    """A page that can import what is in static/js/verifier."""

    def __init__(self, browser: Browser, implementation: str) -> None:
        self.implementation = implementation
        self._context = browser.new_context()
        self._context.route("**/*", _serve)
        self.page: Page = self._context.new_page()
        self.page.goto(f"{ORIGINS[implementation]}/blank")

    def close(self) -> None:
        self._context.close()

    def run(self, script: str, argument: Any = None) -> Any:
        """Call an async function, given as its text, with an argument."""
        return self.page.evaluate(script, argument)

    def call(self, module: str, body: str, argument: Any = None) -> Any:
        """Evaluate `body` with a module's exports as `it`, and the argument."""
        script = f"""async (argument) => {{
          const it = await import("/js/verifier/{module}.js");
          const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
          const isRefused = async (act) => {{
            const {{ Malformed }} = await import("/js/verifier/malformed.js");
            try {{ await act(); return false; }} catch (error) {{
              if (error instanceof Malformed) return true;
              throw error;
            }}
          }};
          {body}
        }}"""
        return self.page.evaluate(script, argument)

    def verify(self, cases: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.page.evaluate(VERIFY, list(cases))
        return found


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _serve(route: Route) -> None:
    path = STATIC / route.request.url.split("/", 3)[3]
    if path.suffix == ".js" and path.is_file():
        route.fulfill(body=path.read_bytes(), content_type="text/javascript")
    else:
        route.fulfill(
            body="<!doctype html><title>Blank</title>", content_type="text/html"
        )
