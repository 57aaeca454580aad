"""The verifier in the browser finds in a bundle what `verify.py` in it finds."""

import json
from typing import Any

import pytest

from receipts.bundle_verifier import BundleResult
from receipts.verifier import Verdict
from tests.browser.bundle_cases import cases
from tests.browser.verifier_modules import ORIGINS, Modules, b64

pytestmark = pytest.mark.slow

CASES = cases()
VERIFY = """async (cases) => {
  const { verifyBundle } = await import("/js/verifier/bundle.js");
  const { VerifierKey } = await import("/js/verifier/note.js");
  const { fromJwks } = await import("/js/verifier/key_set.js");
  const { fromBase64 } = await import("/js/verifier/base64.js");
  const { parse } = await import("/js/verifier/strict_json.js");
  const one = async ({ data, vkeys, jwks, origin }) => {
    const logKeys = await Promise.all(vkeys.map(VerifierKey.parse));
    const keySets = jwks && (await fromJwks(parse(new TextEncoder().encode(jwks))));
    const result = await verifyBundle(fromBase64(data), { logKeys, keySets, origin });
    return {
      verdict: result.verdict,
      field: result.field,
      steps: result.steps.map(({ name, ok }) => [name, ok]),
      notes: result.notes.length,
      verdicts: Object.fromEntries(result.counts),
      bad: result.bad.map(({ file, result: { verdict, steps } }) =>
        [file, verdict, steps.at(-1).name]),
    };
  };
  const results = [];
  for (const each of cases) results.push(await one(each));
  return results;
}"""


def told(result: BundleResult) -> dict[str, Any]:
    return {
        "verdict": result.verdict.value,
        "field": result.field,
        "steps": [[step.name, step.ok] for step in result.steps],
        "notes": len(result.notes),
        "verdicts": result.verdicts,
        "bad": [[bad.file, bad.verdict.value, bad.step] for bad in result.bad],
    }


@pytest.fixture(scope="module", params=ORIGINS)
def modules(browser, request):
    opened = Modules(browser, request.param)
    yield opened
    opened.close()


def test_every_verdict_is_that_of_the_verifier_in_python(modules, tmp_path):
    found = modules.run(
        VERIFY,
        [
            {
                "data": b64(case.data),
                "vkeys": case.vkeys,
                "jwks": None if case.jwks is None else json.dumps(case.jwks),
                "origin": case.origin,
            }
            for case in CASES
        ],
    )
    differing = {
        case.name: (told(result), answer)
        for case, answer in zip(CASES, found, strict=True)
        if told(result := case.verify(tmp_path)) != answer
    }
    assert differing == {}


def test_the_cases_come_to_every_verdict(tmp_path):
    verdicts = {case.verify(tmp_path).verdict for case in CASES}
    assert verdicts == set(Verdict) - {
        Verdict.CONTENT_ERASED,
        Verdict.CONTENT_MISMATCH,
    }
