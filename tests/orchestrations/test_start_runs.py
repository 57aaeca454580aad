import json
import re
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connections

from orchestrations.models import Orchestration
from orchestrations.ulid import ALPHABET
from tenants.models import Mode
from tests.caller import Caller
from tests.conftest import new_caller
from tests.orchestrations.runs import (
    AGENT,
    exact,
    get,
    post,
    record,
    start,
    start_at,
)

PATH = "/v1/orchestrations"
PATHS = [PATH, f"{PATH}/execute"]
EMPTY_ROOT = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
TEXTS = ["agent_id", "workflow_id", "name", "model"]
OBJECTS = ["input", "parameters", "metadata"]
DOCUMENTS = [*OBJECTS, "agents"]
MONTH = 30 * 86_400
LARGEST = {"max_steps": 10_000, "timeout_seconds": MONTH}
MEMBERS = {
    *("success", "id", "orchestration_id", "agent_id", "workflow_id", "name", "model"),
    *("status", "max_steps", "timeout_seconds", "started_at", "created_at"),
    *("expires_at", "completed_at", "error", "output", "output_hash", "receipt_id"),
    *("total_cost_cents", "inference_cost_cents", "step_cost_cents", "usage"),
    *("list_price_cents", "total_tokens", "inference_count", "unpriced_count"),
    *(
        "contradictory_count",
        "failed_count",
        "step_count",
        "inferences",
        "budget",
        "sequence",
    ),
    *("agents", "input", "parameters", "metadata", "steps", "adjusted_cost_cents"),
}


@pytest.fixture
def alice_test(acme) -> Caller:
    """Alice with a key for test data."""
    return new_caller(acme, mode=Mode.TEST)


def started(caller, **claims):
    answer = caller.post(PATH, {"agent_id": AGENT} | claims)
    assert answer.status_code == 201, answer.content
    return exact(answer)


def with_literal(name, literal):
    """A body with a member spelled exactly so."""
    return f'{{"agent_id": "{AGENT}", "{name}": {literal}}}'.encode()


def refusal(answer):
    """The details of a 400."""
    assert answer.status_code == 400, answer.content
    assert answer.json()["error_code"] == "INVALID_REQUEST"
    return answer.json()["details"]


def listed(caller, query=""):
    answer = caller.get(f"{PATH}?{query}")
    assert answer.status_code == 200, answer.content
    return [run["id"] for run in answer.json()["orchestrations"]]


def at_once(number, action):
    """Do an action in so many threads; return what each returned."""
    barrier = threading.Barrier(number)
    results = []

    def act():
        try:
            barrier.wait()
            results.append(action())
        finally:
            connections.close_all()

    threads = [threading.Thread(target=act) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def count(caller):
    return Orchestration.objects.filter(tenant=caller.tenant).count()


class TestTheAnswer:
    @pytest.mark.parametrize("path", PATHS)
    def test_it_is_201_and_json(self, alice, path):
        answer = alice.post(path, {"agent_id": AGENT})
        assert answer.status_code == 201
        assert answer["Content-Type"] == "application/json"

    def test_it_has_these_members(self, alice):
        assert started(alice).keys() == MEMBERS

    def test_it_is_what_is_read_back(self, alice):
        run = started(
            alice,
            workflow_id="w",
            name="n",
            model="m",
            input={"a": [1, 1.5, None, {"ü": True}]},
            parameters={"temperature": 0.2},
            metadata={"team": "claims"},
            agents=["maip-agent:a", {"id": "b"}],
            budget_cents=12.5,
            **LARGEST,
        )
        assert get(alice, run["id"]) == run

    def test_it_has_these_defaults(self, alice):
        run = started(alice)
        assert (run["max_steps"], run["timeout_seconds"]) == (10, 300)
        nothing = {"workflow_id", "name", "model", "budget", "error", "output"}
        nothing |= {"output_hash", "receipt_id", "completed_at", "sequence", *OBJECTS}
        assert {name for name, value in run.items() if value is None} == nothing
        assert (run["agents"], run["steps"]) == ([], [])
        assert run["inferences"] == {"count": 0, "root": EMPTY_ROOT}
        assert run["status"] == "running"

    def test_nothing_has_been_spent(self, alice):
        run = started(alice, budget_cents=1)
        counts = [value for name, value in run.items() if name.endswith("_count")]
        costs = [v for name, v in run.items() if name.endswith("_cost_cents")]
        assert [*counts, *costs, run["total_tokens"]] == [0] * 10
        assert set(run["usage"].values()) == {0}
        assert run["budget"] == {
            "limit_cents": 1,
            "spent_cents": 0,
            "remaining_cents": 1,
            "exceeded": False,
        }

    def test_the_id_is_a_ulid_under_both_names(self, alice):
        run = started(alice)
        assert re.fullmatch(rf"maip-orch:[{ALPHABET}]{{26}}", run["id"])
        assert run["orchestration_id"] == run["id"]

    def test_times_are_iso_8601_in_utc_and_a_timeout_apart(self, alice):
        run = started(alice, timeout_seconds=90)
        for name in ("started_at", "created_at", "expires_at"):
            assert run[name].endswith("Z")
        begun, over = (
            datetime.fromisoformat(run[name]) for name in ("started_at", "expires_at")
        )
        assert over - begun == timedelta(seconds=90)
        assert abs(datetime.now(UTC) - begun) < timedelta(minutes=1)

    @pytest.mark.parametrize(
        ("camel", "snake", "value"),
        [
            ("coordinatorAgentId", "agent_id", "maip-agent:other"),
            ("agentId", "agent_id", "maip-agent:other"),
            ("participantAgentIds", "agents", ["a", "b"]),
            ("workflowId", "workflow_id", "w"),
            ("maxSteps", "max_steps", 3),
            ("timeoutSeconds", "timeout_seconds", 7),
        ],
    )
    def test_it_understands_camel_case(self, alice, camel, snake, value):
        body = {"agent_id": AGENT, camel: value}
        if snake == "agent_id":
            del body["agent_id"]
        assert alice.post(PATH, body).json()[snake] == value

    def test_it_understands_a_budget_in_camel_case(self, alice):
        body = {"agent_id": AGENT, "budgetCents": 7}
        assert alice.post(PATH, body).json()["budget"]["limit_cents"] == 7

    def test_of_two_spellings_ours_counts(self, alice):
        run = started(alice, agentId="maip-agent:other")
        assert run["agent_id"] == AGENT

    def test_it_ignores_what_it_does_not_know(self, alice):
        run = started(alice, status="completed", id="x", unknown={"a": "\0"})
        assert run["status"] == "running"
        assert run["id"] != "x"

    @pytest.mark.parametrize("name", [*TEXTS[1:], *DOCUMENTS, "budget_cents"])
    def test_null_is_as_good_as_absent(self, alice, name):
        run = started(alice, **{name: None})
        assert run.get(name) in (None, [])

    def test_the_log_gets_no_entry_for_it(self, alice):
        started(alice)
        assert alice.get("/v1/mmr/root").json()["leaf_count"] == 0


class TestLimits:
    @pytest.mark.parametrize("name", TEXTS)
    def test_texts_have_up_to_200_characters(self, alice, name):
        text = "\N{GRINNING FACE}" * 200
        assert started(alice, **{name: text})[name] == text
        answer = alice.post(PATH, {"agent_id": AGENT, name: text + "a"})
        assert [*refusal(answer)] == [name]

    @pytest.mark.parametrize("name", TEXTS)
    @pytest.mark.parametrize("value", [7, True, ["a"], {"a": "b"}, "a\0b", "a\nb"])
    def test_texts_are_text_without_controls(self, alice, name, value):
        answer = alice.post(PATH, {"agent_id": AGENT, name: value})
        assert [*refusal(answer)] == [name]

    @pytest.mark.parametrize("body", [{}, {"agent_id": None}, {"agent_id": ""}])
    def test_there_must_be_an_agent(self, alice, body):
        assert [*refusal(alice.post(PATH, body))] == ["agent_id"]

    @pytest.mark.parametrize("name", LARGEST)
    def test_integers_have_bounds(self, alice, name):
        for value in (1, LARGEST[name]):
            assert started(alice, **{name: value})[name] == value
        for value in (0, -1, LARGEST[name] + 1):
            answer = alice.post(PATH, {"agent_id": AGENT, name: value})
            assert [*refusal(answer)] == [name]

    @pytest.mark.parametrize("name", LARGEST)
    @pytest.mark.parametrize(
        "literal",
        ["1.5", "1.0", "1e2", '"5"', "true", "null", "[]", "9007199254740992"],
    )
    def test_integers_are_integers(self, alice, name, literal):
        answer = alice.post(PATH, with_literal(name, literal))
        assert [*refusal(answer)] == [name]

    @pytest.mark.parametrize("name", OBJECTS)
    @pytest.mark.parametrize("value", ["a", 1, [], True, [{}]])
    def test_objects_are_objects(self, alice, name, value):
        answer = alice.post(PATH, {"agent_id": AGENT, name: value})
        assert [*refusal(answer)] == [name]

    @pytest.mark.parametrize("value", ["a", 1, {}, [1], [None], [["a"]], ["a"] * 1001])
    def test_agents_are_names_or_objects(self, alice, value):
        answer = alice.post(PATH, {"agent_id": AGENT, "agents": value})
        (field,) = refusal(answer)
        assert field.startswith("agents")

    @pytest.mark.parametrize(
        ("name", "limit"),
        [("metadata", 16 << 10), ("input", 64 << 10), ("parameters", 64 << 10)],
    )
    def test_documents_are_so_large_at_most(self, alice, name, limit):
        largest = {"a": "x" * (limit - len('{"a":""}'))}
        assert started(alice, **{name: largest})[name] == largest
        beyond = {"a": largest["a"] + "x"}
        answer = alice.post(PATH, {"agent_id": AGENT, name: beyond})
        assert [*refusal(answer)] == [name]

    def test_documents_are_measured_in_bytes(self, alice):
        metadata = {"a": "ü" * 9000}
        answer = alice.post(PATH, {"agent_id": AGENT, "metadata": metadata})
        assert [*refusal(answer)] == ["metadata"]

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("metadata", {"a": "\0"}),
            ("metadata", {"\0": 1}),
            ("input", {"a": [{"b": ["\0"]}]}),
            ("parameters", {"a": {"\0": 1}}),
            ("agents", ["a\0"]),
            ("agents", [{"id": "\0"}]),
        ],
    )
    def test_a_nul_is_refused_wherever_it_is(self, alice, name, value):
        answer = alice.post(PATH, {"agent_id": AGENT, name: value})
        assert [*refusal(answer)] == [name]

    def test_every_bad_member_is_named(self, alice):
        body = {"max_steps": 0, "metadata": 1, "budget_cents": -1}
        assert refusal(alice.post(PATH, body)).keys() == {"agent_id", *body}

    @pytest.mark.parametrize("body", [b"[]", b"null", b'"a"', b"{", b"\xff"])
    def test_a_body_is_an_object(self, alice, body):
        assert [*refusal(alice.post(PATH, body))] == ["body"]

    def test_a_body_of_another_type_is_415(self, alice):
        answer = alice.post(PATH, {"agent_id": AGENT}, content_type="text/plain")
        assert answer.status_code == 415

    def test_a_body_beyond_a_mebibyte_is_413(self, alice):
        answer = alice.post(PATH, {"agent_id": AGENT, "unknown": "x" * (1 << 20)})
        assert answer.status_code == 413

    @pytest.mark.parametrize("literal", ["1e21", "1.5e300", "1e-300", "0.1", "-0.0"])
    def test_numbers_of_documents_come_back_the_same(self, alice, literal):
        answer = alice.post(PATH, with_literal("metadata", f'{{"x": {literal}}}'))
        found = alice.get(f"{PATH}/{answer.json()['id']}").json()
        assert float(found["metadata"]["x"]) == float(literal)


class TestBudgets:
    @pytest.mark.parametrize(
        "literal", ["0", "0.000001", "1", "250.25", "999999.999999", "1000000", "1.50"]
    )
    def test_it_is_kept_to_the_last_digit(self, alice, literal):
        run = exact(alice.post(PATH, with_literal("budget_cents", literal)))
        assert run["budget"]["limit_cents"] == Decimal(literal)
        assert get(alice, run["id"])["budget"] == run["budget"]

    @pytest.mark.parametrize(
        "literal",
        [
            *("-1", "-0.5", "-0.0", "0.0000001", "1.2500000", "1e2", "1E-2", "1e400"),
            *("1000000.000001", "1000001", '"5"', '""', "true", "false", "[]", "{}"),
        ],
    )
    def test_it_refuses(self, alice, literal):
        answer = alice.post(PATH, with_literal("budget_cents", literal))
        assert [*refusal(answer)] == ["budget_cents"]
        assert count(alice) == 0

    @pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "01", "1."])
    def test_it_refuses_what_json_has_no_word_for(self, alice, literal):
        answer = alice.post(PATH, with_literal("budget_cents", literal))
        assert [*refusal(answer)] == ["body"]

    @pytest.mark.parametrize("literal", ["9007199254740992", "1" + "0" * 5000])
    def test_it_refuses_numbers_that_no_double_holds(self, alice, literal):
        answer = alice.post(PATH, with_literal("budget_cents", literal))
        assert answer.status_code == 400


class TestIdempotencyKeys:
    def test_a_repeat_starts_nothing(self, alice):
        body = {"agent_id": AGENT}
        first = alice.post(PATH, body, Idempotency_Key="k")
        again = alice.post(PATH, body, Idempotency_Key="k")
        assert again.status_code == first.status_code == 201
        assert again.content == first.content
        assert "Idempotent-Replayed" not in first.headers
        assert again["Idempotent-Replayed"] == "true"
        assert count(alice) == 1

    def test_repeats_at_once_start_one(self, alice):
        body = {"agent_id": AGENT}
        answers = at_once(8, lambda: alice.post(PATH, body, Idempotency_Key="k"))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert count(alice) == 1

    def test_another_body_is_a_conflict(self, alice):
        alice.post(PATH, {"agent_id": AGENT}, Idempotency_Key="k")
        answer = alice.post(PATH, {"agent_id": "b"}, Idempotency_Key="k")
        assert answer.status_code == 409
        assert answer.json()["error_code"] == "IDEMPOTENCY_CONFLICT"
        assert count(alice) == 1

    def test_it_is_of_one_path_tenant_and_mode(self, alice, alice_test, charlie):
        body = {"agent_id": AGENT}
        answers = [
            caller.post(path, body, Idempotency_Key="k")
            for caller in (alice, alice_test, charlie)
            for path in PATHS
        ]
        assert len({answer.json()["id"] for answer in answers}) == 6

    def test_what_was_refused_may_be_mended(self, alice):
        alice.post(PATH, {}, Idempotency_Key="k")
        answer = alice.post(PATH, {"agent_id": AGENT}, Idempotency_Key="k")
        assert answer.status_code == 201

    def test_without_one_every_request_is_another(self, alice):
        assert len({start(alice) for _ in range(3)}) == 3


class TestScopes:
    @pytest.mark.parametrize("path", PATHS)
    @pytest.mark.parametrize("scope", ["orchestrations:read", "receipts:*", "keys:*"])
    def test_starting_needs_orchestrations_write(self, acme, path, scope):
        caller = new_caller(acme, (scope,))
        answer = caller.post(path, {"agent_id": AGENT})
        assert answer.status_code == 403
        assert answer.json()["error_code"] == "INSUFFICIENT_SCOPE"
        assert answer.json()["details"] == {"scope": ["orchestrations:write"]}
        assert "orchestrations:write" in answer.json()["message"]
        assert count(caller) == 0

    @pytest.mark.parametrize("scope", ["orchestrations:write", "orchestrations:*", "*"])
    def test_starting_is_allowed_by(self, acme, scope):
        start(new_caller(acme, (scope,)))

    @pytest.mark.parametrize(
        "path", ["", "/{}", "/{}/inferences", "/{}/receipts", "/nothing"]
    )
    @pytest.mark.parametrize("scope", ["orchestrations:write", "receipts:read"])
    def test_reading_needs_orchestrations_read(self, alice, acme, path, scope):
        path = PATH + path.format(start(alice))
        answer = new_caller(acme, (scope,)).get(path)
        assert answer.status_code == 403
        assert answer.json()["details"] == {"scope": ["orchestrations:read"]}

    def test_reading_is_allowed_by_orchestrations_read(self, alice, acme):
        run = start(alice)
        reader = new_caller(acme, ("orchestrations:read",))
        assert get(reader, run)["id"] == run
        assert listed(reader) == [run]

    def test_there_is_no_get_of_execute(self, alice):
        answer = alice.get(f"{PATH}/execute")
        assert answer.status_code == 405
        assert answer["Allow"] == "POST"


class TestOne:
    def test_nobody_else_sees_it(self, alice, alice_test, charlie):
        run = start(alice)
        for outsider in (alice_test, charlie):
            answer = outsider.get(f"{PATH}/{run}")
            assert answer.status_code == 404
            assert answer.json()["error_code"] == "NOT_FOUND"
            assert listed(outsider) == []

    @pytest.mark.parametrize("name", ["maip-orch:1", "x", "%20", "x" * 500, "ü", "'"])
    def test_what_is_not_there_is_404(self, alice, name):
        assert alice.get(f"{PATH}/{name}").status_code == 404

    def test_a_nul_in_the_path_is_400(self, alice):
        assert alice.get(f"{PATH}/a%00").status_code == 400

    def test_the_key_that_started_it_is_noted(self, alice):
        run = Orchestration.objects.get(pk=start(alice))
        assert run.api_key_id == alice.key.pk


class TestTheList:
    def test_it_is_newest_first(self, alice):
        # Within a millisecond ids have no order but their own.
        runs = [start(alice) for _ in range(5)]
        assert listed(alice) == sorted(runs, reverse=True)

    def test_it_shows_what_one_shows_but_for_its_documents(self, alice):
        run = start(alice, metadata={"a": 1}, budget_cents=3)
        record(alice, run)
        (item,) = exact(alice.get(PATH))["orchestrations"]
        whole = get(alice, run)
        beside = {"success", "output", "sequence", "steps", "agents", *OBJECTS}
        beside.add("adjusted_cost_cents")
        assert item == {n: v for n, v in whole.items() if n not in beside}

    def test_pages_follow_each_other(self, alice):
        runs = sorted((start(alice) for _ in range(7)), reverse=True)
        seen, query = [], "limit=3"
        sizes = []
        while query:
            answer = alice.get(f"{PATH}?{query}").json()
            page = [run["id"] for run in answer["orchestrations"]]
            sizes.append(len(page))
            seen += page
            cursor = answer["next_cursor"]
            query = cursor and f"limit=3&cursor={cursor}"
        assert seen == runs
        assert sizes == [3, 3, 1]

    def test_a_page_that_ends_with_the_last_has_no_next(self, alice):
        start(alice)
        start(alice)
        assert alice.get(f"{PATH}?limit=2").json()["next_cursor"] is None
        assert alice.get(f"{PATH}?limit=1").json()["next_cursor"] is not None

    def test_what_starts_meanwhile_is_neither_repeated_nor_in_the_way(self, alice):
        before = {start(alice) for _ in range(6)}
        page = alice.get(f"{PATH}?limit=2").json()
        seen = [run["id"] for run in page["orchestrations"]]
        while page["next_cursor"]:
            start(alice)
            query = f"limit=2&cursor={page['next_cursor']}"
            page = alice.get(f"{PATH}?{query}").json()
            seen += [run["id"] for run in page["orchestrations"]]
        assert len(seen) == len(set(seen)) == 6
        assert set(seen) == before

    def test_runs_started_at_once_are_all_there(self, alice):
        shares = at_once(8, lambda: [start(alice) for _ in range(5)])
        runs = [run for share in shares for run in share]
        assert listed(alice, "limit=200") == sorted(runs, reverse=True)
        assert len(set(runs)) == 40

    @pytest.mark.parametrize("name", ["agent_id", "workflow_id"])
    def test_it_finds_by_name(self, alice, name):
        one, other = (start(alice, **{name: value}) for value in ("one", "other"))
        assert listed(alice, f"{name}=one") == [one]
        assert listed(alice, f"{name}=other") == [other]
        assert listed(alice, f"{name}=on") == []
        assert listed(alice, f"{name}=ONE") == []

    def test_it_finds_by_status(self, alice):
        runs = {name: start(alice) for name in ("complete", "fail", "cancel", "")}
        post(alice, runs["complete"], "complete", {})
        post(alice, runs["fail"], "fail", {"code": "E"})
        post(alice, runs["cancel"], "cancel", {})
        assert listed(alice, "status=completed") == [runs["complete"]]
        assert listed(alice, "status=failed") == [runs["fail"]]
        assert listed(alice, "status=cancelled") == [runs["cancel"]]
        assert listed(alice, "status=running") == [runs[""]]
        assert listed(alice, "status=timeout") == []

    def test_it_finds_by_start(self, alice):
        begun = datetime(2026, 1, 1, 12, tzinfo=UTC)
        one = start_at(alice, begun)
        other = start_at(alice, begun + timedelta(seconds=1))
        first, second = "2026-01-01T12:00:00Z", "2026-01-01T12:00:01Z"
        assert listed(alice, f"from={first}&to={first}") == [one]
        assert listed(alice, f"from={second}&to={second}") == [other]
        assert set(listed(alice, f"from={first}&to={second}")) == {one, other}
        assert listed(alice, f"to={first}") == [one]
        assert listed(alice, "from=2026-01-01T14:00:01%2B02:00&to=" + second) == [other]

    def test_it_finds_by_cost(self, alice):
        free, cheap, dear = (start(alice) for _ in range(3))
        record(alice, cheap, cost_cents=0.25)
        record(alice, dear, cost_cents=0.25)
        step = {"action": "tool_call", "cost_cents": Decimal("0.000001")}
        assert post(alice, dear, "steps", step).status_code == 201
        assert set(listed(alice, "min_cost_cents=0")) == {free, cheap, dear}
        assert set(listed(alice, "min_cost_cents=0.25")) == {cheap, dear}
        assert listed(alice, "min_cost_cents=0.250001") == [dear]
        assert listed(alice, "min_cost_cents=0.250002") == []

    def test_filters_go_together_and_with_a_cursor(self, alice):
        wanted = [start(alice, workflow_id="w", agent_id="a") for _ in range(3)]
        start(alice, workflow_id="w")
        start(alice, agent_id="a")
        query = "workflow_id=w&agent_id=a&status=running&min_cost_cents=0&limit=2"
        first = alice.get(f"{PATH}?{query}").json()
        second = alice.get(f"{PATH}?{query}&cursor={first['next_cursor']}").json()
        found = first["orchestrations"] + second["orchestrations"]
        assert [run["id"] for run in found] == sorted(wanted, reverse=True)
        assert second["next_cursor"] is None

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            *((f"limit={value}", "limit") for value in ("0", "201", "x", "1.5", "-1")),
            *((f"cursor={value}", "cursor") for value in ("x", "YzE", "0" * 25, "")),
            ("cursor=" + "U" * 26, "cursor"),
            *((f"status={value}", "status") for value in ("ended", "RUNNING", "")),
            *((f"from={value}", "from") for value in ("x", "2026-01-01")),
            ("to=2026-01-01T00:00:00", "to"),
            *(
                (f"min_cost_cents={value}", "min_cost_cents")
                for value in ("x", "-1", "1e2", "NaN", "0.0000001", "", "1000001")
            ),
        ],
    )
    def test_what_a_query_cannot_mean_is_400(self, alice, query, field):
        assert [*refusal(alice.get(f"{PATH}?{query}"))] == [field]

    def test_a_nul_in_a_query_is_400(self, alice):
        assert alice.get(f"{PATH}?agent_id=a%00").status_code == 400

    def test_a_full_page_costs_no_more_queries_than_a_short_one(
        self, alice, django_assert_max_num_queries
    ):
        for _ in range(10):
            start(alice)
        listed(alice)
        with django_assert_max_num_queries(4):
            assert len(listed(alice)) == 10


def test_a_body_as_javascript_writes_it_is_understood(alice):
    body = {
        "coordinatorAgentId": "maip-agent:c",
        "participantAgentIds": ["maip-agent:p", "maip-agent:q"],
        "maxSteps": 4,
        "input": {"goal": "x"},
    }
    answer = alice.post(f"{PATH}/execute", json.dumps(body).encode())
    assert answer.status_code == 201
    run = answer.json()
    assert (run["agent_id"], run["max_steps"]) == ("maip-agent:c", 4)
    assert run["agents"] == ["maip-agent:p", "maip-agent:q"]
