"""The page of one orchestration: how it ended, what it cost, what is missing of it."""

import csv
import html
import io
import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestrations import run_calls, run_pages
from orchestrations.models import Inference, Orchestration, Step
from orchestrations.run_spans import MOST_CALLS, MOST_STEPS
from receipts.ledger import LedgerUnavailable
from tests.conftest import new_caller
from tests.orchestrations.calling import ASKED, infer
from tests.orchestrations.provider import Scripted, open_account
from tests.orchestrations.runs import AGENT, get, post, record, start
from tests.orchestrations.test_browse_runs import words
from tests.orchestrations.test_reprice_calls import OURS, run_reprice, set_price
from tests.tenants.people import after, events_of, new_person

MOST_QUERIES = 15
MOST_BYTES = 140_000  # a fifth of it when compressed, as browsers get it
STEP = {"action": "tool_call", "name": "look_up", "duration_ms": 20}


@pytest.fixture
def auditor(acme) -> Any:
    return new_person(acme, "auditor")


def text(person: Any, run: str, **query: Any) -> str:
    with CaptureQueriesContext(connection) as asked:
        answer = person.get(f"/orchestrations/{run}", data=query)
    assert answer.status_code == 200
    assert len(asked.captured_queries) <= MOST_QUERIES
    page: str = answer.content.decode()
    assert len(page) < MOST_BYTES
    return page


def part(page: str, name: str) -> str:
    """Return the words of a section, from its heading to the next."""
    return words(page.partition(f'<h2 id="{name}">')[2].partition("<h2")[0])


def sentence(page: str) -> str:
    found = words(page.partition('<p class="answer">')[2].partition("</p>")[0])
    return html.unescape(re.sub(r" ([,:.])", r"\1", found))


def bars(page: str) -> int:
    return page.count("<rect ")


def test_it_opens_with_how_it_ended(alice, auditor):
    run = start(alice, name="Claim 4711")
    record(alice, run, cost_cents=0.25)
    record(alice, run, cost_cents=0.25, agent_id="checker")
    post(alice, run, "steps", STEP | {"cost_cents": 1})
    post(alice, run, "complete", {})
    page = text(auditor, run)
    receipt = get(alice, run)["receipt_id"]
    assert "<h1" in page
    assert "Claim 4711" in page
    told = sentence(page)
    assert re.fullmatch(
        r"Completed \d+ \w+ \d+ [\d:]+ UTC after [\d.]+ m?s: 2 calls of 2 agents,"
        rf" 1 step, \$0\.015, receipt …{receipt[-8:]}\.",
        told,
    ), told


def test_a_run_that_goes_on_says_when_it_times_out(alice, auditor):
    run = start(alice)
    told = sentence(text(auditor, run))
    assert told.startswith("Running since ")
    assert ", and timed out at " in told
    assert told.endswith("unless it ends before: no calls, $0.00.")
    assert "No final receipt yet" in part(text(auditor, run), "proof")


def test_a_failed_run_says_its_code_and_message(alice, auditor):
    run = start(alice)
    post(alice, run, "fail", {"code": "NO_POLICY", "message": "No <b>policy</b>."})
    page = text(auditor, run)
    assert "<b>" not in page
    assert ", with NO_POLICY, “No <b>policy</b>.”: no calls" in sentence(page)
    assert '<span class="verdict bad">Failed</span>' in page


def test_a_long_message_is_cut_in_the_sentence_and_whole_below(alice, auditor):
    run = start(alice)
    message = "n" * 300
    post(alice, run, "fail", {"code": "LONG", "message": message})
    page = text(auditor, run)
    assert f"“{'n' * 199}…”: no calls" in sentence(page)
    assert f"All of its 300 characters {message} " in words(page)


def test_a_cancelled_run_says_why(alice, auditor):
    run = start(alice)
    post(alice, run, "cancel", {"reason": "Withdrawn."})
    told = sentence(text(auditor, run))
    assert told.startswith("Cancelled ")
    assert ", “Withdrawn.”: no calls" in told


def be_due(run: str) -> None:
    Orchestration.objects.filter(pk=run).update(expires_at=timezone.now())


def test_a_run_past_its_time_is_timed_out_by_whoever_looks(alice, auditor):
    run = start(alice, timeout_seconds=7)
    be_due(run)
    # Ending it takes as many queries as the engine's ledger does.
    told = sentence(auditor.get(f"/orchestrations/{run}").content.decode())
    assert told.startswith("Timed out ")
    assert "nobody ended it within its 7 seconds" in told
    assert get(alice, run)["status"] == "timeout"


def test_where_the_log_takes_nothing_its_time_is_over_all_the_same(
    alice, auditor, monkeypatch
):
    run = start(alice)
    be_due(run)

    def refuse(*whose):
        raise LedgerUnavailable

    monkeypatch.setattr(run_pages, "look_at", refuse)
    assert sentence(text(auditor, run)).startswith("Its time is over since ")


def test_it_shows_every_call_with_what_is_known_of_it(alice, auditor):
    run = start(alice)
    record(
        alice,
        run,
        sequence=1,
        step_name="decide",
        cost_cents=None,
        provider="anthropic",
        usage={
            "input_tokens": 1,
            "cache_read_input_tokens": 2000,
            "cache_creation_input_tokens": 30,
            "output_tokens": 4,
        },
        prompt_tokens=None,
        completion_tokens=None,
    )
    told = part(text(auditor, run), "calls")
    assert "decide" in told
    assert "1 / 2,000 / 30 / 4" in told
    assert "850 ms" in told
    assert "catalogue" in told
    assert "reported by the agent" in told


def test_who_called_what_leads_to_those_calls(alice, auditor):
    run = start(alice)
    record(alice, run, cost_cents=1)
    record(alice, run, cost_cents=2)
    record(alice, run, cost_cents=4, agent_id="checker & co", model="gpt-4o")
    page = text(auditor, run)
    told = part(page, "callers")
    assert told.index("checker &amp; co gpt-4o 1 0 0 170 $0.04") < told.index(
        f"{AGENT.removeprefix('maip-agent:')} claude-sonnet-4-5 2 0 0 340 $0.03"
    )
    assert "?agent=checker+%26+co&amp;model=gpt-4o#calls" in page
    some = text(auditor, run, agent="checker & co", model="gpt-4o")
    assert len(table_of_calls(some)) == 1


def table_of_calls(page: str) -> list[str]:
    table = page.partition('<table class="calls')[2].partition("</table>")[0]
    return re.findall(r"<tr>(.*?)</tr>", table.partition("<tbody>")[2], re.S)


def test_calls_go_on_by_a_cursor(alice, auditor):
    run = start(alice)
    calls = [{"sequence": n + 1, **CALL} for n in range(run_calls.CALLS_SHOWN + 2)]
    answer = post(alice, run, "inferences/batch", {"inferences": calls})
    assert answer.status_code == 200
    first = text(auditor, run)
    assert len(table_of_calls(first)) == run_calls.CALLS_SHOWN
    (older,) = re.findall(r'rel="next" href="\?cursor=([^"#]+)#calls"', first)
    second = text(auditor, run, cursor=older)
    assert len(table_of_calls(second)) == 2
    assert 'rel="next"' not in second


CALL = {
    "model": "gpt-4o",
    "provider": "openai",
    "prompt_tokens": 1,
    "completion_tokens": 2,
    "cost_cents": 0.5,
    "latency_ms": 9,
}


def test_what_narrows_the_calls_is_a_chip(alice, auditor):
    run = start(alice)
    record(alice, run, **OURS)
    record(alice, run)
    page = text(auditor, run, only="unpriced")
    assert len(table_of_calls(page)) == 1
    chips = page.partition('class="chips"')[2].partition("</ul>")[0]
    assert "Only Unpriced" in words(chips)
    assert len(table_of_calls(text(auditor, run))) == 2
    assert "No call passes these filters" in text(auditor, run, only="failed")


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ({"only": "cheap"}, "Select a valid choice"),
        ({"agent": "a\0"}, "Null characters are not allowed"),
        ({"model": "m" * 201}, "at most 200 characters"),
        ({"steps_after": "-1"}, "greater than or equal to 0"),
        ({"steps_after": "9" * 30}, "less than or equal to 10000"),
        ({"check": "all"}, "Select a valid choice"),
        ({"cursor": "nonsense"}, "points at no place"),
    ],
)
def test_what_cannot_be_read_is_told(alice, auditor, query, complaint):
    run = start(alice)
    record(alice, run)
    answer = auditor.get(f"/orchestrations/{run}", data=query)
    assert answer.status_code == 400
    page = answer.content.decode()
    assert complaint in page
    assert 'role="alert"' in page
    assert table_of_calls(page) == []


@pytest.mark.parametrize(
    "name",
    [
        "nonsense",
        "maip-orch:01KATVZ3Z0N4YB6T7V9H2QWE5R",
        "maip-orch:%00",
        "x" * 300,
    ],
)
def test_what_is_no_run_is_not_found(auditor, name):
    assert auditor.get(f"/orchestrations/{name}").status_code == 404


def test_another_tenants_run_is_not_found(charlie, auditor):
    theirs = start(charlie)
    for mode in ("", "?mode=test"):
        assert auditor.get(f"/orchestrations/{theirs}{mode}").status_code == 404


def test_a_run_is_shown_in_its_mode(alice, auditor):
    test, live = start(new_caller(alice.tenant, mode="test")), start(alice)
    for path, leads_to in (
        (f"/orchestrations/{test}", f"/orchestrations/{test}?mode=test"),
        (f"/orchestrations/{live}?mode=test", f"/orchestrations/{live}"),
        (
            f"/orchestrations/{test}?only=failed&model=a%26b",
            f"/orchestrations/{test}?only=failed&model=a%26b&mode=test",
        ),
    ):
        answer = auditor.get(path)
        assert (answer.status_code, answer.get("Location")) == (302, leads_to)
    assert "/orchestrations?mode=test" in text(auditor, test, mode="test")


def numbered(alice: Any, *numbers: int) -> str:
    run = start(alice)
    for number in numbers:
        record(alice, run, sequence=number)
    return run


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ((1, 2, 3), ["No gap", "from 1 to 3, each number once"]),
        ((0, 1), ["No gap", "from 0 to 1"]),
        ((1, 3), ["1 missing", "Call 2 was never recorded.", "up to 3, says so"]),
        ((1, 7, 2, 3), ["3 missing", "Calls 4 to 6 were never recorded."]),
        ((3,), ["2 missing", "Calls 1 to 2 were never recorded."]),
        ((1, 2, 2), ["Numbers repeat", "More than one call has the number 2."]),
        ((), ["No call is recorded"]),
    ],
)
def test_what_the_clients_counter_says_is_missing(alice, auditor, numbers, told):
    found = part(text(auditor, numbered(alice, *numbers)), "sequence")
    for words_of_it in told:
        assert words_of_it in found


def test_without_numbers_nothing_can_be_told_of_gaps(alice, auditor):
    run = start(alice)
    record(alice, run)
    assert "Cannot be told" in part(text(auditor, run), "sequence")


def test_what_a_provider_said_of_a_failure_is_shown(alice, auditor, provider):
    open_account(alice.tenant, provider)
    run = start(alice)
    error = {"error": {"message": "Overloaded <b>now</b>."}}
    provider.answers(Scripted(error, status=503))
    assert infer(alice, ASKED | {"orchestration_id": run}).status_code == 502
    page = text(auditor, run)
    told = part(page, "failures")
    assert "1 of 1 call failed" in told
    assert "HTTP 503, HTTP_503" in told
    assert "Overloaded &lt;b&gt;now&lt;/b&gt;." in told
    assert '<polygon class="failure"' in page
    assert "seen by our gateway" in part(page, "calls")
    assert len(table_of_calls(text(auditor, run, only="failed"))) == 1


def test_what_is_unpriced_is_a_word_in_no_sum(alice, auditor):
    run = start(alice)
    record(alice, run, cost_cents=1)
    record(alice, run, **OURS)
    page = text(auditor, run)
    assert "$0.01 and 1 call unpriced" in sentence(page)
    assert "1 call , in none of these sums" in part(page, "cost")
    assert "unpriced no price known" in part(page, "calls")


def test_a_budget_is_words_and_a_meter(alice, auditor):
    run = start(alice, budget_cents=4)
    record(alice, run, cost_cents=1)
    page = text(auditor, run)
    assert "$0.01 of the budget of $0.04 are spent so far; $0.03 are left (25.0 %)" in (
        part(page, "cost")
    )
    assert re.search(r'<meter [^>]*max="4\.0+" value="1\.0+"', page)
    assert '<path class="budget"' in page


def test_a_budget_that_was_passed_says_by_how_much(alice, auditor):
    run = start(alice, budget_cents=1)
    record(alice, run, cost_cents=3)
    told = part(text(auditor, run), "cost")
    assert "Budget passed : $0.03 of $0.01, $0.02 beyond it" in told


def test_a_budget_far_above_the_costs_does_not_flatten_them(alice, auditor):
    run = start(alice, budget_cents=1000)
    record(alice, run, cost_cents=1)
    page = text(auditor, run)
    assert '<path class="budget"' not in page
    assert "the budget of $10.00 is far above this drawing" in words(page)


def test_no_budget_is_said_too(alice, auditor):
    assert "no budget of its own" in part(text(auditor, start(alice)), "cost")


def test_what_was_adjusted_since_stands_beside_what_was_charged(alice, auditor):
    run = start(alice)
    set_price(alice.tenant, 100)
    record(alice, run, **OURS)
    before = part(text(auditor, run), "cost")
    assert "nothing that changes the sum was priced anew" in before
    set_price(alice.tenant, 200)
    run_reprice(alice.tenant)
    told = part(text(auditor, run), "cost")
    assert "As charged $0.017" in told
    assert "Adjusted since $0.017, which makes $0.034" in told


def test_tokens_are_split(alice, auditor):
    run = start(alice)
    record(alice, run, prompt_tokens=30, completion_tokens=10)
    told = part(text(auditor, run), "cost")
    assert "Tokens: 40" in told
    assert "Input, from no cache 30 75.0 % Output 10 25.0 %" in told


def test_steps_are_drawn_and_listed(alice, auditor):
    run = start(alice, max_steps=200)
    record(alice, run, agent_id="checker")
    post(alice, run, "steps", STEP | {"result": {"n": "<i>"}, "cost_cents": 1})
    page = text(auditor, run)
    assert bars(page) == 2
    assert 'class="step"' in page
    told = part(page, "steps")
    assert "Tool call look_up" in told
    assert "{&quot;n&quot;: &quot;&lt;i&gt;&quot;} 20 ms $0.01" in told
    assert "Tool call: look_up" in part(page, "timeline")


def test_a_calls_cost_is_not_counted_again_with_its_step(alice, auditor):
    run = start(alice)
    post(alice, run, "steps", {"action": "llm_inference", "cost_cents": 3})
    page = text(auditor, run)
    assert "Cost $0.00" in part(page, "timeline")
    assert "$0.03 counted with the call" in part(page, "steps")


def test_many_steps_go_on_in_pages(alice, auditor):
    run = start(alice, max_steps=1000)
    add_steps(run, alice.tenant, MOST_STEPS + 5)
    page = text(auditor, run)
    assert 1 <= bars(page) <= MOST_STEPS
    (after_it,) = re.findall(r'href="\?steps_after=(\d+)#steps"', page)
    assert after_it == str(MOST_STEPS)
    told = part(text(auditor, run, steps_after=after_it), "steps")
    assert told.count("Tool call") == 5


def add_steps(run: str, tenant: Any, count: int) -> None:
    Step.objects.bulk_create(
        Step(
            tenant=tenant,
            mode="live",
            orchestration_id=run,
            step_number=number + 1,
            recorded_at=timezone.now(),
            action="tool_call",
        )
        for number in range(count)
    )
    Orchestration.objects.filter(pk=run).update(step_count=count)


def test_its_receipt_says_what_it_proves(alice, auditor):
    run = start(alice)
    record(alice, run)
    post(alice, run, "complete", {})
    root = get(alice, run)["inferences"]["root"]
    page = text(auditor, run)
    assert root in page
    assert "has the same status, count and root as this page" in part(page, "proof")


def test_a_receipt_that_says_otherwise_is_not_taken_for_proof(alice, auditor):
    run = start(alice)
    post(alice, run, "complete", {})
    Orchestration.objects.filter(pk=run).update(status="failed")
    assert "The receipt says otherwise" in part(text(auditor, run), "proof")


def test_a_call_without_a_receipt_is_said_to_have_none(alice, auditor):
    run = start(alice)
    add_calls(run, alice.tenant, 1)
    assert "no receipt" in part(text(auditor, run), "calls")


@pytest.mark.parametrize(("role", "sees"), [("analyst", False), ("auditor", True)])
def test_only_who_may_read_receipts_is_led_to_them(alice, role, sees):
    run = start(alice)
    call = record(alice, run)
    post(alice, run, "complete", {})
    final = get(alice, run)["receipt_id"]
    page = text(new_person(alice.tenant, role), run)
    slug = alice.tenant.slug
    for receipt in (call["receipt_id"], final):
        assert (f'href="/t/{slug}/receipts/{receipt}"' in page) is sees
    evidence = "/evidence" in page
    assert evidence is sees


def test_links_stay_in_the_mode(alice, auditor):
    tester = new_caller(alice.tenant, mode="test")
    run = start(tester)
    call = record(tester, run)
    page = text(auditor, run, mode="test")
    assert f"/receipts/{call['receipt_id']}?mode=test" in page


def test_it_ends_with_the_answer_of_the_api(alice, auditor):
    run = start(alice, input={"claim": "<b>"})
    record(alice, run, sequence=1)
    post(alice, run, "steps", STEP)
    page = text(auditor, run)
    assert "<b>" not in page
    raw = page.partition('<pre class="raw" tabindex="0">')[2].partition("</pre>")[0]
    assert json.loads(html.unescape(raw), parse_float=Decimal) == get(alice, run)


def test_a_very_long_answer_is_not_shown_whole(alice, auditor):
    run = start(alice, input={"text": "x" * 50_000})
    page = text(auditor, run)
    assert "The whole answer is long" in page
    assert "xxxxx" not in page


def test_calls_come_as_csv(alice, auditor):
    run = start(alice)
    call = record(alice, run, sequence=1, step_name="=decide")
    answer = auditor.get(f"/orchestrations/{run}?format=csv")
    body = b"".join(answer.streaming_content).decode()
    (row,) = csv.DictReader(io.StringIO(body, newline=""))
    assert row["receipt_id"] == call["receipt_id"]
    assert row["step_name"] == "'=decide"
    assert row["cost_usd"] == "0.0025"
    assert row["observed"] == "reported"
    (event,) = events_of(alice.tenant)
    assert (event.action, event.object_id) == ("calls.exported", run)
    assert after(event)["rows"] == 1


def test_names_are_text_and_no_markup(alice, auditor):
    hostile = "<b>\"&'</b> 😀" + "x" * 180
    run = start(alice, name=hostile, agent_id=hostile, workflow_id=hostile)
    record(alice, run, model=hostile, agent_id=hostile, step_name=hostile)
    post(alice, run, "steps", STEP | {"name": hostile})
    page = text(auditor, run)
    assert "<b>" not in page
    assert "😀" in page


def test_times_that_no_date_has_are_drawn_too(alice, auditor):
    run = start(alice)
    record(alice, run, latency_ms=2**53 - 1)
    assert bars(text(auditor, run)) == 1


START = datetime(2026, 11, 1, tzinfo=UTC)


def add_calls(run: str, tenant: Any, count: int, agents: int = 1) -> None:
    """Insert calls without receipts: a tenth fails, a seventh is unpriced."""
    Inference.objects.bulk_create(
        Inference(
            receipt_id=uuid4(),
            tenant=tenant,
            mode="live",
            orchestration_id=run,
            leaf_index=number * 3,
            recorded_at=START + timedelta(seconds=number),
            model="gpt-4o",
            provider="openai",
            agent_id=f"agent {number % agents}",
            sequence=number + 1,
            latency_ms=500,
            cost=None if number % 7 == 0 else Decimal(1),
            cost_source="catalogue",
            outcome="failed" if number % 10 == 0 else "completed",
        )
        for number in range(count)
    )
    unpriced = len(range(0, count, 7))
    Orchestration.objects.filter(pk=run).update(
        inference_count=count,
        frontier=b"\0" * 32 * count.bit_count(),
        cost=Decimal(count - unpriced),
        failed_count=len(range(0, count, 10)),
        unpriced_count=unpriced,
        started_at=START,
    )


@pytest.mark.parametrize("agents", [1, 40])
def test_a_huge_run_is_drawn_with_few_bars(alice, auditor, agents):
    run = start(alice, max_steps=10_000, budget_cents=6000)
    add_calls(run, alice.tenant, 5000, agents)
    add_steps(run, alice.tenant, 3000)
    page = text(auditor, run)
    assert 50 < bars(page) <= 400
    assert "too many to draw each one" in words(page)
    assert f"5,000 calls of {agents} agent" in sentence(page)
    assert "No gap" in part(page, "sequence")
    assert "Cost $42.85" in part(page, "timeline")
    if agents > 1:
        assert "other agents" in part(page, "timeline")


def test_of_a_run_beyond_bounds_the_newest_calls_are_added_up(
    alice, auditor, monkeypatch
):
    monkeypatch.setattr(run_calls, "RECENT", 100)
    monkeypatch.setattr("orchestrations.run_page.RECENT", 100)
    run = start(alice)
    add_calls(run, alice.tenant, 300)
    page = text(auditor, run)
    assert "Of 300 calls, the newest 100 are added up here" in part(page, "callers")
    assert "at least 1 agent" in sentence(page)
    assert bars(page) == 100
    assert "Cost $2.57" in part(page, "timeline")
    assert "Not looked at yet" in part(page, "sequence")
    assert "No gap" in part(text(auditor, run, check="sequence"), "sequence")
    failed = text(auditor, run, only="failed")
    assert "Looked through 100 calls: 10 pass the filters" in words(failed)
    (further,) = re.findall(r'rel="next" href="\?([^"]+)#calls"', failed)
    query = dict(pair.split("=") for pair in further.replace("&amp;", "&").split("&"))
    assert len(table_of_calls(text(auditor, run, **query))) == 10


def test_few_calls_are_drawn_one_by_one(alice, auditor):
    run = start(alice)
    add_calls(run, alice.tenant, MOST_CALLS)
    page = text(auditor, run)
    assert bars(page) == MOST_CALLS
    assert page.count('<polygon class="failure"') == MOST_CALLS // 10


def test_calls_that_are_missing_are_in_the_first_sentence(alice, auditor):
    run = start(alice)
    for sequence in (1, 2, 5):
        record(alice, run, sequence=sequence)
    assert "; 2 calls missing by the client's own counter" in sentence(
        text(auditor, run)
    )


def test_it_leads_to_its_receipts_for_who_may_read_them(acme, alice, auditor):
    run = start(alice)
    post(alice, run, "complete", {})
    there = f"/t/{acme.slug}/receipts?orchestration_id={run.replace(':', '%3A')}"
    assert f'href="{there}"' in text(auditor, run)
    assert there not in text(new_person(acme, "analyst"), run)
