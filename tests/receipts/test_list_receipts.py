import pytest

from lucid.api.pagination import encode_cursor
from receipts.receipt_filter import ReceiptFilter
from tests.caller import RUN
from tests.receipts.auditor import fetch, grow

PATH = "/v1/receipts"


def run_ids(caller, query=""):
    return [item["run_id"] for item in fetch(caller, f"{PATH}?{query}")["receipts"]]


def pages(caller, limit, query=""):
    """Every page, from the newest receipt to the oldest."""
    cursor = ""
    while True:
        page = fetch(caller, f"{PATH}?limit={limit}{cursor}{query}")
        yield [receipt["run_id"] for receipt in page["receipts"]]
        if page["next_cursor"] is None:
            return
        cursor = f"&cursor={page['next_cursor']}"


def test_an_empty_log_is_an_empty_list(alice):
    assert fetch(alice, PATH) == {"success": True, "receipts": [], "next_cursor": None}


def test_it_has_the_newest_first(alice):
    grow(alice, 3)
    assert run_ids(alice) == ["run-2", "run-1", "run-0"]


def test_its_receipts_are_as_they_were_answered(alice):
    receipts = [alice.record(attestation={"a": 1.5}), alice.record()]
    assert fetch(alice, PATH)["receipts"] == receipts[::-1]


def test_it_has_one_mode_of_one_tenant(alice, alice_test, charlie):
    for caller in (alice, alice_test, charlie):
        caller.record(run_id=f"of {caller.key.prefix}")
    assert run_ids(alice) == [f"of {alice.key.prefix}"]


def test_bob_may_read_what_alice_reported(alice, bob):
    alice.record(run_id="run-1")
    assert run_ids(bob) == ["run-1"]


class TestPages:
    @pytest.mark.parametrize(
        ("count", "limit"), [(7, 1), (7, 3), (6, 3), (7, 6), (7, 7), (7, 8), (7, 200)]
    )
    def test_none_is_lost_or_doubled(self, alice, count, limit):
        grow(alice, count)
        seen = [run_id for page in pages(alice, limit) for run_id in page]
        assert seen == [f"run-{number}" for number in reversed(range(count))]

    @pytest.mark.parametrize(("count", "limit"), [(7, 3), (6, 3), (1, 1), (0, 5)])
    def test_only_the_last_may_be_short(self, alice, count, limit):
        grow(alice, count)
        lengths = [len(page) for page in pages(alice, limit)]
        assert lengths[:-1] == [limit] * (len(lengths) - 1)
        assert lengths[-1] == (count % limit or min(count, limit))

    def test_a_page_has_fifty_unless_told(self, alice):
        grow(alice, 51)
        assert len(run_ids(alice)) == 50

    def test_a_page_has_at_most_two_hundred(self, alice):
        grow(alice, 201)
        assert len(run_ids(alice, "limit=200")) == 200

    def test_what_is_appended_meanwhile_moves_nothing(self, alice):
        grow(alice, 6)
        seen = []
        for page in pages(alice, 2):
            seen += page
            alice.record()
        assert seen == [f"run-{number}" for number in reversed(range(6))]

    def test_filters_hold_on_every_page(self, alice):
        for number in range(10):
            alice.record(
                run_id=f"run-{number}", trace_id="even" if number % 2 else "odd"
            )
        seen = list(pages(alice, 2, "&trace_id=odd"))
        assert seen == [["run-8", "run-6"], ["run-4", "run-2"], ["run-0"]]

    def test_a_cursor_below_the_log_is_an_empty_page(self, alice):
        grow(alice, 2)
        assert run_ids(alice, f"cursor={encode_cursor(0)}") == []

    @pytest.mark.parametrize(
        "limit", ["0", "-1", "201", "a", "", "1.5", "9" * 30, "null", "true", "1_0"]
    )
    def test_a_bad_limit_is_400(self, alice, limit):
        answer = alice.get(f"{PATH}?limit={limit}")
        assert answer.status_code == 400
        assert [*answer.json()["details"]] == ["limit"]

    @pytest.mark.parametrize(
        "cursor",
        [
            "",
            "0",
            "null",
            "c1",
            "YzE=",  # "c1" is YzE: with padding,
            "YzF",  # and with bits left over
            "Yy0x",  # "c-1"
            "MTI",  # "12"
            "YzAx",  # "c01"
            "Y-E",
            "Yz9223372036854775808",
            "%F0%9F%98%80",
            "YzE%00",
            encode_cursor(2**63),
        ],
    )
    def test_a_bad_cursor_is_400(self, alice, cursor):
        answer = alice.get(f"{PATH}?cursor={cursor}")
        assert answer.status_code == 400, answer.content

    def test_a_bad_cursor_is_named(self, alice):
        details = alice.get(f"{PATH}?cursor=x").json()["details"]
        assert details == {"cursor": ["Not a cursor of this list."]}


class TestFilters:
    @pytest.mark.parametrize(
        ("name", "value", "other"),
        [
            ("model_passport_id", "ppt_a", "ppt_b"),
            ("compute_passport_id", "ppt_a", "ppt_A"),
            ("trace_id", "trace-1", "trace-11"),
            ("trace_id", "100% ünï", "100"),
            ("policy_hash", "a" * 64, "b" * 64),
            ("runtime", "vllm", "vLLM"),
            ("runtime", "v_lm", "vllm"),
        ],
    )
    def test_it_is_of_the_whole_value(self, alice, name, value, other):
        alice.record(run_id="wanted", **{name: value})
        alice.record(run_id="other", **{name: other})
        alice.record(run_id="without")
        query = f"{name}={value.replace('%', '%25').replace(' ', '%20')}"
        assert run_ids(alice, query) == [
            *(["without"] if RUN.get(name) == value else []),
            "wanted",
        ]

    def test_by_receipt_type(self, alice):
        alice.record(run_id="run-1")
        assert run_ids(alice, "receipt_type=compute") == ["run-1"]
        assert run_ids(alice, "receipt_type=inference") == []

    def test_by_signer_kid(self, alice):
        receipt = alice.record(run_id="run-1")
        assert run_ids(alice, f"signer_kid={receipt['signer_kid']}") == ["run-1"]
        assert run_ids(alice, "signer_kid=another") == []

    @pytest.mark.parametrize(
        "name", ["model", "provider", "agent_id", "orchestration_id"]
    )
    def test_a_claim_that_a_run_does_not_make_matches_none(self, alice, name):
        alice.record(run_id="run-1", **{name: "x"})
        assert run_ids(alice, f"{name}=x") == []

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("from=1700000002", ["3", "2"]),
            ("to=1700000002", ["2", "1"]),
            ("from=1700000002&to=1700000002", ["2"]),
            ("from=1700000003&to=1700000001", []),
            ("from=0&to=9223372036854775807", ["3", "2", "1"]),
        ],
    )
    def test_from_and_to_are_of_the_claimed_time_and_inclusive(
        self, alice, query, found
    ):
        for number in (1, 2, 3):
            alice.record(run_id=str(number), timestamp=1_700_000_000 + number)
        assert run_ids(alice, query) == found

    @pytest.mark.parametrize("name", ["from", "to"])
    @pytest.mark.parametrize(
        "value", ["-1", "a", "", "1.5", "2026-01-01", "9223372036854775808"]
    )
    def test_a_bad_time_is_400(self, alice, name, value):
        answer = alice.get(f"{PATH}?{name}={value}")
        assert answer.status_code == 400
        assert [*answer.json()["details"]] == [name]

    def test_all_bad_parameters_are_named_at_once(self, alice):
        details = alice.get(f"{PATH}?limit=0&from=-1&to=b").json()["details"]
        assert details.keys() == {"limit", "from", "to"}

    def test_all_have_to_match(self, alice):
        alice.record(run_id="1", trace_id="t", runtime="vllm")
        alice.record(run_id="2", trace_id="t", runtime="sglang")
        alice.record(run_id="3", trace_id="u", runtime="vllm")
        assert run_ids(alice, "trace_id=t&runtime=vllm") == ["1"]

    def test_unknown_parameters_are_ignored(self, alice):
        alice.record(run_id="run-1")
        assert run_ids(alice, "page=2&colour=red") == ["run-1"]


@pytest.mark.parametrize(
    "query", ["limit=1", "limit=20", "limit=200", "trace_id=t", "from=1&runtime=vllm"]
)
def test_it_takes_two_queries_whatever_the_page(
    alice, django_assert_num_queries, query
):
    grow(alice, 30)
    fetch(alice, PATH)
    with django_assert_num_queries(2):  # the key, the page
        fetch(alice, f"{PATH}?{query}")


def test_an_export_has_what_passes_in_the_order_of_the_log(alice, alice_test):
    for caller in (alice, alice_test):
        for number in range(4):
            caller.record(run_id=f"run-{number}", timestamp=10 - number)
    passing = ReceiptFilter(since=8, policy_hash=RUN["policy_hash"].upper())
    rows = passing.in_log_order(alice.tenant.pk, alice.key.mode)
    assert [row.run_id for row in rows] == ["run-0", "run-1", "run-2"]
