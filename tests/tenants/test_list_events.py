"""Access events over the API."""

import pytest
from django.db import OperationalError

from lucid.api.openapi import shape_of
from tenants import audit_examples, events
from tenants.models import AccessEvent
from tests.caller import Caller
from tests.conftest import new_caller
from tests.tenants.test_browse_events import ADA, note

PATH = "/v1/audit/events"


def listed(caller: Caller, query: str = "") -> list[str]:
    answer = caller.get(f"{PATH}?{query}")
    assert answer.status_code == 200, answer.content
    return [event["action"] for event in answer.json()["events"]]


def test_an_event_says_who_did_what(acme, alice):
    event = note(
        acme,
        "api_key.revoked",
        kind="api_key",
        object_id="lk_live_0123456789",
        before={"state": "active"},
        after={"state": "revoked"},
        reason="Lost.",
    )
    answer = alice.get(PATH).json()
    assert answer["next_cursor"] is None
    assert answer["events"] == [
        {
            "id": str(event.pk),
            "recorded_at": int(event.recorded_at.timestamp()),
            "action": "api_key.revoked",
            "actor_kind": "person",
            "actor_id": "7",
            "actor": "ada@example.com",
            "address": "203.0.113.9",
            "request_id": "req_1",
            "object_kind": "api_key",
            "object_id": "lk_live_0123456789",
            "before": {"state": "active"},
            "after": {"state": "revoked"},
            "reason": "Lost.",
        }
    ]


def test_the_example_has_the_shape_of_a_real_answer(acme, alice):
    for _ in range(2):
        note(acme, before={"state": "active"}, after={"state": "revoked"})
    answer = alice.get(f"{PATH}?limit=1").json()
    assert shape_of(audit_examples.EVENTS) == shape_of(answer)


def test_it_has_a_tenants_own_alone(acme, alice, charlie):
    note(charlie.tenant, "theirs.done")
    events.record(ADA, "installation.done", tenant_id=None)
    note(acme, "ours.done")
    assert listed(alice) == ["ours.done"]


def test_pages_follow_one_another(acme, alice):
    made = [str(note(acme).pk) for _ in range(5)]
    ids: list[str] = []
    cursor = ""
    for _ in range(3):
        answer = alice.get(f"{PATH}?limit=2{cursor}").json()
        ids += [event["id"] for event in answer["events"]]
        cursor = f"&cursor={answer['next_cursor']}"
    assert ids == sorted(made, reverse=True)
    assert answer["next_cursor"] is None


def test_each_filter_leaves_what_passes_it(acme, alice):
    note(acme, "a.one", kind="price", object_id="gpt-4o")
    note(acme, "a.two", actor=events.command_line(), kind="key")
    assert listed(alice, "actor=ada@example.com") == ["a.one"]
    assert listed(alice, "action=a.two") == ["a.two"]
    assert listed(alice, "object_kind=key") == ["a.two"]
    assert listed(alice, "object_kind=price&object_id=gpt-4o") == ["a.one"]
    assert listed(alice, "object_id=gpt") == []


def test_times_bound_it_both_included(acme, alice):
    event = note(acme)
    second = int(event.recorded_at.timestamp())
    assert listed(alice, f"from={second}&to={second}") == ["price.created"]
    assert listed(alice, f"from={second + 1}") == []
    assert listed(alice, f"to={second - 1}") == []
    assert listed(alice, "from=0&to=253402300799") == ["price.created"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("cursor=nonsense", "cursor"),
        ("cursor=YzE", "cursor"),  # of a list that numbers order
        ("cursor=%C3%A9", "cursor"),
        ("from=yesterday", "from"),
        ("to=-1", "to"),
        ("to=253402300800", "to"),
        ("limit=201", "limit"),
    ],
)
def test_a_bad_query_is_refused_by_name(alice, query, field):
    answer = alice.get(f"{PATH}?{query}")
    assert answer.status_code == 400
    assert list(answer.json()["details"]) == [field]


def test_it_needs_the_scope(acme, bob):
    assert bob.get(PATH).json()["code"] == "INSUFFICIENT_SCOPE"
    reader = new_caller(acme, ("audit:read",))
    assert reader.get(PATH).status_code == 200


class TestVerifications:
    """That somebody had a receipt verified is an event, with the verdict."""

    @pytest.fixture
    def receipt(self, alice):
        return alice.record(run_id="checked")

    def paths(self, receipt):
        return [
            ("GET", f"/v1/receipts/{receipt['receipt_id']}/verify"),
            ("POST", "/v1/receipts/checked/verify"),
            ("GET", f"/v1/verify/{receipt['receipt_hash']}"),
        ]

    def test_each_way_is_told_of(self, alice, receipt):
        for method, path in self.paths(receipt):
            assert alice.request(method, path, b"{}").status_code == 200
        found = alice.get(PATH).json()["events"]
        assert [event["action"] for event in found] == ["receipt.verified"] * 3
        for event in found:
            assert event["object_id"] == receipt["receipt_id"]
            assert (event["actor_kind"], event["actor"]) == (
                "api_key",
                alice.key.prefix,
            )
            assert event["actor_id"] == str(alice.key.pk)
            assert event["after"] == {"verdict": "VALID"}
            assert event["request_id"].startswith("req_")

    def test_the_connectors_way_too(self, alice):
        said = {"agent_id": "a", "receipt_type": "action", "action": "x"}
        receipt = alice.post("/v1/agent-receipts", said).json()
        alice.get(f"/v1/agent-receipts/verify/{receipt['id']}")
        (event,) = alice.get(PATH).json()["events"]
        assert (event["action"], event["object_id"]) == (
            "receipt.verified",
            receipt["id"],
        )

    def test_what_is_not_there_was_not_verified(self, alice):
        assert alice.get("/v1/receipts/nothing/verify").status_code == 404
        assert alice.get(f"/v1/verify/{'0' * 64}").status_code == 404
        assert listed(alice) == []

    def test_where_it_cannot_be_told_nothing_is(self, alice, receipt, monkeypatch):
        # As on a standby, or on a full disk.
        def refuse(*args, **options):
            raise OperationalError("cannot execute INSERT in a read-only transaction")

        with monkeypatch.context() as patched:
            patched.setattr(AccessEvent, "save", refuse)
            for method, path in self.paths(receipt):
                answer = alice.request(method, path, b"{}")
                assert answer.status_code == 503
                assert "VALID" not in answer.content.decode()
        assert listed(alice) == []
