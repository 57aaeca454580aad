"""Files dropped on /verify: matched, verified, and sent nowhere."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import FilePayload, Page, expect

from receipts import canonical, ed25519, merkle
from receipts.note import VerifierKey
from tests.browser.lying_server import log_of
from tests.browser.reading import barriers, beyond_the_edge
from tests.browser.test_verify_here import last_step, remembered, report
from tests.receipts.bundles import bundle, packed, resealed, unpacked
from tests.receipts.small_log import LOG_KEY, ORIGIN, SmallLog, body, receipt_key, seal

pytestmark = pytest.mark.slow

LOG = log_of(7)
STRANGER = ed25519.Signer(bytes(32))


def file(name: str, data: Any) -> FilePayload:
    if not isinstance(data, bytes | str):
        data = json.dumps(data)
    data = data.encode() if isinstance(data, str) else data
    return {"name": name, "mimeType": "application/octet-stream", "buffer": data}


def receipt(index: int, log: SmallLog = LOG) -> FilePayload:
    return file(f"receipt-{index}.json", log.receipt(index))


def proof(index: int, log: SmallLog = LOG) -> FilePayload:
    return file(f"proof-{index}.json", log.proof(index))


def tlog_proof(index: int, log: SmallLog = LOG) -> FilePayload:
    return file(f"{index}.tlog-proof", log.tlog_proof(index))


JWKS = file("keys.json", LOG.jwks())
KEY_SET = file("keys.txt", LOG.signed(LOG.key_set().text()))


class Quick(SmallLog):
    """Hashes everything once: for a log that is not small."""

    def __init__(self, entries):
        super().__init__(entries)
        self._leaves = super().leaf_hashes()
        self._nodes = {}

    def leaf_hashes(self):
        return self._leaves

    def node(self, level, index):
        if level == 0:
            return self._leaves[index]
        if (level, index) not in self._nodes:
            children = (self.node(level - 1, 2 * index + side) for side in (0, 1))
            self._nodes[level, index] = merkle.node_hash(*children)
        return self._nodes[level, index]


@dataclass
class Desk:
    """The page with the requests it makes once it is there."""

    page: Page
    asked: list[str] = field(default_factory=list)

    def choose(self, *files: FilePayload) -> str:
        """Give it files; return the sentence that sums them up."""
        self._clear()
        self.page.set_input_files("#files", list(files))
        return self.answer()

    def _clear(self) -> None:
        """Let no sentence stand that came before."""
        self.page.evaluate("document.querySelector('[data-verdict]').textContent = ''")

    def answer(self) -> str:
        expect(self.page.locator("[data-verdict] .answer")).to_be_visible()
        return self.page.locator("[data-verdict]").inner_text()

    def pin(self, *, vkey: str = "", origin: str = "", jwks: str = "") -> str:
        if not self.page.locator("#pin-vkey").is_visible():
            self.page.get_by_text("What you know from elsewhere").first.click()
        self.page.fill("#pin-vkey", vkey)
        self.page.fill("#pin-origin", origin)
        self.page.fill("#pin-jwks", jwks)
        self._clear()
        self.page.get_by_role("button", name="Verify again with these").click()
        return self.answer() if not self.errors() else ""

    def errors(self) -> list[str]:
        self.page.wait_for_timeout(200)
        return [
            text for text in self.page.locator("[data-error]").all_inner_texts() if text
        ]

    def notes(self) -> str:
        return self.page.locator(".notes").first.inner_text()


@pytest.fixture
def desk(stranger) -> Desk:
    stranger.goto("/verify")
    expect(stranger.locator("#files")).to_be_visible()
    made = Desk(stranger)
    stranger.on("request", lambda request: made.asked.append(request.url))
    return made


class TestReceiptsWithTheirProofs:
    def test_one_is_valid_with_what_was_not_pinned_said(self, desk):
        assert "Valid: signed by key" in desk.choose(receipt(3), proof(3))
        assert "The log\u2019s key was not pinned" in desk.notes()
        assert "The origin was not pinned" in desk.notes()
        assert "The receipt keys were not pinned" in desk.notes()

    def test_nothing_leaves_the_page(self, desk):
        desk.choose(receipt(3), proof(3), receipt(2), proof(2), JWKS)
        desk.choose(file("evidence.zip", bundle()))
        assert [url for url in desk.asked if "/static/" not in url] == []

    def test_once_it_is_loaded_it_needs_no_network(self, desk):
        desk.page.get_by_role("button", name="load the verifier now").click()
        expect(desk.page.get_by_text("disconnect if you like")).to_be_visible()
        desk.page.context.set_offline(True)
        assert "Valid" in desk.choose(receipt(3), proof(3))
        assert "Valid" in desk.choose(file("evidence.zip", bundle()))

    def test_many_are_matched_by_what_is_in_them(self, desk):
        files = [proof(5), receipt(1), JWKS, proof(1), receipt(5), receipt(0), proof(0)]
        shuffled = [given | {"name": f"{n}"} for n, given in enumerate(files)]
        assert "3 valid" in desk.choose(*shuffled)
        assert "The receipt keys are those of 2." in desk.notes()

    def test_the_answers_of_the_api_as_they_came(self, desk):
        answers = [
            file("a", {"success": True, "receipt": LOG.receipt(3)}),
            file("b", {"success": True, "proof": LOG.proof(3)}),
        ]
        assert "Valid" in desk.choose(*answers)

    def test_a_proof_alone_brings_its_receipt(self, desk):
        assert "Valid" in desk.choose(proof(3))

    def test_a_tampered_one_is_told_of_beside_good_ones(self, desk):
        spoilt = file("spoilt.json", LOG.receipt(3) | {"run_id": "another"})
        sentence = desk.choose(receipt(2), proof(2), spoilt, proof(3))
        assert "1 valid, 1 not valid" in sentence
        mark = desk.page.locator("[data-verdict] .verdict")
        expect(mark).to_have_class("verdict bad")
        box = desk.page.locator("article").filter(has_text="spoilt.json")
        expect(box).to_contain_text("Not valid (INVALID)")

    def test_the_last_two_are_taken_for_a_pair_and_are_none(self, desk):
        desk.choose(receipt(2), tlog_proof(3), JWKS)
        assert "(NOT_IN_LOG)" in desk.pin(vkey=str(LOG_KEY))

    def test_a_receipt_alone_is_not_checked(self, desk):
        assert "1 not checked" in desk.choose(receipt(2))
        assert "drop its proof" in desk.page.locator("article").inner_text()

    def test_a_file_of_another_kind_is_told_so(self, desk):
        desk.choose(receipt(2), proof(2), file("notes.txt", "Hello\n"))
        box = desk.page.locator("article").filter(has_text="notes.txt")
        expect(box).to_contain_text("Not a file that can be verified")

    def test_two_histories_among_the_files_are_found_out(self, desk):
        forked = log_of(7, forked_at=5)
        files = [receipt(3), proof(3), receipt(6, forked), proof(6, forked)]
        assert "two histories (INCONSISTENT)" in desk.choose(*files)

    def test_names_and_members_are_text(self, desk):
        named = file("<img src=x>.json", LOG.receipt(3) | {"signer_kid": "<b>x"})
        desk.choose(named, proof(3))
        assert desk.page.locator("#verify-files img, #verify-files b").count() == 0

    def test_files_can_be_dropped(self, desk):
        texts = [
            [given["name"], given["buffer"].decode()]
            for given in (receipt(3), proof(3))
        ]
        desk.page.evaluate(
            """(texts) => {
              const dataTransfer = new DataTransfer();
              for (const [name, text] of texts) {
                dataTransfer.items.add(new File([text], name));
              }
              const options = { dataTransfer, bubbles: true, cancelable: true };
              const box = document.querySelector("[data-drop]");
              box.dispatchEvent(new DragEvent("dragover", options));
              box.dispatchEvent(new DragEvent("drop", options));
            }""",
            texts,
        )
        assert "Valid" in desk.answer()


class TestTlogProofs:
    def test_it_needs_the_log_s_key_and_the_receipt_keys(self, desk):
        assert "(UNKNOWN_KEY)" in desk.choose(receipt(3), tlog_proof(3))
        assert "(UNKNOWN_KEY)" in desk.pin(vkey=str(LOG_KEY))
        jwks = JWKS["buffer"].decode()
        assert "Valid" in desk.pin(vkey=str(LOG_KEY), jwks=jwks)

    def test_keys_can_be_dropped_with_it(self, desk):
        desk.choose(receipt(3), tlog_proof(3), JWKS)
        assert "Valid" in desk.pin(vkey=str(LOG_KEY))

    def test_a_key_set_counts_that_the_log_has_signed(self, desk):
        desk.choose(receipt(3), tlog_proof(3), KEY_SET)
        assert "Valid" in desk.pin(vkey=str(LOG_KEY))

    def test_a_key_set_by_another_does_not(self, desk):
        forged = SmallLog(keys=(receipt_key(STRANGER),), signer=STRANGER)
        text = forged.signed(forged.key_set().text())
        desk.choose(receipt(3), tlog_proof(3), file("keys.txt", text))
        assert "(UNKNOWN_KEY)" in desk.pin(vkey=str(LOG_KEY))


class TestWhatIsPinned:
    def test_the_log_s_key_and_name(self, desk):
        desk.choose(receipt(3), proof(3))
        assert "Valid" in desk.pin(vkey=str(LOG_KEY), origin=ORIGIN)
        assert "not pinned" in desk.notes()  # the receipt keys
        assert "key was not pinned" not in desk.notes()

    def test_another_key_or_name_is_found_out(self, desk):
        desk.choose(receipt(3), proof(3))
        stranger = str(VerifierKey.of(ORIGIN, STRANGER.public_key))
        assert "(UNKNOWN_KEY)" in desk.pin(vkey=stranger)
        assert "(INVALID)" in desk.pin(origin="other.example")

    def test_what_cannot_be_read_is_told_at_the_field(self, desk):
        desk.choose(receipt(3), proof(3))
        desk.pin(vkey="nonsense")
        assert "This cannot be read" in desk.errors()[0]
        assert desk.page.get_attribute("#pin-vkey", "aria-invalid") == "true"
        desk.pin(jwks="{")
        assert "Malformed JSON" in desk.errors()[0]
        assert "Valid" in desk.pin(vkey=str(LOG_KEY))
        assert desk.errors() == []


class TestMemory:
    def test_nothing_is_remembered_unasked(self, desk):
        desk.choose(receipt(3), proof(3))
        assert remembered(desk.page) == {}
        desk.page.get_by_role("button", name="Remember it").click()
        expect(desk.page.locator(".checks .verdict").last).to_have_class("verdict good")
        assert list(remembered(desk.page)) == [ORIGIN]

    def remember(self, desk: Desk, log: SmallLog) -> None:
        desk.choose(receipt(1, log), proof(1, log))
        desk.page.get_by_role("button", name="Remember it").click()
        desk.page.wait_for_timeout(300)

    def test_another_history_of_it_is_found_out(self, desk):
        self.remember(desk, LOG)
        forked = log_of(7, forked_at=2)
        assert "(INCONSISTENT)" in desk.choose(receipt(1, forked), proof(1, forked))

    def test_growth_is_proven_by_a_file(self, desk):
        older = log_of(3)
        self.remember(desk, older)
        sentence = desk.choose(receipt(1), proof(1))
        assert "Valid" in sentence
        assert "drop the consistency proof from 3 to 7" in sentence
        hashes = merkle.consistency_proof(3, 7, LOG.node)
        answer = {
            "success": True,
            "origin": ORIGIN,
            "from": 3,
            "to": 7,
            "proof": [item.hex() for item in hashes],
            "checkpoint": LOG.checkpoint(),
        }
        given = file("consistency.json", answer)
        assert "Not compared" not in desk.choose(receipt(1), proof(1), given)
        assert "All 3 entries" in last_step(desk.page)


class TestBundles:
    def test_a_good_one_is_valid(self, desk):
        sentence = desk.choose(file("evidence.zip", bundle()))
        assert "Valid: 3 receipts, each signed and each in the log" in sentence
        kinds = desk.page.locator(".checks > li > .verdict").evaluate_all(
            "all => all.map((it) => it.className)"
        )
        assert kinds == [*["verdict good"] * 6, "verdict open"]

    @pytest.mark.parametrize(
        ("indexes", "told"),
        [([3], "the one receipt is VALID"), ([1, 3], "all 2 receipts are VALID")],
    )
    def test_of_one_and_of_some_it_says_that_all_are_valid(self, desk, indexes, told):
        desk.choose(file("evidence.zip", bundle(indexes=indexes)))
        expect(desk.page.locator(".checks")).to_contain_text(told)

    def test_a_spoilt_one_names_the_receipt(self, desk):
        files = unpacked(bundle())
        name = "receipts/3.json"
        spoilt = files | {name: files[name].replace(b"vllm", b"sglg")}
        assert f"\n{name}\n" in desk.choose(file("a.zip", packed(spoilt)))
        sentence = desk.choose(file("b.zip", packed(resealed(spoilt))))
        assert "(INVALID)" in sentence
        expect(desk.page.locator(".bad-receipts")).to_contain_text(name)
        assert "Of 3 receipts: 2 VALID, 1 INVALID." in sentence

    def test_a_bomb_is_refused(self, desk):
        files = unpacked(bundle()) | {"README.txt": b"0" * 300_000_000}
        sentence = desk.choose(file("bomb.zip", packed(files)))
        assert "README.txt" in sentence
        assert "longer than" in sentence

    def test_a_thousand_receipts_take_seconds(self, desk):
        log = Quick([seal(body(number)) for number in range(1000)])
        data = bundle(log, range(1000))
        desk.page.set_default_timeout(60_000)
        desk.page.set_input_files("#files", file("large.zip", data))
        answer = desk.page.locator("[data-verdict] .answer")
        expect(answer).to_contain_text("1,000 receipts", timeout=60_000)


class TestThePage:
    def test_a_real_receipt_is_valid_to_a_stranger(self, desk, site):
        name = report(site)
        with site.server.client(site.account) as client:
            path = f"/v1/receipts/{name}"
            answers = [client.get(path).body, client.get(f"{path}/proof").body]
        assert "Valid" in desk.choose(file("a", answers[0]), file("b", answers[1]))

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [360, 1200])
    def test_it_can_be_read_by_everybody(self, desk, scheme, width):
        page = desk.page
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        spoilt = file("spoilt.json", LOG.receipt(3) | {"run_id": "x" * 300})
        desk.choose(receipt(2), proof(2), spoilt, proof(3), file("y" * 200, b"{"))
        for summary in page.locator("summary:visible").all():
            summary.click()
        assert beyond_the_edge(page) == []
        assert barriers(page) == []

    def test_over_plain_http_the_libraries_do_it(self, browser, site):
        """Off localhost there is no WebCrypto; the page says who did the work."""
        context = browser.new_context()
        context.route(
            "http://lucid.test/**",
            lambda route: route.fulfill(
                response=route.fetch(
                    url=route.request.url.replace("http://lucid.test", site.url)
                )
            ),
        )
        page = context.new_page()
        page.goto("http://lucid.test/verify")
        expect(page.locator("#files")).to_be_visible()
        page.set_input_files("#files", [receipt(3), proof(3)])
        expect(page.locator("[data-verdict]")).to_contain_text("Valid")
        assert page.evaluate("crypto.subtle === undefined")
        notes = page.locator(".notes").inner_text()
        assert "Ed25519 by noble-ed25519 3.2.0, SHA-256 by noble-hashes 2.4.0" in notes
        context.close()

    def test_without_scripts_it_says_what_to_do(self, open_page):
        page = open_page(None, java_script_enabled=False)
        page.goto("/verify")
        expect(page.locator("main")).to_contain_text("python verify.py")
        expect(page.locator("#files")).to_be_hidden()

    def test_a_canonical_entry_is_a_receipt(self, desk):
        entry = file("entry", canonical.dumps(LOG.entries[3]))
        assert "Valid" in desk.choose(entry, proof(3))
