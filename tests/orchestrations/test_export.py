"""Receipts and inferences carried away: whole files, with a signed manifest."""

import csv
import hashlib
import io
import json
import re
import tracemalloc
import zipfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from orchestrations import inference_export
from orchestrations.call_filter import CallFilter
from orchestrations.models import Inference
from receipts import canonical, evidence, manifest
from receipts.bundle_verifier import verify_bundle
from receipts.export_file import Content, ExportBroke, pack
from receipts.models import Receipt
from receipts.note import open_note
from receipts.verifier import Verdict, split, verify
from tenants.models import AccessEvent
from tests.conftest import new_caller
from tests.orchestrations.runs import AGENT, post, record, start
from tests.receipts import bundles
from tests.receipts.auditor import fetch, grow, read_checkpoint, vkey
from tests.tenants.people import after, new_person

SMALL = Decimal("0.000001")


@pytest.fixture
def auditor(acme):
    return new_person(acme, "auditor")


@pytest.fixture
def run(alice):
    """A run of three calls, which has ended, and a receipt of none."""
    run = start(alice, workflow_id="claims")
    record(alice, run, sequence=1)
    record(alice, run, model="=HYPERLINK(1)", cost_cents=SMALL, agent_id="+other")
    post(alice, run, "inferences", {"model": "never-heard-of", "provider": "custom"})
    post(alice, run, "complete", {})
    alice.record(run_id="alone")
    return run


def take(person, query="", **asked):
    """Ask for an export; return its files, or the page that says why not."""
    answer = person.post(f"/exports{query}", {"format": "jsonl"} | asked)
    if answer.status_code != 200:
        return answer
    assert answer["Content-Type"] == "application/zip"
    return unzip(b"".join(answer.streaming_content))


def unzip(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def lines(data):
    return [json.loads(line) for line in data.splitlines()]


def table(data):
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


class TestReceipts:
    def test_as_jsonl_they_are_as_the_api_shows_them(self, alice, auditor, run):
        files = take(auditor, what="receipts")
        shown = fetch(alice, "/v1/receipts")["receipts"]
        assert lines(files["receipts.jsonl"]) == shown[::-1]

    def test_a_line_has_the_very_bytes_that_were_signed(self, alice, auditor, run):
        (line, *_) = take(auditor, what="receipts")["receipts.jsonl"].splitlines()
        receipt = json.loads(line)
        entry = canonical.dumps(split(receipt)[0])
        assert line.startswith(entry[:-1])
        proof = alice.get(f"/v1/receipts/{receipt['run_id']}/proof").content
        assert verify(receipt, proof, [vkey(alice)]).verdict is Verdict.VALID

    def test_as_csv_they_have_times_and_exact_amounts(self, alice, auditor, run):
        rows = table(take(auditor, what="receipts", format="csv")["receipts.csv"])
        shown = fetch(alice, "/v1/receipts")["receipts"][::-1]
        assert [row["receipt_id"] for row in rows] == [r["receipt_id"] for r in shown]
        first, second, unpriced, end, alone = rows
        at = datetime.fromtimestamp(shown[0]["issued_at"], UTC)
        assert first["issued_at"] == f"{at:%Y-%m-%dT%H:%M:%SZ}"
        assert (first["tokens_in"], first["tokens_out"]) == ("42", "128")
        assert (first["cost_cents"], second["cost_cents"]) == ("0.25", "0.000001")
        assert (unpriced["cost_cents"], unpriced["cost_source"]) == ("", "unpriced")
        assert (end["receipt_type"], end["status"]) == ("orchestration", "completed")
        assert (end["cost_cents"], end["tokens_out"]) == ("0.250001", "256")
        assert (alone["tokens_in"], alone["ttft_ms"]) == ("42", "85")
        assert first["receipt_signature"] == shown[0]["receipt_signature"]

    def test_csv_has_no_formulas(self, auditor, run):
        data = take(auditor, what="receipts", format="csv")["receipts.csv"]
        row = table(data)[1]
        assert (row["model"], row["agent_id"]) == ("'=HYPERLINK(1)", "'+other")

    @pytest.mark.parametrize(
        ("filters", "count"),
        [
            ({}, 5),
            ({"receipt_type": "inference"}, 3),
            ({"model": "claude-sonnet-4-5"}, 1),
            ({"provider": "custom"}, 1),
            ({"agent_id": AGENT}, 3),
            ({"runtime": "vllm"}, 1),
            ({"model_passport_id": "ppt_model_7xK9mQ2v"}, 1),
            ({"policy_hash": "0" * 64}, 0),
            ({"from": "2020-01-01", "to": "2020-12-31"}, 0),
            ({"from": "2020-01-01"}, 5),
            ({"trace_id": "none"}, 0),
            ({"entries_from": "0", "entries_to": "0"}, 1),
            ({"entries_from": "3"}, 2),
        ],
    )
    def test_under_a_filter(self, auditor, run, filters, count):
        files = take(auditor, what="receipts", **filters)
        assert len(lines(files["receipts.jsonl"])) == count
        said = json.loads(files[manifest.MANIFEST])
        assert said["counts"] == {"receipts": count}
        assert said["filters"] == filters

    def test_of_a_run(self, auditor, run):
        files = take(auditor, what="receipts", orchestration_id=run)
        types = [r["receipt_type"] for r in lines(files["receipts.jsonl"])]
        assert types == ["inference"] * 3 + ["orchestration"]

    def test_each_mode_has_its_own(self, acme, alice, auditor, run):
        grow(new_caller(acme, mode="test"), 2)
        files = take(auditor, "?mode=test", what="receipts")
        assert len(lines(files["receipts.jsonl"])) == 2
        origin = json.loads(files[manifest.MANIFEST])["log"]["origin"]
        assert origin.endswith("/test")


class TestInferences:
    def test_they_have_exact_amounts_and_times(self, alice, auditor, run):
        rows = lines(take(auditor, what="inferences")["inferences.jsonl"])
        first, second, unpriced = rows
        shown = fetch(alice, f"/v1/orchestrations/{run}/inferences")["inferences"]
        assert [row["inference_id"] for row in rows] == [
            item["inference_id"] for item in shown[::-1]
        ]
        assert (first["cost_cents"], second["cost_cents"]) == ("0.25", "0.000001")
        assert (unpriced["cost_cents"], unpriced["cost_source"]) == (None, "unpriced")
        assert datetime.fromisoformat(first["recorded_at"]).tzinfo == UTC
        assert first["workflow_id"] == "claims"
        assert first["api_key_id"] == str(alice.key.pk)
        assert (first["input_tokens"], first["output_tokens"]) == (42, 128)
        assert first["sequence"] == 1
        receipt = fetch(alice, f"/v1/receipts/{first['receipt_id']}")["receipt"]
        assert first["receipt_hash"] == receipt["receipt_hash"]
        assert first["leaf_index"] == receipt["_mmr_leaf_index"]

    def test_csv_has_what_jsonl_has(self, auditor, run):
        as_csv = table(take(auditor, what="inferences", format="csv")["inferences.csv"])
        as_json = lines(take(auditor, what="inferences")["inferences.jsonl"])
        assert list(as_csv[0]) == list(as_json[0])
        assert as_csv[1]["model"] == "'=HYPERLINK(1)"
        assert [row["cost_cents"] for row in as_csv] == ["0.25", "0.000001", ""]

    @pytest.mark.parametrize(
        ("filters", "count"),
        [
            ({}, 3),
            ({"model": "claude-sonnet-4-5"}, 1),
            ({"provider": "custom"}, 1),
            ({"agent_id": "+other"}, 1),
            ({"workflow_id": "claims"}, 3),
            ({"workflow_id": "other"}, 0),
            ({"cost_source": "unpriced"}, 1),
            ({"cost_source": "agent_reported"}, 2),
            ({"to": "2020-12-31"}, 0),
            ({"from": "2020-01-01"}, 3),
        ],
    )
    def test_under_a_filter(self, auditor, run, filters, count):
        files = take(auditor, what="inferences", **filters)
        assert len(lines(files["inferences.jsonl"])) == count

    def test_a_day_is_a_whole_one_by_our_clock(self, auditor, run):
        today = datetime.now(UTC).date()
        days = {"from": today - timedelta(days=1), "to": today + timedelta(days=1)}
        files = take(auditor, what="inferences", **days)
        assert len(lines(files["inferences.jsonl"])) == 3

    def test_of_a_run_and_of_a_key(self, alice, auditor, run):
        for key in (alice.key.pk, alice.key.prefix):
            files = take(auditor, what="inferences", orchestration_id=run, api_key=key)
            assert len(lines(files["inferences.jsonl"])) == 3

    def test_in_chunks_none_is_lost_and_none_twice(self, auditor, run, monkeypatch):
        """Also of the same moment, as a batch is recorded."""
        (first, *_) = Inference.objects.filter(orchestration_id=run)
        tenant = first.tenant_id
        log = Receipt.objects.get(pk=first.pk).log
        monkeypatch.setattr(inference_export, "CHUNK", 2)
        rows = inference_export.passing(CallFilter(), log)
        for same in (False, True):
            if same:
                rows.update(recorded_at=first.recorded_at)
            found = list(inference_export.rows_of(rows, log, "jsonl"))
            assert [count for count, _ in found] == [2, 1]
            data = b"".join(part for _, part in found)
            assert len({row["receipt_id"] for row in lines(data)}) == 3
        assert tenant == log.tenant_id


class TestTheManifest:
    def test_it_names_each_file_and_the_log_has_signed_it(self, alice, auditor, run):
        files = take(auditor, what="receipts")
        said = json.loads(files[manifest.MANIFEST])
        others = files.keys() - {manifest.MANIFEST, manifest.SIGNATURE}
        assert said["files"] == {
            name: {
                "sha256": hashlib.sha256(files[name]).hexdigest(),
                "bytes": len(files[name]),
            }
            for name in others
        }
        note = open_note(files[manifest.SIGNATURE], [vkey(alice)])
        origin, digest = manifest.parse_note(note.text)
        assert digest == hashlib.sha256(files[manifest.MANIFEST]).hexdigest()
        assert origin == said["log"]["origin"]

    def test_it_says_what_by_whom_and_when(self, alice, auditor, run):
        files = take(auditor, what="inferences", format="csv", model="gpt-4o")
        said = json.loads(files[manifest.MANIFEST])
        assert (said["kind"], said["format"]) == ("inferences", "csv")
        assert said["filters"] == {"model": "gpt-4o"}
        assert said["made_by"] == auditor.user.email
        made = datetime.fromisoformat(said["made_at"])
        assert abs(datetime.now(UTC) - made) < timedelta(minutes=1)
        head = read_checkpoint(files[manifest.CHECKPOINT], vkey(alice))
        assert said["log"] == {
            "origin": head.origin,
            "size": head.size,
            "root": head.root.hex(),
            "vkeys": [str(vkey(alice))],
        }

    def test_it_is_no_bundle_and_the_verifier_says_so(self, auditor, run, tmp_path):
        answer = auditor.post("/exports", {"what": "receipts", "format": "jsonl"})
        path = tmp_path / "export.zip"
        path.write_bytes(b"".join(answer.streaming_content))
        result = verify_bundle(path)
        assert (result.verdict, result.field) == (Verdict.INVALID, "receipts.jsonl")


class TestWithProofs:
    def test_it_is_a_bundle_that_verifies(self, alice, auditor, run, tmp_path):
        asked = {"what": "receipts", "format": "jsonl", "proofs": "on"}
        answer = auditor.post("/exports", asked | {"receipt_type": "inference"})
        path = tmp_path / "evidence.zip"
        path.write_bytes(b"".join(answer.streaming_content))
        result = verify_bundle(path, [vkey(alice)])
        assert (result.verdict, result.receipts) == (Verdict.VALID, 3)
        said = json.loads(bundles.unpacked(path.read_bytes())[manifest.MANIFEST])
        assert said["filters"] == {"receipt_type": "inference"}
        assert "lucid-evidence-" in answer["Content-Disposition"]

    @pytest.mark.parametrize(
        "asked", [{"what": "receipts", "format": "csv"}, {"what": "inferences"}]
    )
    def test_proofs_are_of_receipts_as_jsonl(self, auditor, run, asked):
        answer = take(auditor, proofs="on", **asked)
        assert answer.status_code == 400
        assert "Proofs are of receipts as JSONL." in answer.content.decode()

    def test_too_many_are_refused_in_words(self, alice, auditor, run, monkeypatch):
        monkeypatch.setattr("orchestrations.exporting.MAX_RECEIPTS", 2)
        answer = take(auditor, what="receipts", proofs="on")
        assert answer.status_code == 400
        assert "More than 2 receipts pass" in answer.content.decode()
        assert not exports_of(alice)

    def test_none_is_refused(self, alice, auditor, run):
        answer = take(auditor, what="receipts", proofs="on", model="nothing")
        assert answer.status_code == 400
        assert "nothing to prove" in answer.content.decode()


class TestEvidenceOfARun:
    def test_it_has_all_receipts_and_the_ending(self, alice, auditor, run, tmp_path):
        answer = auditor.get(f"/orchestrations/{run}/evidence")
        ulid = run.removeprefix("maip-orch:")
        assert answer["Content-Disposition"] == (
            f'attachment; filename="lucid-evidence-{alice.tenant.slug}-run-{ulid}.zip"'
        )
        path = tmp_path / "evidence.zip"
        path.write_bytes(b"".join(answer.streaming_content))
        result = verify_bundle(path, [vkey(alice)])
        assert (result.verdict, result.receipts) == (Verdict.VALID, 4)
        files = bundles.unpacked(path.read_bytes())
        types = [
            json.loads(data)["receipt_type"]
            for name, data in files.items()
            if name.startswith("receipts/")
        ]
        assert types == ["inference"] * 3 + ["orchestration"]
        (event,) = exports_of(alice)
        assert (event.action, event.object_kind, event.object_id) == (
            "evidence.exported",
            "orchestration",
            run,
        )
        assert after(event)["count"] == 4

    def test_of_a_run_without_a_receipt_it_says_so(self, alice, auditor):
        answer = auditor.get(f"/orchestrations/{start(alice)}/evidence")
        assert answer.status_code == 409
        assert "has no receipt yet" in answer.content.decode()
        assert not exports_of(alice)

    def test_of_too_many_it_says_where_else(self, alice, auditor, run, monkeypatch):
        monkeypatch.setattr("orchestrations.evidence_pages.MAX_RECEIPTS", 2)
        answer = auditor.get(f"/orchestrations/{run}/evidence")
        assert answer.status_code == 409
        assert "orchestration_id=maip-orch" in answer.content.decode()

    def test_what_is_not_there_is_404(self, auditor):
        path = "/orchestrations/maip-orch:01KATVZ3Z0N4YB6T7V9H2QWE5R/evidence"
        assert auditor.get(path).status_code == 404


def exports_of(caller):
    actions = ("receipts.exported", "inferences.exported", "evidence.exported")
    rows = AccessEvent.objects.filter(tenant=caller.tenant, action__in=actions)
    return list(rows.order_by("id"))


class TestAccessEvents:
    def test_one_is_there_before_the_first_byte(self, alice, auditor, run):
        answer = auditor.post(
            "/exports", {"what": "receipts", "format": "csv", "model": "gpt-4o"}
        )
        (event,) = exports_of(alice)  # nothing of the answer was read yet
        assert event.action == "receipts.exported"
        assert event.actor_name == auditor.user.email
        assert after(event) == {
            "format": "csv",
            "mode": "live",
            "filters": {"model": "gpt-4o"},
            "count": 0,
            "log_size": 5,
        }
        assert event.object_id in answer["Content-Disposition"]
        answer.close()

    def test_inferences_have_their_own(self, alice, auditor, run):
        take(auditor, what="inferences")
        (event,) = exports_of(alice)
        assert (event.action, after(event)["count"]) == ("inferences.exported", 3)

    def test_where_it_cannot_be_written_nothing_leaves(
        self, alice, auditor, run, monkeypatch
    ):
        def full(*_, **__):
            raise RuntimeError("disk full")

        monkeypatch.setattr("tenants.events.record", full)
        with pytest.raises(RuntimeError):
            take(auditor, what="receipts")


class TestAnExportThatGoesWrong:
    def test_what_is_appended_meanwhile_changes_nothing(self, alice, auditor, run):
        answers = [
            auditor.post("/exports", {"what": what, "format": "jsonl"})
            for what in ("receipts", "inferences")
        ]
        other = start(alice)
        record(alice, other)
        for answer, count in zip(answers, (5, 3), strict=True):
            files = unzip(b"".join(answer.streaming_content))
            (data,) = [files[name] for name in files if name.endswith(".jsonl")]
            assert len(lines(data)) == count

    def test_one_that_breaks_off_is_no_zip(self):
        def chunks():
            yield 1, b"x" * 200_000
            raise ConnectionError

        content = Content("receipts", "jsonl", 2, chunks())
        got: list[bytes] = []
        with pytest.raises(ConnectionError):
            got.extend(pack(content, bundles.head(), bundles.MADE))
        assert not zipfile.is_zipfile(io.BytesIO(b"".join(got)))

    def test_one_of_another_count_is_no_zip(self):
        content = Content("receipts", "jsonl", 2, iter([(1, b"{}\n")]))
        got: list[bytes] = []
        with pytest.raises(ExportBroke):
            got.extend(pack(content, bundles.head(), bundles.MADE))
        assert not zipfile.is_zipfile(io.BytesIO(b"".join(got)))

    def test_the_same_rows_give_the_same_bytes(self):
        one, other = (
            b"".join(
                pack(
                    Content("receipts", "csv", 1, iter([(1, b"a\r\n")])),
                    bundles.head(),
                    bundles.MADE,
                )
            )
            for _ in range(2)
        )
        assert one == other

    def test_memory_does_not_grow_with_the_rows(self):
        def peak(count):
            rows = ((100, b'{"n":1}' * 1000) for _ in range(count))
            content = Content("receipts", "jsonl", 100 * count, rows)
            tracemalloc.start()
            for _ in pack(content, bundles.head(), bundles.MADE):
                pass
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            return most

        peak(10)
        assert peak(20_000) < 2 * peak(2_000)


class TestThePage:
    def test_it_says_how_long_the_log_is(self, auditor, run):
        page = auditor.get("/exports").content.decode()
        assert "The log has\n    5 entries now" in page

    def test_it_shows_past_exports(self, auditor, run):
        empty = auditor.get("/exports").content.decode()
        assert "Nobody has exported anything yet" in empty
        take(auditor, what="receipts", model="claude-sonnet-4-5")
        list(auditor.get(f"/orchestrations/{run}/evidence").streaming_content)
        page = auditor.get("/exports").content.decode()
        assert auditor.user.email in page
        assert "Receipts (jsonl)" in page
        assert "model: claude-sonnet-4-5" in page
        assert f"orchestration: {run}" in page
        for query in re.findall(r'href="(\?what=[^"]+)"', page):
            assert auditor.get(f"/exports{unescape(query)}").status_code == 200
        assert page.count('href="?what=receipts&amp;') == 2

    def test_an_address_fills_the_form(self, auditor):
        page = auditor.get("/exports?what=inferences&model=gpt-4o&workflow_id=w")
        assert page.status_code == 200
        text = page.content.decode()
        assert '<option value="inferences" selected>' in text
        assert 'value="gpt-4o"' in text
        assert text.count("<details open>") == 1

    @pytest.mark.parametrize(
        ("asked", "message"),
        [
            ({"what": "nonsense"}, "is not one of the available choices"),
            ({"format": "pdf"}, "is not one of the available choices"),
            ({"from": "yesterday"}, "Enter a valid date"),
            ({"from": "2026-02-02", "to": "2026-02-01"}, "after the last day"),
            ({"api_key": "lk_live_x", "what": "inferences"}, "There is no such key"),
            ({"workflow_id": "w"}, "Receipts have no such filter."),
            ({"cost_source": "unpriced"}, "Receipts have no such filter."),
            ({"what": "inferences", "runtime": "vllm"}, "have no such filter."),
            ({"what": "inferences", "entries_from": 0}, "have no such filter."),
            ({"entries_from": 2, "entries_to": 1}, "after the last entry"),
            ({"model": "x" * 201}, "at most 200 characters"),
            ({"model": "\0"}, "Null characters"),
        ],
    )
    def test_what_cannot_be_is_said_at_its_field(self, alice, auditor, asked, message):
        answer = take(auditor, **({"what": "receipts"} | asked))
        assert answer.status_code == 400
        assert message in answer.content.decode()
        assert not exports_of(alice)
        if "\0" not in str(asked):
            assert auditor.get("/exports", data=asked).status_code == 400

    def test_another_tenants_key_is_no_key(self, auditor, charlie):
        answer = take(auditor, what="inferences", api_key=charlie.key.prefix)
        assert answer.status_code == 400

    def test_an_analyst_may_not(self, acme):
        analyst = new_person(acme, "analyst")
        assert analyst.get("/exports").status_code == 403
        assert analyst.post("/exports", {"what": "receipts"}).status_code == 403

    def test_it_asks_few_queries(self, auditor, run):
        take(auditor, what="receipts")
        with CaptureQueriesContext(connection) as queries:
            assert auditor.get("/exports").status_code == 200
        assert len(queries) <= 8

    def test_text_is_no_markup(self, auditor, run):
        take(auditor, what="receipts", model="<b>bold</b>")
        assert "<b>bold" not in auditor.get("/exports").content.decode()


def test_the_queries_of_an_export_grow_with_its_chunks_alone(
    alice, auditor, run, monkeypatch
):
    grow(alice, 40)
    counts = []
    for chunk in (10, 5):
        monkeypatch.setattr(evidence, "CHUNK", chunk)
        with CaptureQueriesContext(connection) as queries:
            take(auditor, what="receipts")
        counts.append(len(queries))
    assert counts[1] - counts[0] == 5
