"""The page of one receipt: what an auditor reads there, and takes away to verify."""

import json
import re
import uuid
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from receipts import merkle
from receipts.verifier import Verdict, verify
from tests.caller import RUN
from tests.conftest import new_caller
from tests.orchestrations.runs import post, record, start
from tests.orchestrations.test_reprice_calls import OURS, run_reprice, set_price
from tests.receipts.auditor import grow, vkey
from tests.receipts.key_operator import active_kid, published, revoke, rotate
from tests.receipts.tampering import change_entry, change_receipt, log_row, unguarded
from tests.tenants.people import Person, after, events_of, new_person


@pytest.fixture
def auditor(acme) -> Person:
    return new_person(acme, "auditor")


def path_of(receipt: Any) -> str:
    return f"/receipts/{receipt['receipt_id']}"


def page(person: Person, receipt: Any, **query: Any) -> str:
    answer = person.get(path_of(receipt), data=query)
    assert answer.status_code == 200, answer.content
    text: str = answer.content.decode()
    return text


def seen(html: str) -> str:
    """What a reader sees of it, the spaces evened out."""
    return " ".join(unescape(re.sub("<[^>]+>", "", html)).split())


def answer(html: str) -> str:
    """The sentence that the page opens with."""
    return seen(html.partition('<p class="answer">')[2].partition("</p>")[0])


def facts(html: str) -> dict[str, str]:
    rows = re.findall(r'<tr><th scope="row">(.*?)</th><td[^>]*>(.*?)</td>', html, re.S)
    return {seen(label): seen(value) for label, value in rows}


def newest(caller: Any, receipt_type: str) -> dict[str, Any]:
    answer = caller.get(f"/v1/receipts?receipt_type={receipt_type}&limit=1")
    receipt: dict[str, Any] = answer.json()["receipts"][0]
    return receipt


class TestTheAnswer:
    def test_says_when_by_whom_and_where_and_claims_no_check(self, alice, auditor):
        grow(alice, 3)
        receipt = alice.record()
        sentence = answer(page(auditor, receipt))
        assert re.fullmatch(
            r"Signed \d+ \w{3} \d{4} \d\d:\d\d UTC by key"
            rf" {receipt['signer_kid']}; in the log at 3; not checked by this server"
            r" yet\. Check on this server",
            sentence,
        )

    def test_says_nothing_of_validity_before_a_check(self, alice, auditor):
        html = page(auditor, alice.record())
        # But that the browser has not verified it yet.
        before, _, rest = html.partition('<section class="verifier"')
        told = seen(before + rest.partition("</section>")[2])
        assert not re.search(r"\bverified\b|\bValid\b", told)

    def test_says_who_checked_and_what_came_of_it(self, alice, auditor):
        text = page(auditor, alice.record(), check="server")
        assert "checked by this server" in answer(text)
        assert answer(text).endswith("Valid, reported by the agent.")
        assert 'class="verdict good">The signature is by the key named' in text

    def test_of_test_data_says_so(self, acme, auditor):
        receipt = new_caller(acme, mode="test").record()
        text = page(auditor, receipt, mode="test")
        assert "in the test log at 0" in answer(text)


class TestPlainWords:
    def test_of_a_run(self, alice, auditor):
        receipt = alice.record(
            run_id="run-1",
            timestamp=1_700_000_000,
            total_latency_ms=1234,
            trace_id="trace",
            attestation={"nested": [1.5, "<b>"]},
        )
        text = page(auditor, receipt)
        said = facts(text)
        assert said["Run id"] == "run-1"
        assert said["Time claimed"] == "14 Nov 2023 22:13 UTC"
        assert (said["Tokens in"], said["Tokens out"]) == ("42", "128")
        assert said["Time in all"] == "1,234 ms"
        assert said["Hash of the policy"] == RUN["policy_hash"]
        assert "Reported by the agent." in text
        assert "Attestation, as it came" in text
        assert "&quot;&lt;b&gt;&quot;" in text
        assert "this one has no hash of any" in seen(text)

    def test_of_a_call_with_its_price(self, alice, auditor):
        run = start(alice)
        hashes = {"input_hash": "a" * 64, "output_hash": "b" * 64}
        usage = {"input_tokens": 42, "output_tokens": 128}
        claims = {"usage": usage, "cost_cents": None, "model": "claude-sonnet-4-5"}
        called = record(alice, run, **claims, **hashes)
        text = page(auditor, called)
        said = facts(text)
        assert said["Hash of the input"] == "a" * 64
        assert said["Output tokens"] == "128"
        assert "by the bundled price list" in text
        list_price = called["list_price_cents"] / 100
        assert f"List price ${list_price}" in text
        assert "List price, by genai-prices" in text
        assert f"orchestration_id={run.replace(':', '%3A')}" in text

    def test_of_a_call_that_nobody_can_price(self, alice, auditor):
        run = start(alice)
        called = record(alice, run, model="new", provider="custom", cost_cents=None)
        text = seen(page(auditor, called))
        assert "unpriced: no price is known for this model" in text
        assert "$0.00" not in text

    def test_of_a_run_that_ended_with_the_calls_it_covers(self, alice, auditor):
        run = start(alice)
        record(alice, run)
        record(alice, run)
        assert post(alice, run, "complete", {}).status_code == 200
        text = page(auditor, newest(alice, "orchestration"))
        said = facts(text)
        assert said["Calls covered"] == "2"
        assert said["Cost of the calls"] == "$0.005"
        assert said["Status"] == "completed"
        assert "Written by this server." in text
        href = f"orchestration_id={run.replace(':', '%3A')}&amp;receipt_type=inference"
        assert href in text
        assert "The 2 calls that this receipt covers" in text

    def test_of_an_action(self, alice, auditor):
        body = {
            "agent_id": "a",
            "receipt_type": "tool",
            "action": "opened a claim",
            "purpose": "to pay",
            "metadata": {"claim": 7},
            "inputs_hash": "c" * 64,
        }
        made = alice.post("/v1/agent-receipts", body).json()
        text = page(auditor, made)
        said = facts(text)
        assert said["Purpose"] == "to pay"
        assert said["Hash of the inputs"] == "c" * 64
        assert "Something that an agent did: opened a claim" in text
        assert "Metadata, as it came" in text

    def test_of_a_change_of_keys(self, alice, auditor):
        old = alice.record()["signer_kid"]
        rotate(alice)
        said = facts(page(auditor, newest(alice, "key_rotation")))
        assert said["Old key"] == old
        assert said["New key"] == active_kid(alice)
        assert said["Reason"] == "once a year"

    def test_of_an_adjustment_and_of_the_call_that_it_prices(self, alice, auditor):
        called = record(alice, start(alice), **OURS)
        set_price(alice.tenant, 100)
        run_reprice(alice.tenant, "--reason", "a price at last")
        adjustment = newest(alice, "adjustment")
        text = page(auditor, adjustment)
        assert "From unpriced to $0.017, by a price of this tenant's own." in seen(text)
        assert facts(text)["Reason"] == "a price at last"
        assert f'{path_of(called)}">The call that this receipt prices anew' in text
        text = page(auditor, called)
        assert f'{path_of(adjustment)}">the newest adjustment' in text

    @pytest.mark.parametrize("name", ["model_passport_id", "runtime", "run_id"])
    def test_of_hostile_text_are_text(self, alice, auditor, name):
        hostile = ('"><script>alert(1)<' + "|" * 200)[:100]
        text = page(auditor, alice.record(**{name: hostile}))
        assert "<script>a" not in text
        assert hostile in unescape(text)

    def test_leave_no_member_out(self, alice, auditor):
        record(alice, start(alice), step_name="s", request_id="r", sequence=3)
        receipt = newest(alice, "inference")
        text = unescape(page(auditor, receipt))
        for name in ("step_name", "request_id", "receipt_signature", "signer_pubkey"):
            assert str(receipt[name]) in text


class TestTheKey:
    def state(self, person: Person, receipt: Any) -> str:
        return facts(page(person, receipt))["State of the key"]

    def test_in_use(self, alice, auditor):
        assert self.state(auditor, alice.record()) == (
            "In use. Its signatures count from entry 0 on."
        )

    def test_replaced(self, alice, auditor):
        receipt = alice.record()
        rotate(alice)
        assert self.state(auditor, receipt) == (
            "Replaced by a newer key. Its signatures count for entries 0 to 1."
        )

    @pytest.mark.parametrize(
        ("last_valid", "words", "verdict"),
        [
            (
                1,
                "Key revoked later.",
                "Valid, reported by the agent; key revoked later",
            ),
            (0, "Revoked. Its sig", "Not valid: the key was revoked before this entry"),
            (-1, "Revoked. No sig", "Not valid: the key was revoked before this entry"),
        ],
    )
    def test_revoked(self, alice, auditor, last_valid, words, verdict):
        grow(alice, 1)
        receipt = alice.record()
        revoke(alice, receipt["signer_kid"], last_valid)
        assert self.state(auditor, receipt).startswith(words)
        text = page(auditor, receipt, check="server")
        assert answer(text).endswith(f"{verdict}.")
        assert f'class="notice{" error" if last_valid < 1 else ""}"' in text

    def test_unknown(self, alice, auditor):
        receipt = alice.record()
        change_receipt(alice, 0, signer_kid="nobody")
        assert self.state(auditor, receipt).startswith("This log has never had a key")


class TestThePath:
    @pytest.mark.parametrize(("size", "index"), [(1, 0), (2, 1), (7, 6), (7, 2)])
    def test_leads_from_the_leaf_to_the_root(self, alice, auditor, size, index):
        receipt = grow(alice, size)[index]
        text = page(auditor, receipt)
        table = text.partition('<table class="steps-up">')[2].partition("</table>")[0]
        rows = re.findall(
            r'hash">([0-9a-f]{64})</td>\s*<td>(left|right)</td>\s*'
            r'<td class="hash">([0-9a-f]{64})',
            table,
        )
        (digest,) = re.findall(r"([0-9a-f]{64}) \(leaf\)", table)
        for sibling, side, together in rows:
            pair = [bytes.fromhex(sibling), bytes.fromhex(digest)]
            digest = merkle.node_hash(*(pair if side == "left" else pair[::-1])).hex()
            assert together == digest
        assert digest == bytes(log_row(alice).root).hex()
        assert text.count('<g class="sibling">') == len(rows)
        assert "the root of the log's newest tree." in text

    def test_is_a_picture_with_words(self, alice, auditor):
        text = page(auditor, grow(alice, 3)[0])
        assert 'role="img" aria-labelledby="merkle-title merkle-text"' in text
        assert '<title id="merkle-title">' in text
        assert '<desc id="merkle-text">' in text


class TestTamperedWith:
    def test_a_changed_claim_is_not_valid(self, alice, auditor):
        receipt = alice.record()
        change_entry(alice, 0, runtime="another")
        text = page(auditor, receipt, check="server")
        assert answer(text).endswith("what is stored is not what was signed.")
        assert "The body has another hash" in text

    def test_an_entry_that_is_no_receipt_is_shown_as_it_is(self, alice, auditor):
        receipt = alice.record()
        change_receipt(alice, 0, entry=b'{"a": <b>')
        text = page(auditor, receipt, check="server")
        assert "cannot be read as a receipt" in text
        assert "{&quot;a&quot;: &lt;b&gt;" in text
        assert 'class="verdict bad"' in text

    @pytest.mark.parametrize(
        "members",
        [
            {"adjusts": "x", "cost": 7, "metrics": [], "usage": None},
            {"adjusts": {"receipt_id": 7}, "timestamp": 10**15, "model": {}},
            {"adjusts": {"receipt_id": "7"}, "cost": {"cents": "NaN"}},
            {"cost": {"after_cents": "x", "source": [], "list_price_buckets": {"": 1}}},
            {"receipt_type": ["x"], "inferences": {"count": "many"}, "observed": 3},
        ],
    )
    def test_members_of_another_shape_are_shown_all_the_same(
        self, alice, auditor, members
    ):
        receipt = alice.record()
        change_entry(alice, 0, **members)
        page(auditor, receipt, check="server")
        assert auditor.get("/receipts").status_code == 200

    def test_a_log_that_has_lost_rows_says_so(self, alice, auditor):
        from receipts.models import Receipt

        receipts = grow(alice, 3)
        with unguarded(Receipt):
            Receipt.objects.filter(tenant=alice.tenant, leaf_index=1).delete()
        text = page(auditor, receipts[0], check="server")
        assert "the log has lost rows" in text
        assert "Not valid: it is not in the log" in answer(text)


FILES = ["receipt.json", "proof.json", "receipt.tlog-proof"]


class TestFiles:
    def get(self, person: Person, receipt: Any, name: str) -> bytes:
        answer = person.get(f"{path_of(receipt)}/{name}")
        assert answer.status_code == 200
        assert answer["Content-Disposition"].startswith("attachment")
        content: bytes = answer.content
        return content

    def test_verify_offline(self, alice, auditor):
        receipt = grow(alice, 5)[2]
        ours, proof, tlog_proof = (self.get(auditor, receipt, n) for n in FILES)
        pinned = [vkey(alice)]
        assert verify(ours, proof, pinned).verdict == Verdict.VALID
        keys = json.dumps({"keys": [*published(alice).values()]})
        from receipts.key_set import from_jwks

        key_sets = from_jwks(json.loads(keys))
        assert verify(ours, tlog_proof, pinned, key_sets).verdict == Verdict.VALID

    def test_are_as_the_api_answers_them(self, alice, auditor):
        receipt = alice.record(attestation={"n": [1e21, 0.1, "ü"]})
        ours = json.loads(self.get(auditor, receipt, "receipt.json"))
        assert ours == {"success": True, "receipt": receipt}
        proof = json.loads(self.get(auditor, receipt, "proof.json"))["proof"]
        name = receipt["receipt_id"]
        theirs = alice.get(f"/v1/receipts/{name}/proof").json()["proof"]
        assert proof == theirs

    def test_are_linked_from_the_page(self, acme, alice, auditor):
        receipt = alice.record()
        text = page(auditor, receipt)
        for name in FILES:
            assert f'href="/t/{acme.slug}{path_of(receipt)}/{name}"' in text

    def test_the_command_on_the_page_has_the_logs_own_key(self, alice, auditor):
        text = unescape(page(auditor, alice.record()))
        assert f"--key '{vkey(alice)}'" in text


class TestEvents:
    def told(self, tenant: Any) -> list[tuple[str, str, str]]:
        return [(e.action, e.object_id, e.actor_name) for e in events_of(tenant)]

    def test_reading_is_one(self, acme, alice, auditor):
        receipt = alice.record()
        page(auditor, receipt)
        email = auditor.user.email
        assert self.told(acme) == [("receipt.read", receipt["receipt_id"], email)]

    def test_a_check_is_another(self, acme, alice, auditor):
        page(auditor, alice.record(), check="server")
        read, verified = events_of(acme)
        assert (read.action, verified.action) == ("receipt.read", "receipt.verified")
        assert verified.actor_kind == "person"
        assert after(verified) == {"verdict": "VALID"}

    @pytest.mark.parametrize("name", FILES)
    def test_a_download_is_one(self, acme, alice, auditor, name):
        receipt = alice.record()
        assert auditor.get(f"{path_of(receipt)}/{name}").status_code == 200
        (event,) = events_of(acme)
        assert (event.action, event.object_id) == (
            "receipt.downloaded",
            receipt["receipt_id"],
        )
        assert receipt["receipt_id"] in after(event)["file"]

    def test_what_is_not_there_is_none(self, acme, auditor):
        assert auditor.get(f"/receipts/{uuid.uuid4()}").status_code == 404
        assert events_of(acme) == []

    def test_nothing_is_shown_where_none_can_be_written(
        self, alice, auditor, monkeypatch
    ):
        receipt = alice.record(run_id="secret run")

        def refuse(*given, **named):
            raise OSError("the disk is full")

        monkeypatch.setattr("tenants.events.record", refuse)
        auditor.client.raise_request_exception = False
        for path in ("", *(f"/{name}" for name in FILES)):
            answer = auditor.get(path_of(receipt) + path)
            assert answer.status_code == 500
            assert b"secret run" not in answer.content


@pytest.mark.parametrize("file", ["", *(f"/{name}" for name in FILES)])
class TestOthers:
    def test_what_is_not_theirs_or_not_there_is_all_the_same(
        self, charlie, auditor, file
    ):
        nothing = {"receipt_id": str(uuid.uuid4())}
        for mode in ("", "?mode=test"):
            answers = [
                auditor.get(path_of(receipt) + file + mode)
                for receipt in (charlie.record(), nothing)
            ]
            assert [answer.status_code for answer in answers] == [404, 404]
            assert len({answer.content for answer in answers}) == 1

    def test_a_receipt_is_of_one_mode(self, acme, alice, auditor, file):
        tests = new_caller(acme, mode="test").record()
        for receipt, right, wrong in (
            (alice.record(), "", "?mode=test"),
            (tests, "?mode=test", ""),
        ):
            path = path_of(receipt) + file
            assert auditor.get(path + right).status_code == 200
            answer = auditor.get(path + wrong)
            if file:
                assert answer.status_code == 404
            else:
                assert (answer.status_code, answer["Location"]) == (302, path + right)

    def test_an_analyst_is_refused(self, acme, alice, file):
        analyst = new_person(acme, "analyst")
        answer = analyst.get(path_of(alice.record()) + file)
        assert answer.status_code == 403
        assert RUN["model_passport_id"] not in answer.content.decode()
        assert events_of(acme) == []


@pytest.mark.parametrize("query", [{}, {"check": "server"}])
def test_its_queries_are_few_in_a_log_of_any_size(alice, auditor, query):
    receipt = grow(alice, 600)[300]
    with CaptureQueriesContext(
        connection,
    ) as asked:
        page(auditor, receipt, **query)
    assert len(asked) <= 15, [query["sql"] for query in asked]
