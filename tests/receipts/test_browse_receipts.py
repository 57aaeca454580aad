"""The page of receipts: what an auditor finds by which filters, how far it looks."""

import csv
import io
import re
from html import unescape
from itertools import chain
from typing import Any

import pytest

from lucid.api.pagination import encode_cursor, encode_pair
from receipts import browsing
from receipts.models import Receipt
from tests.caller import RUN
from tests.conftest import new_caller
from tests.orchestrations.runs import record, start
from tests.receipts.auditor import grow
from tests.receipts.key_operator import rotate
from tests.tenants.people import Person, after, events_of, new_person

PATH = "/receipts"


@pytest.fixture
def auditor(acme) -> Person:
    return new_person(acme, "auditor")


def page(person: Person, path: str = PATH, **query: Any) -> str:
    answer = person.get(path, data=query)
    assert answer.status_code == 200, answer.content
    text: str = answer.content.decode()
    return text


def entries(text: str) -> list[int]:
    """The leaf indexes of the rows, from the top."""
    found = re.findall(r'title="Receipt [0-9a-f-]{36}">([\d,]+)</a>', text)
    return [int(number.replace(",", "")) for number in found]


def older(text: str) -> str:
    """The address of the page, or of the window, that comes after."""
    (href,) = re.findall(r'rel="next" href="([^"]+)"', text)
    return PATH + unescape(href)


def every_page(person: Person, **query: Any) -> list[list[int]]:
    pages = [page(person, **query)]
    while 'rel="next"' in pages[-1]:
        pages.append(page(person, older(pages[-1])))
    return [entries(text) for text in pages]


def test_the_newest_comes_first(alice, auditor):
    grow(alice, 3)
    assert entries(page(auditor)) == [2, 1, 0]


def test_each_row_leads_to_its_receipt_in_the_tenant_and_the_mode(acme, auditor):
    caller = new_caller(acme, mode="test")
    receipt = caller.record()
    text = page(auditor, mode="test")
    path = f"/t/{acme.slug}/receipts/{receipt['receipt_id']}?mode=test"
    assert f'href="{path}"' in text
    assert auditor.get(path).status_code == 200


def test_it_has_one_mode_of_one_tenant(acme, alice, charlie, auditor):
    new_caller(acme, mode="test").record(run_id="a test")
    charlie.record(run_id="of globex")
    alice.record(run_id="live")
    live, test = (page(auditor, columns="run_id", mode=m) for m in ("live", "test"))
    assert ("a test" in live, "live" in live, "of globex" in live) == (0, 1, 0)
    assert ("a test" in test, ">live<" in test, "of globex" in test) == (1, 0, 0)


class TestEntries:
    @pytest.fixture
    def log(self, alice):
        for number in range(12):
            alice.record(
                run_id=f"run-{number}",
                timestamp=1_700_000_000 - number * 86_400,
                model_passport_id=("often", "rare")[number % 5 == 0],
            )

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"entries_from": 9}, [11, 10, 9]),
            ({"entries_to": 1}, [1, 0]),
            ({"entries_from": 0, "entries_to": 0}, [0]),
            ({"entries_from": 12}, []),
            ({"entries_from": 2**63 - 1, "entries_to": 2**63 - 1}, []),
            (
                {"entries_from": 3, "entries_to": 10, "model_passport_id": "rare"},
                [10, 5],
            ),
            ({"entries_to": 10, "runtime": "no"}, []),
            # By the time claimed, the latest first: the other way round.
            ({"entries_from": 3, "entries_to": 5, "from": "2023-11-01"}, [3, 4, 5]),
            (
                {"entries_from": 3, "model_passport_id": "rare", "from": "2023-11-01"},
                [5, 10],
            ),
        ],
    )
    @pytest.mark.parametrize("window", [1, 20_000])
    def test_are_bounded_by_their_places(
        self, log, auditor, query, expected, window, monkeypatch
    ):
        monkeypatch.setattr(browsing, "WINDOW", window)
        assert [*chain(*every_page(auditor, **query))] == expected

    def test_go_on_by_a_cursor_within_the_bounds(self, log, auditor):
        text = page(auditor, entries_from=2, entries_to=8, cursor=encode_cursor(4))
        assert entries(text) == [3, 2]

    def test_are_carried_to_an_export(self, log, auditor):
        text = page(auditor, entries_from=0, entries_to=3)
        (export,) = re.findall(r'href="([^"]+)">Export all of these', text)
        form = auditor.get(unescape(export)).content.decode()
        assert re.findall(r'name="entries_\w+" value="(\d+)"', form) == ["0", "3"]

    @pytest.mark.parametrize(
        ("query", "complaint"),
        [
            ({"entries_from": "x"}, "Enter a whole number"),
            ({"entries_from": "-1"}, "greater than or equal to 0"),
            ({"entries_to": 2**63}, "less than or equal to"),
            ({"entries_from": 3, "entries_to": 2}, "This is after the last entry"),
        ],
    )
    def test_that_cannot_be_read_are_told(self, log, auditor, query, complaint):
        answer = auditor.get(PATH, data=query)
        assert answer.status_code == 400
        assert complaint in answer.content.decode()

    def test_are_no_filter_of_the_api(self, log, alice):
        answer = alice.get("/v1/receipts?entries_from=11&first_entry=11")
        assert len(answer.json()["receipts"]) == 12


def cells(text: str) -> dict[str, str]:
    """The cells of the first row, by their head, as a reader sees them."""
    row = text.partition("<tbody>")[2].partition("</tr>")[0]
    found = re.findall(r'data-head="([^"]+)">(.*?)</t[dh]>', row, re.DOTALL)
    return {head: unescape(re.sub("<[^>]+>", "", cell)).strip() for head, cell in found}


class TestRows:
    def test_a_run(self, alice, auditor):
        alice.record(run_id="run-1", timestamp=1_700_000_000)
        assert cells(page(auditor)) == {
            "Entry": "0",
            "Time claimed": "14 Nov 2023 22:13 UTC",
            "Type": "Compute",
            "Model": f"{RUN['model_passport_id']}",
            "Agent": "–",
            "Tokens": "170",
            "Cost, US$": "–",
            "Observed": "reported",
            "Status": "–",
        }

    def test_a_call(self, alice, auditor):
        record(alice, start(alice), inference_id="call-1")
        shown = cells(page(auditor))
        assert shown["Type"] == "Inference"
        assert shown["Model"] == "claude-sonnet-4-5"
        assert shown["Agent"] == "claims-desk"
        assert (shown["Tokens"], shown["Cost, US$"]) == ("170", "$0.0025")
        assert (shown["Observed"], shown["Status"]) == ("reported", "–")

    def test_a_call_without_a_price_says_so(self, alice, auditor):
        run = start(alice)
        record(alice, run, model="nobody-knows", provider="custom", cost_cents=None)
        assert cells(page(auditor))["Cost, US$"] == "unpriced"

    def test_a_run_that_ended(self, alice, auditor):
        run = start(alice)
        record(alice, run)
        error = {"code": "BROKEN", "message": ""}
        assert alice.post(f"/v1/orchestrations/{run}/fail", error).status_code == 200
        shown = cells(page(auditor))
        assert shown["Type"] == "Orchestration"
        assert (shown["Tokens"], shown["Cost, US$"]) == ("170", "$0.0025")
        assert shown["Status"] == "failed"

    def test_a_run_of_calls_without_a_price_cost_no_zero(self, alice, auditor):
        run = start(alice)
        record(alice, run, model="nobody-knows", provider="custom", cost_cents=None)
        assert alice.post(f"/v1/orchestrations/{run}/complete", {}).status_code == 200
        assert cells(page(auditor))["Cost, US$"] == "unpriced"

    def test_a_run_without_a_call_counted_no_tokens(self, alice, auditor):
        alice.post(f"/v1/orchestrations/{start(alice)}/complete", {})
        shown = cells(page(auditor))
        assert (shown["Type"], shown["Tokens"]) == ("Orchestration", "–")

    def test_an_action(self, alice, auditor):
        action = {"agent_id": "a", "receipt_type": "tool", "action": "x"}
        assert alice.post("/v1/agent-receipts", action).status_code == 201
        shown = cells(page(auditor))
        assert (shown["Type"], shown["Agent"]) == (
            "Action",
            "a",
        )
        assert (shown["Observed"], shown["Tokens"]) == ("reported", "–")

    def test_a_change_of_keys(self, alice, auditor):
        alice.record()
        rotate(alice)
        shown = cells(page(auditor))
        assert shown["Type"] == "Key change"
        assert (shown["Status"], shown["Observed"]) == ("rotated", "–")

    def test_what_was_claimed_is_text(self, alice, auditor):
        hostile = "<script>alert(1)</script>" + '"><b>' * 20
        alice.record(run_id=hostile.replace("/", "|"), model_passport_id=hostile)
        text = page(auditor, columns=["model", "run_id", "model_passport_id"])
        assert "<script>a" not in text
        assert "<b>" not in text
        assert cells(text)["Model passport"].startswith(hostile)


FILTERS = {
    "receipt_type": "compute",
    "model_passport_id": "ppt_a",
    "compute_passport_id": "ppt_b",
    "trace_id": "100% ünï",
    "policy_hash": "a" * 64,
    "runtime": "v_lm",
}


class TestFilters:
    @pytest.mark.parametrize("name", FILTERS)
    def test_of_a_run_leaves_what_passes(self, alice, auditor, name):
        record(alice, start(alice))
        alice.record(**{n: v for n, v in FILTERS.items() if n != "receipt_type"})
        expected = [1]
        if name != "receipt_type":
            alice.record(**{name: "b" * 64 if name == "policy_hash" else "other"})
        assert entries(page(auditor, **{name: FILTERS[name]})) == expected

    @pytest.mark.parametrize("name", ["model", "provider", "agent_id", "run"])
    def test_of_a_call_leaves_what_passes(self, alice, auditor, name):
        run = start(alice)
        wanted = {"model": "m1", "provider": "custom", "agent_id": "agent-1"}
        record(alice, run, **wanted)
        record(alice, start(alice, agent_id="other"))
        filters = wanted | {"orchestration_id": run}
        name = name if name in wanted else "orchestration_id"
        assert entries(page(auditor, **{name: filters[name]})) == [0]
        assert entries(page(auditor, **filters)) == [0]

    def test_of_a_signing_key(self, alice, auditor):
        kid = alice.record()["signer_kid"]
        rotate(alice)
        alice.record()
        assert entries(page(auditor, signer_kid=kid)) == [1, 0]

    def test_of_a_policy_hash_in_capitals(self, alice, auditor):
        alice.record(policy_hash="a" * 64)
        assert entries(page(auditor, policy_hash="A" * 64)) == [0]

    @pytest.mark.parametrize(
        ("since", "until", "expected"),
        [
            ("2023-11-02", "", [0, 3, 1]),
            ("", "2023-11-02", [3, 1, 2]),
            ("2023-11-02", "2023-11-02", [3, 1]),
            ("2023-11-04", "", []),
            ("", "1960-01-01", []),
            ("1960-01-01", "9999-12-31", [0, 3, 1, 2]),
        ],
    )
    def test_days_are_of_the_time_claimed_and_whole(
        self, alice, auditor, since, until, expected
    ):
        """And the latest claim comes first, wherever it is in the log."""
        day = 86_400
        second = 1_698_883_200  # 2 Nov 2023, 00:00 UTC
        for time in (second + day, second, second - 1, second + day - 1):
            alice.record(timestamp=time, trace_id="t")
        days = {"from": since, "to": until}
        assert entries(page(auditor, **days)) == expected
        assert entries(page(auditor, **days, trace_id="t")) == expected
        assert entries(page(auditor, **days, runtime="vllm")) == expected
        assert entries(page(auditor, **days, trace_id="u")) == []

    def test_is_a_chip_that_removes_it(self, alice, auditor):
        alice.record()
        query = {"runtime": "vllm", "receipt_type": "compute", "cursor": ""}
        text = page(auditor, **query)
        chips = text.partition('class="chips"')[2].partition("</ul>")[0]
        assert re.findall(r'href="([^"]+)"', chips) == [
            "?runtime=vllm",
            "?receipt_type=compute",
        ]

    def test_a_value_in_a_row_leads_to_the_rows_that_have_it(self, alice, auditor):
        record(alice, start(alice), model="a&b=c")
        text = page(auditor, receipt_type="inference")
        href = "?receipt_type=inference&amp;model=a%26b%3Dc"
        assert f'href="{href}"' in text
        assert entries(page(auditor, PATH + unescape(href))) == [0]

    def test_keep_the_mode_and_the_columns(self, acme, auditor):
        new_caller(acme, mode="test").record()
        text = page(auditor, mode="test", columns="runtime")
        form = text.partition('aria-label="Filter"')[2].partition("</form>")[0]
        assert 'name="mode" value="test"' in form
        assert 'name="columns" value="runtime"' in form

    @pytest.mark.parametrize(
        "query",
        [
            {"from": "yesterday"},
            {"to": "2026-13-01"},
            {"receipt_type": "all"},
            {"model": "a\0b"},
            {"agent_id": "x" * 201},
            {"cursor": "nonsense"},
            {"cursor": encode_cursor(1 << 63)},
            {"cursor": encode_pair(1, 2)},  # of the list by time
            {"cursor": encode_cursor(1), "from": "2023-01-01"},  # of that by place
            {"cursor": encode_pair(-1, 2), "from": "2023-01-01"},
            {"cursor": encode_pair(1, 1 << 63), "from": "2023-01-01"},
        ],
    )
    def test_that_cannot_be_read_are_told(self, alice, auditor, query):
        alice.record()
        answer = auditor.get(PATH, data=query)
        assert answer.status_code == 400
        text = answer.content.decode()
        assert 'role="alert"' in text
        assert entries(text) == []


class TestPages:
    @pytest.mark.parametrize(
        "query",
        [
            {},
            {"runtime": "vllm"},
            {"model_passport_id": RUN["model_passport_id"]},
            {"model_passport_id": RUN["model_passport_id"], "runtime": "vllm"},
            {"from": "2020-01-01"},
            {"from": "2020-01-01", "runtime": "vllm"},
            {"from": "2020-01-01", "model_passport_id": RUN["model_passport_id"]},
        ],
    )
    @pytest.mark.parametrize("window", [7, 60, 20_000])
    def test_none_is_lost_or_doubled(self, alice, auditor, query, window, monkeypatch):
        monkeypatch.setattr(browsing, "WINDOW", window)
        runs = [RUN | {"timestamp": 1_700_000_000 + i // 40} for i in range(120)]
        answer = alice.post("/v1/receipts/batch", {"receipts": runs})
        assert answer.status_code == 200
        seen = [number for found in every_page(auditor, **query) for number in found]
        assert seen == list(reversed(range(120)))

    def test_hold_to_the_filters(self, alice, auditor):
        runs = [RUN | {"trace_id": "even" if i % 2 else "odd"} for i in range(110)]
        alice.post("/v1/receipts/batch", {"receipts": runs})
        first, second = every_page(auditor, trace_id="even")
        assert first == list(range(109, 9, -2))
        assert second == [9, 7, 5, 3, 1]

    def test_lead_back_to_the_newest(self, alice, auditor):
        grow(alice, 51)
        second = page(auditor, older(page(auditor, runtime="vllm")))
        assert 'href="?runtime=vllm">Newest</a>' in second


class TestWindows:
    @pytest.fixture(autouse=True)
    def narrow(self, monkeypatch):
        monkeypatch.setattr(browsing, "WINDOW", 5)

    @pytest.fixture
    def log(self, alice) -> None:
        """Twelve receipts of one agent's passport, the oldest two by another runtime.

        Their times go against their places.
        """
        for number in range(12):
            runtime = "rare" if number < 2 else "vllm"
            alice.record(runtime=runtime, timestamp=1_700_000_000 - number)

    @pytest.mark.parametrize(
        ("query", "looked", "found"),
        [
            ({}, [7, 2], [[], [], [1, 0]]),
            (
                {"model_passport_id": RUN["model_passport_id"]},
                [7, 2],
                [[], [], [1, 0]],
            ),
            ({"from": "2023-11-01"}, [4, 9], [[0, 1], [], []]),
            (
                {
                    "from": "2023-11-01",
                    "model_passport_id": RUN["model_passport_id"],
                },
                [4, 9],
                [[0, 1], [], []],
            ),
        ],
    )
    def test_say_how_far_was_looked(self, log, auditor, query, looked, found):
        text = page(auditor, runtime="rare", **query)
        texts = [text]
        while 'rel="next"' in texts[-1]:
            texts.append(page(auditor, older(texts[-1])))
        told = [re.findall(r"back to entry (\d+)", text) for text in texts]
        assert told == [[str(looked[0])], [str(looked[1])], []]
        assert [entries(text) for text in texts] == found

    def test_of_few_rows_no_window_is_needed(self, alice, auditor):
        for number in range(12):
            trace = "few" if number < 5 else "many"
            alice.record(trace_id=trace, timestamp=1_700_000_000 + number)
        text = page(auditor, trace_id="few", runtime="vllm", to="2023-12-01")
        assert entries(text) == [4, 3, 2, 1, 0]
        assert "Looked through" not in text

    def test_tell_of_nothing_found_where_there_may_be_more(self, log, auditor):
        text = page(auditor, runtime="nobody's")
        assert "none of them passes" in text
        assert "No receipt passes" not in text

    def test_have_no_part_in_lists_that_an_index_serves(self, log, auditor):
        passport = {"model_passport_id": RUN["model_passport_id"]}
        for query in ({}, passport, {"to": "2030-01-01"}):
            assert len(entries(page(auditor, **query))) == 12


class TestColumns:
    def test_are_those_chosen(self, alice, auditor):
        alice.record()
        text = page(auditor, columns=["runtime", "signer_kid"])
        assert list(cells(text)) == ["Entry", "Runtime", "Signing key"]

    def test_are_all_to_be_had(self, alice, auditor):
        record(alice, start(alice))
        alice.record(trace_id="t")
        text = page(auditor)
        names = re.findall(r'type="checkbox" name="columns" value="(\w+)"', text)
        shown = cells(page(auditor, columns=names))
        assert len(shown) == len(names) + 1


def csv_rows(person: Person, **query: Any) -> list[dict[str, str]]:
    answer = person.get(PATH, data=query | {"format": "csv"})
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/csv"
    text = b"".join(answer.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text)))


class TestCsv:
    def test_has_the_rows_shown_and_no_others(self, alice, auditor):
        grow(alice, 60)
        first = page(auditor, runtime="vllm")
        rows = csv_rows(auditor, runtime="vllm")
        assert [int(row["leaf_index"]) for row in rows] == entries(first)
        second = dict(re.findall(r"[?&]([^=]+)=([^&]+)", older(first)))
        rows = csv_rows(auditor, **second)
        assert [int(row["leaf_index"]) for row in rows] == list(range(9, -1, -1))

    def test_has_the_columns_shown(self, alice, auditor):
        alice.record(timestamp=1_700_000_000)
        (row,) = csv_rows(auditor, columns=["time", "runtime"])
        assert list(row) == ["leaf_index", "receipt_id", "time", "runtime"]
        assert (row["time"], row["runtime"]) == ("2023-11-14T22:13:20Z", "vllm")

    def test_has_money_exactly_and_unpriced_as_a_word(self, alice, auditor):
        run = start(alice)
        record(alice, run, cost_cents=0.001234)
        record(alice, run, model="unheard-of", provider="custom", cost_cents=None)
        rows = csv_rows(auditor)
        assert [row["cost_cents"] for row in rows] == ["unpriced", "0.001234"]

    def test_has_no_formulas(self, alice, auditor):
        alice.record(run_id="=cmd()")
        (row,) = csv_rows(auditor, columns="run_id")
        assert row["run_id"] == "'=cmd()"

    def test_is_an_access_event(self, acme, alice, auditor):
        alice.record()
        csv_rows(auditor, runtime="vllm", **{"from": "2020-01-01"})
        (event,) = [e for e in events_of(acme) if e.action == "receipts.exported"]
        assert event.actor_name == auditor.user.email
        assert after(event) == {"rows": 1, "runtime": "vllm", "from": "2020-01-01"}

    def test_that_cannot_be_made_is_no_event(self, acme, alice, auditor):
        answer = auditor.get(PATH, data={"format": "csv", "from": "x"})
        assert answer.status_code == 400
        assert events_of(acme) == []


class TestFind:
    @pytest.mark.parametrize("name", ["receipt_id", "run_id", "receipt_hash"])
    def test_leads_to_the_receipt(self, acme, alice, auditor, name):
        receipt = alice.record(run_id="run 1/2".replace("/", "-"))
        answer = auditor.get(PATH, data={"find": f" {receipt[name]} "})
        path = f"/t/{acme.slug}/receipts/{receipt['receipt_id']}"
        assert (answer.status_code, answer["Location"]) == (302, path)

    def test_takes_a_hash_in_capitals(self, alice, auditor):
        found = alice.record()["receipt_hash"].upper()
        assert auditor.get(PATH, data={"find": found}).status_code == 302

    def test_takes_a_run_id_that_looks_like_a_hash(self, alice, auditor):
        alice.record(run_id="a" * 64)
        assert auditor.get(PATH, data={"find": "a" * 64}).status_code == 302

    @pytest.mark.parametrize("name", ["receipt_id", "run_id", "receipt_hash"])
    def test_finds_nothing_of_others_and_of_the_other_mode(
        self, acme, charlie, alice, auditor, name
    ):
        theirs = charlie.record()[name]
        tests = new_caller(acme, mode="test").record()[name]
        for value in (theirs, tests, "nothing"):
            answer = auditor.get(PATH, data={"find": value})
            assert answer.status_code == 404
            assert "No receipt here has this" in answer.content.decode()

    @pytest.mark.parametrize("value", ["", "x" * 201, "a\0b"])
    def test_tells_what_it_cannot_read(self, alice, auditor, value):
        assert auditor.get(PATH, data={"find": value}).status_code == 400


def test_an_empty_log_says_what_would_fill_it(auditor):
    text = page(auditor)
    assert "The log is empty" in text
    assert "curl http://testserver/v1/receipts" in text
    assert "lk_test_…" in page(auditor, mode="test")


def test_filters_that_nothing_passes_are_no_empty_log(alice, auditor):
    alice.record()
    text = page(auditor, trace_id="nobody")
    assert "No receipt passes these filters" in text
    assert "log is empty" not in text


def test_an_entry_that_is_no_receipt_is_listed_all_the_same(alice, auditor):
    from tests.receipts.tampering import change_receipt

    grow(alice, 2)
    change_receipt(alice, 1, entry=b"\xff{")
    shown = cells(page(auditor))
    assert (shown["Entry"], shown["Model"], shown["Tokens"]) == ("1", "–", "–")


@pytest.mark.parametrize(
    "query", [{}, {"runtime": "vllm"}, {"trace_id": "t", "from": "2020-01-01"}]
)
def test_its_queries_do_not_grow(alice, auditor, django_assert_max_num_queries, query):
    grow(alice, 60)
    assert Receipt.objects.of_log(alice.tenant.pk, "live").count() == 60
    with django_assert_max_num_queries(6):
        page(auditor, **query)


class TestTheExport:
    def test_is_offered_with_the_filters(self, acme, alice, auditor):
        alice.record()
        text = page(auditor, runtime="vllm", columns="runtime", what="else")
        path = f"/t/{acme.slug}/exports?what=receipts&runtime=vllm"
        assert f'href="{path}"' in unescape(text)
        form = auditor.get(path).content.decode()
        assert re.search(r'name="runtime" value="vllm"', form)

    def test_is_of_the_same_mode(self, acme, auditor):
        new_caller(acme, mode="test").record()
        text = unescape(page(auditor, mode="test"))
        assert f'"/t/{acme.slug}/exports?what=receipts&mode=test"' in text
