"""The management commands as a shell runs them: text, one JSON object, exit codes."""

import json
import re
from datetime import timedelta

import pytest
from django.core.management import execute_from_command_line
from django.utils import timezone

from lucid.api.models import IdempotentAnswer
from tenants.models import ApiKey, Tenant
from tests.caller import RUN, Caller
from tests.conftest import new_caller
from tests.receipts.auditor import grow
from tests.receipts.key_operator import active_kid, revoke
from tests.receipts.tampering import change_receipt

KEY = re.compile(r"lk_(?:live|test)_[0-9A-Za-z]{42}")


@pytest.fixture
def shell(database, capsys):
    """Run `manage.py <arguments>`; return exit code, stdout and stderr."""

    def run(*arguments):
        capsys.readouterr()
        try:
            execute_from_command_line(["manage.py", *map(str, arguments)])
        except SystemExit as end:
            code = end.code
        else:
            code = 0
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def lines(shell):
    """What a successful command prints."""

    def run(*arguments):
        code, out, err = shell(*arguments)
        assert (code, err) == (0, ""), err
        return out.splitlines()

    return run


@pytest.fixture
def as_json(lines):
    """What a successful command prints with --json: one object, on one line."""

    def run(*arguments):
        (line,) = lines(*arguments, "--json")
        document = json.loads(line)
        assert isinstance(document, dict)
        return document

    return run


@pytest.fixture
def failure(shell):
    """The message of a command that fails, without a traceback."""

    def run(*arguments, code=1):
        failed, out, err = shell(*arguments)
        assert failed == code, err
        assert out == ""
        assert "Traceback" not in err
        return err

    return run


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
        }

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
            "last_used_at": None,
        }

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
        lines("tick")
        assert lines("tick") == []
        assert self.kept(alice) == ["new"]
