"""The management commands as a shell runs them: text, one JSON object, exit codes."""

import json
import re
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from lucid.api.models import IdempotentAnswer, TickRun
from lucid.api.ticks import tasks
from tenants.models import AccessEvent, ApiKey, Tenant
from tests.caller import RUN, Caller
from tests.conftest import new_caller
from tests.receipts.auditor import grow
from tests.receipts.key_operator import active_kid, revoke
from tests.receipts.tampering import change_receipt

KEY = re.compile(r"lk_(?:live|test)_[0-9A-Za-z]{42}")


@pytest.fixture
def slug(acme):
    # A name that no other test has.
    return acme.slug.replace("acme", "new")


class TestCreateTenant:
    def test_it_says_what_it_made(self, lines, slug):
        assert lines("create_tenant", slug) == [
            f"Tenant {slug} ({Tenant.objects.get(slug=slug).pk})."
        ]

    def test_as_json(self, as_json, slug):
        tenant = as_json("create_tenant", slug, "--name", "New & Söhne")
        assert tenant == {
            "id": str(Tenant.objects.get(slug=slug).pk),
            "slug": slug,
            "name": "New & Söhne",
            "requests_per_minute": None,
        }

    def test_with_a_limit(self, lines, slug):
        lines("create_tenant", slug, "--requests-per-minute", "600")
        assert Tenant.objects.get(slug=slug).requests_per_minute == 600

    def test_its_name_is_the_slug_unless_told(self, as_json, slug):
        assert as_json("create_tenant", slug)["name"] == slug

    def test_it_is_active(self, lines, slug):
        lines("create_tenant", slug)
        assert Tenant.objects.get(slug=slug).status == "active"

    @pytest.mark.parametrize(
        "bad",
        ["Acme", "a_b", "a b", "-a", "a-", "ä", "a/b", "", "a" * 64, "operator", "a\n"],
    )
    def test_a_bad_slug_is_refused(self, failure, bad):
        message = failure("create_tenant", "--", bad)
        assert message.startswith("CommandError: slug: ")
        assert not Tenant.objects.filter(slug=bad).exists()

    def test_a_slug_that_is_taken_is_refused(self, failure, acme):
        message = failure("create_tenant", acme.slug)
        assert message == "CommandError: slug: Tenant with this Slug already exists.\n"

    def test_a_name_too_long_is_refused(self, failure, slug):
        message = failure("create_tenant", slug, "--name", "a" * 201)
        assert message.startswith("CommandError: name: ")

    def test_without_a_slug_it_says_how(self, failure):
        assert "the following arguments are required: slug" in failure(
            "create_tenant", code=2
        )


class TestCreateApiKey:
    @pytest.fixture
    def create(self, acme):
        return ("create_api_key", acme.slug, "--name", "ci", "--scope", "*")

    def test_it_shows_the_key_and_says_that_it_will_not_again(self, lines, create):
        text, warning = lines(*create)
        assert KEY.fullmatch(text)
        assert warning == "This is the only time the key is shown."

    def test_the_key_works(self, lines, create, acme):
        text, _ = lines(*create)
        key = ApiKey.objects.get(tenant=acme)
        Caller(acme, key, text).record()

    def test_as_json(self, as_json, create, acme):
        made = as_json(*create)
        assert KEY.fullmatch(made.pop("key"))
        key = ApiKey.objects.get(tenant=acme)
        assert made == {
            "id": str(key.pk),
            "prefix": key.prefix,
            "tenant": acme.slug,
            "name": "ci",
            "mode": "live",
            "scopes": ["*"],
            "state": "active",
            "created_at": key.created_at.isoformat(),
            "expires_at": None,
            "revoked_at": None,
            "rotated_to": None,
            "overlap_ends_at": None,
            "allowed_addresses": [],
            "requests_per_minute": None,
            "last_used_at": None,
            "last_used_from": None,
        }

    def test_for_some_addresses(self, as_json, create):
        ranges = ("--allow-address", "192.0.2.7", "--allow-address", "2001:db8::/32")
        made = as_json(*create, *ranges)
        assert made["allowed_addresses"] == ["192.0.2.7/32", "2001:db8::/32"]

    @pytest.mark.parametrize("text", ["192.0.2.1/24", "acme", "", "1.2.3.4/33"])
    def test_a_bad_address_is_refused(self, failure, create, acme, text):
        message = failure(*create, f"--allow-address={text}", code=2)
        assert "--allow-address" in message
        assert not ApiKey.objects.filter(tenant=acme).exists()

    def test_with_a_limit(self, as_json, create):
        made = as_json(*create, "--requests-per-minute", "60")
        assert made["requests_per_minute"] == 60

    @pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", "", "9999999999"])
    def test_a_bad_limit_is_refused(self, failure, create, text):
        message = failure(*create, f"--requests-per-minute={text}", code=2)
        assert "--requests-per-minute" in message

    def test_it_is_an_access_event(self, as_json, create, acme):
        made = as_json(*create)
        event = AccessEvent.objects.get(tenant=acme)
        assert (event.action, event.object_id) == ("api_key.created", made["prefix"])
        assert event.after
        assert event.after["scopes"] == ["*"]
        assert made["key"][18:] not in str(event.after)

    def test_for_test_data(self, as_json, create):
        made = as_json(*create, "--test")
        assert made["mode"] == "test"
        assert made["key"].startswith("lk_test_")

    def test_with_several_scopes(self, as_json, create):
        made = as_json(*create[:-1], "receipts:read", "--scope", "audit:*")
        assert made["scopes"] == ["audit:*", "receipts:read"]

    @pytest.mark.parametrize(
        ("text", "length"),
        [
            ("90d", timedelta(days=90)),
            ("24h", timedelta(hours=24)),
            ("30m", timedelta(minutes=30)),
            ("45s", timedelta(seconds=45)),
            ("999999d", timedelta(days=999_999)),
        ],
    )
    def test_with_a_lifetime(self, lines, create, acme, text, length):
        before = timezone.now()
        lines(*create, "--expires-in", text)
        expires_at = ApiKey.objects.get(tenant=acme).expires_at
        assert before + length <= expires_at <= timezone.now() + length

    @pytest.mark.parametrize("text", ["0d", "90", "d", "-1d", "1.5h", "1w", "1d ", ""])
    def test_a_bad_lifetime_is_refused(self, failure, create, acme, text):
        message = failure(*create, f"--expires-in={text}", code=2)
        assert "is no duration such as 90d, 24h or 30m" in message
        assert not ApiKey.objects.filter(tenant=acme).exists()

    @pytest.mark.parametrize("scope", ["receipts", "receipts:delete", "all", "", "**"])
    def test_an_unknown_scope_is_refused(self, failure, acme, scope):
        message = failure(
            "create_api_key", acme.slug, "--name", "ci", "--scope", scope, code=2
        )
        assert f"{scope!r} is none of *, audit:*" in message

    @pytest.mark.parametrize("missing", ["--name", "--scope"])
    def test_a_name_and_a_scope_are_required(self, failure, create, missing):
        at = create.index(missing)
        message = failure(*create[:at], *create[at + 2 :], code=2)
        assert f"required: {missing}" in message

    @pytest.mark.parametrize("name", ["", "a" * 201])
    def test_a_bad_name_is_refused(self, failure, create, acme, name):
        message = failure(*create[:3], name, *create[4:], code=2)
        assert "--name" in message
        assert not ApiKey.objects.filter(tenant=acme).exists()

    def test_an_unknown_tenant_is_refused(self, failure):
        message = failure("create_api_key", "nobody", "--name", "ci", "--scope", "*")
        assert message == "CommandError: There is no tenant 'nobody'.\n"


class TestListApiKeys:
    def test_it_has_a_line_for_each_newest_first(self, lines, acme):
        for name in ("first", "second"):
            ApiKey.objects.issue(acme, name, ["receipts:read", "audit:read"])
        second, first = ApiKey.objects.filter(tenant=acme).order_by("-created_at")
        assert lines("list_api_keys", acme.slug) == [
            f"{second.prefix}  active  second: audit:read receipts:read",
            f"{first.prefix}  active  first: audit:read receipts:read",
        ]

    def test_it_says_so_when_there_are_none(self, lines, acme):
        assert lines("list_api_keys", acme.slug) == ["No API keys."]

    def test_none_as_json_is_still_an_object(self, as_json, acme):
        assert as_json("list_api_keys", acme.slug) == {"keys": []}

    def test_it_tells_their_states(self, as_json, acme):
        new_caller(acme).key.revoke()
        ApiKey.objects.issue(acme, "b", ["*"], expires_in=timedelta(microseconds=1))
        new_caller(acme)
        keys = as_json("list_api_keys", acme.slug)["keys"]
        assert [key["state"] for key in keys] == ["active", "expired", "revoked"]

    @pytest.mark.parametrize("form", [[], ["--json"]])
    def test_it_never_has_a_secret(self, lines, acme, form):
        text = new_caller(acme).text
        mac = bytes(ApiKey.objects.get(tenant=acme).mac)
        printed = "\n".join(lines("list_api_keys", acme.slug, *form))
        assert text[:18] in printed
        assert text[18:] not in printed
        assert mac.hex() not in printed

    def test_it_has_no_keys_of_others(self, as_json, acme, charlie):
        assert as_json("list_api_keys", acme.slug) == {"keys": []}

    def test_an_unknown_tenant_is_refused(self, failure):
        message = failure("list_api_keys", "nobody")
        assert message == "CommandError: There is no tenant 'nobody'.\n"


class TestRevokeApiKey:
    def test_it_says_so(self, lines, alice):
        prefix = alice.key.prefix
        assert lines("revoke_api_key", prefix) == [f"{prefix} is revoked."]

    def test_as_json(self, as_json, alice):
        revoked = as_json("revoke_api_key", alice.key.prefix)
        assert revoked["state"] == "revoked"
        assert "key" not in revoked

    def test_it_works_in_a_worker_that_remembers_the_key(self, lines, alice):
        alice.record()
        lines("revoke_api_key", alice.key.prefix)
        answer = alice.post("/v1/receipts", RUN)
        assert answer.json()["error_code"] == "KEY_REVOKED"

    def test_twice_is_fine(self, as_json, alice):
        first = as_json("revoke_api_key", alice.key.prefix)
        assert as_json("revoke_api_key", alice.key.prefix) == first

    @pytest.mark.parametrize("prefix", ["lk_live_0123456789", "x", "lk_%", ""])
    def test_an_unknown_one_is_refused(self, failure, prefix):
        message = failure("revoke_api_key", "--", prefix)
        assert message == (
            f"CommandError: There is no API key with the prefix {prefix!r}.\n"
        )

    def test_it_is_one_access_event(self, lines, alice):
        for _ in range(2):
            lines("revoke_api_key", alice.key.prefix, "--reason", "Lost.")
        event = AccessEvent.objects.get(tenant=alice.tenant)
        assert (event.action, event.reason) == ("api_key.revoked", "Lost.")
        assert event.after == {"state": "revoked"}


class TestRotateApiKey:
    def test_it_shows_the_successor_and_how_long_the_old_key_works(self, lines, alice):
        text, told = lines("rotate_api_key", alice.key.prefix)
        assert KEY.fullmatch(text)
        alice.key.refresh_from_db()
        assert told == (
            "This is the only time the key is shown."
            f" {alice.key.prefix} works until"
            f" {alice.key.overlap_ends_at:%Y-%m-%d %H:%M:%S} UTC."
        )

    def test_the_overlap_is_a_day_unless_told(self, lines, alice):
        before = timezone.now()
        lines("rotate_api_key", alice.key.prefix)
        alice.key.refresh_from_db()
        day = timedelta(days=1)
        assert before + day <= alice.key.overlap_ends_at <= timezone.now() + day

    def test_as_json(self, as_json, alice):
        made = as_json("rotate_api_key", alice.key.prefix, "--overlap", "2h")
        successor = ApiKey.objects.get(prefix=made["prefix"])
        assert KEY.fullmatch(made["key"])
        assert made["rotated"]["prefix"] == alice.key.prefix
        assert made["rotated"]["rotated_to"] == str(successor.pk)
        assert made["rotated"]["state"] == "active"

    @pytest.mark.parametrize("text", ["0s", "0"])
    def test_without_an_overlap_the_old_key_ends(self, lines, alice, text):
        alice.record()
        _, told = lines("rotate_api_key", alice.key.prefix, "--overlap", text)
        assert told.endswith(f"{alice.key.prefix} has ended.")
        answer = alice.post("/v1/receipts", RUN)
        assert answer.json()["error_code"] == "KEY_ROTATED"

    def test_twice_is_refused(self, lines, failure, alice):
        lines("rotate_api_key", alice.key.prefix)
        assert failure("rotate_api_key", alice.key.prefix) == (
            f"CommandError: {alice.key.prefix} was rotated before; rotate its"
            " successor.\n"
        )

    @pytest.mark.parametrize("text", ["-1h", "1w", "", "soon"])
    def test_a_bad_overlap_is_refused(self, failure, alice, text):
        message = failure(
            "rotate_api_key", alice.key.prefix, f"--overlap={text}", code=2
        )
        assert "is no duration such as 90d, 24h or 30m" in message

    def test_an_unknown_one_is_refused(self, failure, database):
        message = failure("rotate_api_key", "lk_live_0123456789")
        assert "There is no API key with the prefix" in message


class TestRotatePepper:
    """Other tests leave keys behind, under each of the peppers."""

    @pytest.fixture
    def rotated(self, alice, settings):
        old = settings.LUCID_API_KEY_PEPPERS
        settings.LUCID_API_KEY_PEPPERS = {"p2": b"new".ljust(32, b"."), **old}

    def test_it_lists_keys_that_depend_on_an_old_pepper(self, shell, rotated, alice):
        code, out, err = shell("rotate_pepper")
        assert (code, err) == (1, "")
        line = f"  {alice.key.prefix}  {alice.tenant.slug}  test, last used never"
        assert line in out.splitlines()
        assert out.startswith("p2 (first): ")

    def test_as_json(self, shell, rotated, alice):
        code, out, err = shell("rotate_pepper", "--json")
        assert (code, err) == (1, "")
        told = json.loads(out)
        assert told["done"] is False
        (first,) = (it for it in told["peppers"] if it["first"])
        assert (first["id"], first["known"], first["would_die"]) == ("p2", True, [])
        (old,) = (it for it in told["peppers"] if it["id"] == "p1")
        assert alice.key.prefix in {key["prefix"] for key in old["would_die"]}

    def test_it_succeeds_when_every_active_key_is_under_the_first(
        self, lines, rotated, alice
    ):
        alice.record()
        others = ApiKey.objects.exclude(pk=alice.key.pk).filter(revoked_at=None)
        ids = list(others.values_list("pk", flat=True))
        others.update(revoked_at=timezone.now())
        try:
            told = lines("rotate_pepper")
        finally:
            ApiKey.objects.filter(pk__in=ids).update(revoked_at=None)
        assert told == [
            "p2 (first): 1 active keys",
            "p1 (old): 0 active keys",
            "Every active key is under the first pepper: the others may be dropped.",
        ]


class TestVerifyLog:
    def test_a_sound_log(self, lines, alice):
        grow(alice, 3)
        root = alice.get("/v1/mmr/root").json()["root"]
        assert lines("verify_log", alice.tenant.slug) == [
            f"localhost/log/{alice.tenant.slug}: 3 entries, root {root}",
            "VALID",
        ]

    def test_as_json(self, as_json, alice):
        grow(alice, 3)
        found = as_json("verify_log", alice.tenant.slug)
        assert found.pop("seconds") >= 0
        assert found == {
            "origin": f"localhost/log/{alice.tenant.slug}",
            "size": 3,
            "root": alice.get("/v1/mmr/root").json()["root"],
            "verdict": "VALID",
            "place": None,
            "detail": None,
            "revoked_entries": 0,
            "revoked_first": None,
            "revoked_last": None,
        }

    def test_entries_by_a_revoked_key_are_told_of(self, lines, as_json, alice):
        grow(alice, 3)
        revoke(alice, active_kid(alice), 0)
        told = lines("verify_log", alice.tenant.slug)
        assert told[1:] == [
            "2 entries, 1 to 2, are by revoked keys: KEY_REVOKED",
            "VALID",
        ]
        found = as_json("verify_log", alice.tenant.slug)
        assert found["verdict"] == "VALID"
        assert found["revoked_entries"] == 2
        assert (found["revoked_first"], found["revoked_last"]) == (1, 2)

    def test_a_tampered_log_fails_and_says_where(self, shell, alice):
        grow(alice, 3)
        change_receipt(alice, 1, runtime="sglang")
        code, out, err = shell("verify_log", alice.tenant.slug)
        assert (code, err) == (1, "")
        assert out.splitlines()[1] == (
            "INVALID: entry 1: the column runtime is not the entry's"
        )

    def test_a_tampered_log_as_json(self, shell, alice):
        grow(alice, 3)
        change_receipt(alice, 1, runtime="sglang")
        code, out, err = shell("verify_log", alice.tenant.slug, "--json")
        assert (code, err) == (1, "")
        (line,) = out.splitlines()
        found = json.loads(line)
        assert (found["verdict"], found["place"]) == ("INVALID", "entry 1")

    def test_the_log_of_test_data_is_another(self, as_json, alice, acme):
        grow(alice, 1)
        grow(new_caller(acme, mode="test"), 2)
        assert as_json("verify_log", acme.slug)["size"] == 1
        assert as_json("verify_log", acme.slug, "--mode", "test")["size"] == 2

    def test_a_log_that_is_not_there_is_another_failure(self, failure, acme):
        message = failure("verify_log", acme.slug, code=2)
        assert message == f"CommandError: {acme.slug} has no live log yet.\n"

    def test_an_unknown_mode_is_refused(self, failure, acme):
        assert "--mode" in failure("verify_log", acme.slug, "--mode", "x", code=2)

    def test_an_unknown_tenant_is_refused(self, failure):
        message = failure("verify_log", "nobody")
        assert message == "CommandError: There is no tenant 'nobody'.\n"


class TestTick:
    def kept(self, caller):
        rows = IdempotentAnswer.objects.filter(tenant_id=caller.tenant.pk)
        return sorted(rows.values_list("key", flat=True))

    def test_it_forgets_answers_to_old_idempotency_keys(self, lines, alice, settings):
        for key in ("old", "new"):
            alice.post("/v1/receipts", RUN, Idempotency_Key=key)
        age = timedelta(hours=settings.LUCID_IDEMPOTENCY_HOURS, seconds=1)
        rows = IdempotentAnswer.objects.filter(tenant_id=alice.tenant.pk)
        rows.filter(key="old").update(created_at=timezone.now() - age)
        done = [line.partition(" ")[2] for line in lines("tick")]
        assert "answers to old Idempotency-Keys forgotten" in done
        assert self.kept(alice) == ["new"]

    def test_it_may_run_at_any_time(self, lines, alice):
        alice.post("/v1/receipts", RUN, Idempotency_Key="new")
        # Until there is nothing to do: runs of other tests come due meanwhile.
        assert any(lines("tick") == [] for _ in range(5))
        assert self.kept(alice) == ["new"]

    def test_each_task_is_told_as_json(self, as_json):
        told = {run["task"]: run for run in as_json("tick")["tasks"]}
        assert set(told) == set(tasks)
        for run in told.values():
            assert run["ok"] is True
            assert 0 <= run["seconds"] < 60

    @pytest.fixture
    def task(self, monkeypatch):
        """Register a task; return what it is to do, and its runs on record."""
        name = f"task_{uuid.uuid4().hex}"

        def do(action):
            monkeypatch.setitem(tasks, name, action)
            return TickRun.objects.filter(task=name).order_by("pk")

        return do

    def test_of_runs_without_work_the_last_is_on_record(self, lines, task):
        runs = task(lambda: None)
        lines("tick")
        first = runs.get()
        lines("tick")
        last = runs.get()
        assert (last.pk, last.ok, last.said) == (first.pk, True, "")
        assert last.started_at > first.started_at

    def test_each_run_that_did_something_is_on_record(self, lines, task):
        runs = task(lambda: "2 things done")
        for _ in range(2):
            assert "2 things done" in lines("tick")
        assert [(run.ok, run.said) for run in runs] == [(True, "2 things done")] * 2

    def test_a_failure_is_on_record_and_no_other_tasks_trouble(self, shell, task):
        runs = task(lambda: 1 // 0)
        name = list(tasks)[-1]
        code, _, err = shell("tick")
        assert code == 1
        assert f"tick: {name}: ZeroDivisionError: integer division" in err
        assert f"CommandError: not done: {name}" in err
        [run] = runs
        assert (run.ok, run.said[:17]) == (False, "ZeroDivisionError")

    def test_a_failure_as_json(self, shell, task):
        task(lambda: 1 // 0)
        code, out, _ = shell("tick", "--json")
        told = [run["ok"] for run in json.loads(out)["tasks"]]
        assert (code, told.count(False)) == (1, 1)

    def test_runs_are_forgotten_after_a_week(self, lines, task):
        runs = task(lambda: "done")
        lines("tick")
        runs.update(started_at=timezone.now() - timedelta(days=7, seconds=1))
        lines("tick")
        [run] = runs
        assert run.started_at > timezone.now() - timedelta(minutes=1)
