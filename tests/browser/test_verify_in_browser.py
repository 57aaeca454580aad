"""The verifier in the browser finds what `receipts.verifier` finds, step by step.

And it agrees with the vectors that others publish, with WebCrypto and without.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lucid.api import strict_json
from receipts import canonical, ed25519
from receipts.verifier import Result
from tests import vectors
from tests.browser.twisted_points import MIXED_ORDER, twisted_signatures
from tests.browser.verifier_cases import GOOD, LOG, cases
from tests.browser.verifier_modules import ORIGINS, Modules, b64
from tests.receipts.test_verify_ed25519 import LOW_ORDER, NON_CANONICAL

pytestmark = pytest.mark.slow

CASES = cases()

# For each document its canonical text, or in an array the field it is refused for.
CANONICAL = """async (documents) => {
  const { parse } = await import("/js/verifier/strict_json.js");
  const { canonicalize } = await import("/js/verifier/canonical.js");
  const { Malformed } = await import("/js/verifier/malformed.js");
  const { fromBase64 } = await import("/js/verifier/base64.js");
  return documents.map((document) => {
    try {
      return new TextDecoder().decode(canonicalize(parse(fromBase64(document))));
    } catch (error) {
      if (error instanceof Malformed) return [error.field];
      throw error;
    }
  });
}"""
ED25519 = """async (cases) => {
  const { verify } = await import("/js/verifier/ed25519.js");
  const { fromHex } = await import("/js/verifier/bytes.js");
  return Promise.all(cases.map((given) => verify(...given.map(fromHex))));
}"""
INCLUSION = """return Promise.all(argument.map((given) => isRefused(async () => {
  const [index, size] = [given.leafIdx, given.treeSize].map(BigInt);
  const hashes = [given.root, given.leafHash, ...(given.proof ?? [])];
  const [root, leaf, ...proof] = hashes.map((text) => bytes(text ?? ""));
  await it.verifyInclusion(index, size, leaf, proof, root);
})));"""
CONSISTENCY = """return Promise.all(argument.map((given) => isRefused(async () => {
  const sizes = [given.size1, given.size2].map(BigInt);
  const hashes = [given.root1, given.root2, ...(given.proof ?? [])];
  const [old, fresh, ...proof] = hashes.map((text) => bytes(text ?? ""));
  await it.verifyConsistency(...sizes, old, fresh, proof);
})));"""

PUNCTUATION = '{}[]":,0123eE.-+ntfrue\\ud8 \n'
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)
json_documents = st.recursive(
    st.none() | st.booleans() | numbers | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.fixture(scope="module", params=ORIGINS)
def modules(browser, request):
    opened = Modules(browser, request.param)
    yield opened
    opened.close()


def as_text(value: Any) -> str:
    """As `asText` of static/js/verifier/verify.js says it."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return value
    # A stated index can be larger than what canonical JSON has.
    return str(value) if type(value) is int else canonical.dumps(value).decode()


def told(result: Result) -> dict[str, Any]:
    return {
        "verdict": result.verdict.value,
        "field": result.field,
        "steps": [[step.name, step.ok] for step in result.steps],
        "notes": len(result.notes),
        "expected": as_text(result.expected),
        "found": as_text(result.found),
    }


def test_who_does_the_work_is_known(modules):
    names = modules.run(
        """async () => {
          const ed25519 = await import("/js/verifier/ed25519.js");
          const sha2 = await import("/js/verifier/sha2.js");
          return [ed25519.implementation.name, sha2.implementation.name];
        }"""
    )
    expected = {
        "webcrypto": ["this browser\u2019s WebCrypto"] * 2,
        "noble": ["noble-ed25519 3.2.0", "noble-hashes 2.4.0"],
    }
    assert names == expected[modules.implementation]


def test_every_verdict_is_that_of_the_verifier_in_python(modules):
    found = modules.verify([case.for_browser() for case in CASES])
    differing = {
        case.name: (told(result), answer)
        for case, answer in zip(CASES, found, strict=True)
        if told(result := case.verify()) != answer
    }
    assert differing == {}


def test_the_cases_come_to_every_verdict_and_every_step():
    results = [case.verify() for case in CASES]
    verdicts = {result.verdict.value for result in results}
    assert verdicts == {
        "VALID",
        "INVALID",
        "UNSIGNED",
        "UNKNOWN_KEY",
        "KEY_REVOKED",
        "NOT_IN_LOG",
    }
    failing = {result.steps[-1].name for result in results if not result.steps[-1].ok}
    assert failing == {
        "receipt",
        "receipt_hash",
        "proof",
        "checkpoint",
        "key_set",
        "receipt_signature",
        "inclusion",
        "agreement",
        "key_range",
    }


def test_flipped_bits_are_found_where_python_finds_them(modules):
    # Without what nobody has signed.
    entry = canonical.dumps(LOG.entries[3])
    flipped = [replace(GOOD, receipt=text) for text in flips(entry)]
    flipped += [replace(GOOD, proof=text) for text in flips(GOOD.proof)]
    found = modules.verify([case.for_browser() for case in flipped])
    for case, answer in zip(flipped, found, strict=True):
        assert told(case.verify()) == answer
        assert answer["verdict"] != "VALID"


def flips(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), 9):
        yield data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(json_documents, min_size=20, max_size=20))
def test_any_json_has_the_same_canonical_bytes(modules, documents):
    texts = [json.dumps(document, indent=1).encode() for document in documents]
    written = modules.run(CANONICAL, [b64(text) for text in texts])
    assert written == [canonical_or_refusal(text) for text in texts]


def canonical_or_refusal(text: bytes) -> str | list[str | None]:
    try:
        return canonical.dumps(strict_json.loads(text)).decode()
    except strict_json.InvalidJSON as error:
        return [error.field]


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.text(alphabet='{}[]":,0123eE.-+ntfrue\\ud8 \n', max_size=12), min_size=50
    )
)
def test_any_text_is_read_or_refused_alike(modules, texts):
    given_ = [text.encode() for text in texts]
    written = modules.run(CANONICAL, [b64(text) for text in given_])
    assert written == [canonical_or_refusal(text) for text in given_]


@vectors.needs_vectors
class TestPublishedVectors:
    def test_canonical_json(self, modules):
        folder = "json-canonicalization/testdata"
        for name in vectors.names(f"{folder}/input/*.json"):
            text = vectors.read_bytes(name)
            output = vectors.read_bytes(name.replace("/input/", "/output/"))
            assert modules.run(CANONICAL, [b64(text)]) == [output.decode()]

    def test_wycheproof(self, modules):
        published = vectors.read_json("wycheproof/testvectors_v1/ed25519_test.json")
        given_ = [
            [
                group["publicKey"]["pk"],
                case["msg"],
                case["sig"],
                case["result"] == "valid",
            ]
            for group in published["testGroups"]
            for case in group["tests"]
        ]
        assert len(given_) > 100
        verified = modules.run(ED25519, [case[:3] for case in given_])
        assert verified == [case[3] for case in given_]

    def test_signed_notes(self, modules):
        published = vectors.read_json("signed-note/notes.json")["cases"]
        opened = modules.call(
            "note",
            """return Promise.all(argument.map(async ({ note, vkeys }) => {
              const keys = await Promise.all(vkeys.map(it.VerifierKey.parse));
              let opened;
              const refused = await isRefused(async () => {
                opened = await it.openNote(note, keys);
              });
              if (refused) return false;
              return [opened.signers.length, opened.unverified.length];
            }));""",
            published,
        )
        assert opened == [
            case["valid"] and [case["valid"], case["unverified"]] for case in published
        ]

    def test_merkle_inclusion(self, modules):
        assert modules.call("merkle", INCLUSION, merkle_cases("inclusion")) == [
            case["wantErr"] for case in merkle_cases("inclusion")
        ]

    def test_merkle_consistency(self, modules):
        assert modules.call("merkle", CONSISTENCY, merkle_cases("consistency")) == [
            case["wantErr"] for case in merkle_cases("consistency")
        ]

    def test_a_log_by_other_software(self, modules):
        meta = vectors.read_json("peer-verified-log/meta.json")
        proof = vectors.read_bytes("peer-verified-log/entry-42.tlog-proof").decode()
        entry = json.dumps({"n": 42, "m": "receipt"})
        opened = modules.run(
            """async ({ proof, entry, vkeys }) => {
              const { parseTlogProof } = await import("/js/verifier/tlog_proof.js");
              const { VerifierKey, openNote } = await import("/js/verifier/note.js");
              const { parseCheckpoint } = await import("/js/verifier/checkpoint.js");
              const merkle = await import("/js/verifier/merkle.js");
              const parsed = parseTlogProof(proof);
              const keys = await Promise.all(vkeys.map(VerifierKey.parse));
              const { text, signers } = await openNote(parsed.checkpoint, keys);
              const { origin, size, root } = parseCheckpoint(text);
              const leaf = await merkle.leafHash(new TextEncoder().encode(entry));
              const { index, hashes } = parsed;
              await merkle.verifyInclusion(index, size, leaf, hashes, root);
              return [origin, Number(size), signers.map(({ algorithm }) => algorithm)];
            }""",
            {
                "proof": proof,
                "entry": entry,
                "vkeys": [meta["log_vkey"], meta["witness_vkey"]],
            },
        )
        assert opened == [meta["origin"], 600, [1, 4]]


def merkle_cases(kind: str) -> list[dict[str, Any]]:
    found = vectors.names(f"transparency-dev-merkle/testdata/{kind}/**/*.json")
    assert len(found) > 50
    # As text: one index is beyond what a number holds.
    return [
        {
            name: str(v) if type(v) is int else v
            for name, v in vectors.read_json(path).items()
        }
        for path in found
    ]


def hostile_signatures() -> list[list[str]]:
    """Public key, message, signature, as nobody makes them in good faith."""
    made = []
    for key in [*LOW_ORDER, *NON_CANONICAL]:
        for message in range(8):
            made.append([key, bytes([message]).hex(), f"{key}{'00' * 32}"])
            made.append([key, bytes([message]).hex(), f"{'01' + '00' * 31}{'00' * 32}"])
    return made + [list(case) for case in twisted_signatures()]


def test_hostile_keys_and_signatures_are_refused_as_libsodium_does(modules):
    given_ = hostile_signatures()
    verified = modules.run(ED25519, given_)
    expected = [
        ed25519.verify(*(bytes.fromhex(text) for text in case)) for case in given_
    ]
    assert verified == expected
    # The last is an honest one, by the same arithmetic as the twisted ones.
    assert verified == [*[False] * (len(verified) - 1), True]


def test_a_key_is_good_where_libsodium_says_so(modules):
    keys = [*LOW_ORDER, *NON_CANONICAL, *map(hex_of, range(2, 40)), *MIXED_ORDER]
    refused = modules.call(
        "ed25519",
        """const { fromHex } = await import("/js/verifier/bytes.js");
        return Promise.all(argument.map((key) => isRefused(() =>
          it.checkPublicKey(fromHex(key)))));""",
        keys,
    )
    assert refused == [not is_good_key(key) for key in keys]
    assert not all(refused)


def hex_of(number: int) -> str:
    return number.to_bytes(32, "little").hex()


def is_good_key(key: str) -> bool:
    try:
        ed25519.check_public_key(bytes.fromhex(key))
    except ed25519.InvalidPublicKey:
        return False
    return True
