"""Verifying a receipt on its page, and what the browser remembers of its log."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from receipts import ed25519, note
from receipts.note import VerifierKey
from tests.browser.lying_server import Lying, log_of
from tests.browser.reading import barriers, beyond_the_edge
from tests.receipts.small_log import ORIGIN

pytestmark = pytest.mark.slow

RUN = {
    "model_passport_id": "ppt_model_7xK9mQ2v",
    "compute_passport_id": "ppt_compute_Xn5vR2kJ",
    "policy_hash": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "runtime": "vllm",
    "ttft_ms": 85,
    "tokens_in": 42,
    "tokens_out": 128,
}
OTHER_SIGNER = ed25519.Signer(b"another".ljust(32, b"."))
OTHER_VKEY = str(VerifierKey.of(ORIGIN, OTHER_SIGNER.public_key))


def report(site, count: int = 1) -> str:
    """Report runs; return the id of the last receipt."""
    with site.server.client(site.account) as client:
        for _ in range(count):
            answer = client.post("/v1/receipts", RUN).json()
    return str(answer["receipt"]["receipt_id"])


@pytest.fixture(scope="module")
def receipt_id(site) -> str:
    return report(site, 5)


@pytest.fixture
def page(auditor, receipt_id) -> Page:
    auditor.goto(f"/receipts/{receipt_id}")
    return auditor


@pytest.fixture
def lying(page) -> Lying:
    """The page with whatever log the test likes behind it."""
    served = Lying(log_of(3))
    served.serve(page.context)
    return served


def press(page: Page) -> str:
    """Have it verified, and return the sentence that says what came of it."""
    # No sentence is left that came before.
    page.evaluate("document.querySelector('[data-verdict]').textContent = ''")
    page.locator("[data-verify]").click()
    expect(page.locator("[data-verify]")).to_be_enabled()
    return page.locator("[data-verdict] .answer").inner_text()


def steps(page: Page) -> list[str]:
    """The kind of each step's verdict, in their order."""
    classes = page.locator(".checks > li > .verdict").evaluate_all(
        "all => all.map((it) => it.className)"
    )
    return [name.removeprefix("verdict ") for name in classes]


def last_step(page: Page) -> str:
    return page.locator(".checks > li").last.inner_text()


def remembered(page: Page) -> dict[str, Any]:
    kept = page.evaluate("Object.fromEntries(Object.entries(localStorage))")
    return {
        name.removeprefix("lucid.log."): json.loads(value)
        for name, value in kept.items()
        if name.startswith("lucid.log.")
    }


def refuse(route: Route, status: int | None) -> None:
    if status is None:
        route.abort()
    elif status == 302:
        route.fulfill(status=302, headers={"Location": "/login"})
    else:
        route.fulfill(status=status)


class TestAReceipt:
    def test_nothing_says_verified_before_the_reader_asks(self, page):
        part = page.locator("#verify-here")
        expect(part).to_contain_text("Not verified in this browser yet")
        assert "Valid" not in part.inner_text()
        assert steps(page) == []

    def test_it_is_valid_step_by_step(self, page):
        sentence = press(page)
        assert re.fullmatch(
            r"Valid: signed by key \S+, entry \d+ of the log \S+ \(\d+ entries\),"
            r" verified in this browser at \d\d:\d\d\.",
            sentence.strip().removeprefix("✓").strip(),
        )
        assert steps(page) == [*["good"] * 9, "open"]
        assert "seen nothing of this log before" in last_step(page)
        notes = page.locator(".notes").inner_text()
        assert "Ed25519 by this browser\u2019s WebCrypto" in notes
        assert re.search(r"\d+ ms in all", notes)

    def test_what_was_computed_can_be_unfolded(self, page):
        press(page)
        step = page.locator(".checks > li").nth(1)
        step.get_by_text("What was computed").click()
        computed, stated = (
            step.locator(f"dt:text-is('SHA-256, {what}') + dd").inner_text()
            for what in ("computed", "in the receipt")
        )
        assert computed == stated
        assert len(computed) == 64

    def test_the_server_is_asked_for_the_two_files_and_for_nothing_else(self, page):
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        press(page)
        told = [url.rsplit("/", 1)[1] for url in asked if "/static/" not in url]
        assert told == ["receipt.json", "proof.json"]

    def test_it_is_loaded_when_the_reader_asks(self, page):
        scripts = page.evaluate(
            "performance.getEntriesByType('resource').map((it) => it.name)"
        )
        assert not [url for url in scripts if "/verifier/" in url or "noble" in url]

    def test_where_it_does_not_load_nothing_is_verified(self, page, browser, site):
        # One that may complain.
        context = browser.new_context(storage_state=site.sessions["auditor"])
        context.route("**/js/verifier/verify.js", lambda route: route.abort())
        asking = context.new_page()
        asking.goto(page.url)
        asking.locator("[data-verify]").click()
        part = asking.locator("#verify-here")
        expect(part).to_contain_text("Nothing was verified: the verifier did not load")
        expect(part).to_contain_text("python verify.py")
        context.close()

    def test_the_verdict_is_told_to_those_who_hear_it(self, page):
        live = page.get_by_role("status").filter(has=page.locator(".answer"))
        press(page)
        expect(live).to_contain_text("Valid")
        expect(live).to_have_attribute("aria-live", "polite")

    def test_the_keyboard_is_enough(self, page):
        page.locator("[data-verify]").focus()
        page.keyboard.press("Enter")
        expect(page.locator("[data-verdict]")).to_contain_text("Valid")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.tagName") == "SUMMARY"

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [360, 1200])
    def test_it_can_be_read_by_everybody(self, page, scheme, width):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        press(page)
        for summary in page.locator("#verify-here summary").all():
            summary.click()
        assert beyond_the_edge(page) == []
        assert barriers(page) == []

    @pytest.mark.parametrize("name", ["receipt", "proof"])
    def test_what_is_no_receipt_or_proof_is_not_valid(self, page, name):
        page.context.route(f"**/{name}.json", lambda route: route.fulfill(body="{"))
        assert "Not valid (INVALID)" in press(page)
        where = page.locator("[data-verdict] dt:text-is('Where') + dd")
        expect(where).to_have_text(name)

    @pytest.mark.parametrize("status", [302, 404, 500, None])
    def test_a_server_that_gives_none_leaves_it_open(self, page, browser, site, status):
        # One that may complain.
        context = browser.new_context(storage_state=site.sessions["auditor"])
        context.route("**/proof.json", lambda route: refuse(route, status))
        asking = context.new_page()
        asking.goto(page.url)
        sentence = press(asking)
        assert "Nothing was verified" in sentence
        assert "alid" not in sentence
        context.close()

    def test_without_scripts_it_says_what_to_do(self, open_page, receipt_id):
        page = open_page("auditor", java_script_enabled=False)
        page.goto(f"/receipts/{receipt_id}")
        expect(page.locator("#verify-here")).to_contain_text("python verify.py")
        expect(page.locator("[data-verify]")).to_be_hidden()


class TestATamperedReceipt:
    @pytest.mark.parametrize(
        ("name", "value", "verdict", "where"),
        [
            ("run_id", "another", "INVALID", "receipt_hash"),
            ("metrics", {"tokens_in": 1}, "INVALID", "receipt_hash"),
            ("verified", True, "INVALID", "receipt_hash"),
            ("receipt_signature", "00" * 64, "INVALID", "receipt_signature"),
            ("receipt_signature", "", "UNSIGNED", "receipt_hash"),
            ("signer_kid", "another", "UNKNOWN_KEY", "signer_kid"),
            ("signer_type", "somebody", "NOT_IN_LOG", "inclusion"),
            ("_mmr_leaf_index", 2, "INVALID", "_mmr_leaf_index"),
        ],
    )
    def test_it_is_shown_as_such(self, page, lying, name, value, verdict, where):
        lying.receipt = lying.log.receipt(1) | {name: value}
        sentence = press(page)
        assert f"({verdict})" in sentence
        assert "✓" not in sentence
        answer = page.locator("[data-verdict]")
        expect(answer.locator("dt:text-is('Where') + dd")).to_have_text(where)
        kinds = steps(page)
        assert kinds.count("bad") == 1
        assert set(kinds[kinds.index("bad") + 1 :]) <= {"open"}
        assert remembered(page) == {}

    def test_markup_in_it_is_text(self, page, lying):
        lying.receipt = lying.log.receipt(1) | {"signer_kid": "<img src=x>"}
        press(page)
        assert page.locator("#verify-here img").count() == 0
        assert "<img src=x>" in page.locator("[data-verdict]").inner_text()


class TestWhatTheBrowserRemembers:
    def test_the_log_as_it_was_seen_first(self, page, lying):
        press(page)
        kept = remembered(page)[ORIGIN]
        assert [key["vkey"] for key in kept["keys"]] == [lying.log.vkey]
        assert kept["checkpoint"] == lying.log.checkpoint()
        assert "remembers the log\u2019s key and this checkpoint" in page.content()

    def test_nothing_of_a_log_that_did_not_verify(self, page, lying):
        lying.proof = lying.log.proof(1) | {"root": "00" * 32}
        press(page)
        assert remembered(page) == {}

    def test_the_same_log(self, page, lying):
        press(page)
        assert "Valid" in press(page)
        assert steps(page)[-1] == "good"
        assert "The same 3 entries" in last_step(page)
        assert "one that this browser remembers" in page.content()

    def test_a_log_that_has_grown_is_remembered_as_it_is_now(self, page, lying):
        press(page)
        lying.log = log_of(7)
        assert "Valid" in press(page)
        assert "All 3 entries" in last_step(page)
        assert remembered(page)[ORIGIN]["checkpoint"] == lying.log.checkpoint()

    def test_an_earlier_checkpoint_of_its_history_is_fine(self, page, lying):
        lying.log = log_of(7)
        press(page)
        # The server has the longer log still; the proof is one of last week.
        lying.receipt, lying.proof = log_of(3).receipt(1), log_of(3).proof(1)
        assert "Valid" in press(page)
        assert "the first of the 7" in last_step(page)
        assert remembered(page)[ORIGIN]["checkpoint"] == lying.log.checkpoint()

    @pytest.mark.parametrize("size", [3, 7])
    def test_a_forked_log_is_found_out(self, page, lying, size):
        press(page)
        before = remembered(page)
        lying.log = log_of(size, forked_at=2)
        sentence = press(page)
        assert "The log shows two histories (INCONSISTENT)" in sentence
        assert steps(page) == [*["good"] * 9, "bad"]
        assert remembered(page) == before

    def test_a_forged_proof_of_its_growth_is_found_out(self, page, lying):
        press(page)
        lying.log = log_of(7, forked_at=2)
        lying.consistency = {"origin": ORIGIN, "from": 3, "to": 7, "proof": ["00" * 32]}
        assert "(INCONSISTENT)" in press(page)

    def test_a_log_that_has_shrunk_is_found_out(self, page, lying):
        lying.log = log_of(7)
        press(page)
        lying.log = log_of(3)
        sentence = press(page)
        assert "(INCONSISTENT)" in sentence
        assert "it has 3 entries, and has signed 7" in sentence

    def test_both_checkpoints_can_be_kept_as_evidence(self, page, lying):
        press(page)
        lying.log = log_of(3, forked_at=2)
        press(page)
        with page.expect_download() as download:
            page.get_by_text("Save both checkpoints").click()
        text = download.value.path().read_text()
        assert log_of(3).checkpoint() in text
        assert lying.log.checkpoint() in text

    def test_without_a_proof_nothing_is_claimed(self, page, lying):
        press(page)
        before = remembered(page)
        lying.log = log_of(7)
        lying.consistency = "none"
        sentence = press(page)
        assert "Valid" in sentence
        assert "Not compared" in sentence
        assert steps(page)[-1] == "warn"
        assert remembered(page) == before

    def test_another_key_is_not_taken_silently(self, page, lying):
        press(page)
        lying.log = log_of(7, signer=OTHER_SIGNER)
        sentence = press(page)
        assert "(UNKNOWN_KEY)" in sentence
        assert "The log shows another key" in page.locator(".decision").inner_text()
        assert OTHER_VKEY in page.locator(".decision").inner_text()
        assert len(remembered(page)[ORIGIN]["keys"]) == 1

    def test_a_key_that_the_reader_has_compared_is_known_from_then_on(
        self, page, lying
    ):
        press(page)
        lying.log = log_of(7, signer=OTHER_SIGNER)
        press(page)
        page.get_by_role("button", name="remember it too").click()
        expect(page.locator("[data-verdict]")).to_contain_text("Valid")
        assert "All 3 entries" in last_step(page)
        assert len(remembered(page)[ORIGIN]["keys"]) == 2

    def test_a_new_key_beside_the_known_one_is_valid_and_told_of(self, page, lying):
        press(page)
        proof = lying.log.proof(1)
        for name in ("checkpoint", "key_set"):
            text = note.parse(proof[name])[0]
            proof[name] += note.sign(text, ORIGIN, OTHER_SIGNER)
        lying.proof = proof | {"vkey": OTHER_VKEY}
        assert "Valid" in press(page)
        assert "another key beside" in page.locator(".decision").inner_text()
        assert len(remembered(page)[ORIGIN]["keys"]) == 1

    def test_it_can_be_looked_at_and_forgotten(self, page, lying):
        press(page)
        page.get_by_text("What this browser remembers", exact=True).click()
        box = page.locator("[data-remembered-logs]")
        expect(box).to_contain_text(lying.log.vkey)
        expect(box).to_contain_text(ORIGIN)
        page.get_by_role("button", name=f"Forget {ORIGIN}").click()
        expect(box).to_contain_text("Nothing yet")
        assert remembered(page) == {}
        lying.log = log_of(3, forked_at=2)
        assert "Valid" in press(page)

    def test_what_cannot_be_read_is_said(self, page, lying):
        page.evaluate(
            "(name) => localStorage.setItem(name, '{')", f"lucid.log.{ORIGIN}"
        )
        assert "Nothing was verified" in press(page)
        assert "cannot be read" in page.locator("[data-verdict]").inner_text()


class TestARealLog:
    def test_it_grows_from_visit_to_visit(self, page, site, receipt_id):
        press(page)
        (before,) = remembered(page).values()
        newer = report(site, 3)
        page.goto(f"/receipts/{newer}")
        assert "Valid" in press(page)
        assert "that this browser remembers are among" in last_step(page)
        (after,) = remembered(page).values()
        assert before["keys"] == after["keys"]
        assert before["checkpoint"] != after["checkpoint"]
        page.goto(f"/receipts/{receipt_id}")
        assert "Valid" in press(page)
