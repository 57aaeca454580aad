"""The pages on which admins set what their tenant is, publishes, pays and may spend."""

import html
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from orchestrations.models import Budget, Price, ProviderCredential
from tenants.models import Tenant
from tests.orchestrations.runs import get, record, start
from tests.receipts.auditor import grow
from tests.tenants.people import Person, after, before, events_of, new_person

SECRET = "sk-proj-4Zq8vN2xW7mT5rJ9"
OTHER_SECRET = "key-7Hd3kP6sB1yL0cFu"
BUDGET, PRICES = "/settings/budget", "/settings/prices"


@pytest.fixture
def admin(acme) -> Person:
    return new_person(acme, "admin")


def text_of(answer: Any) -> str:
    plain = re.sub(r"<[^>]+>", " ", answer.content.decode())
    return html.unescape(re.sub(r"\s+", " ", plain))


def complaint_at(answer: Any, name: str) -> str:
    """What is said to be wrong at a field of the one form that has it."""
    assert answer.status_code == 400
    found = re.search(rf'id="id_{name}_error".*?</ul>', answer.content.decode(), re.S)
    assert found, text_of(answer)
    return html.unescape(found[0])


class TestTenant:
    def test_name_and_limit_change_together(self, acme, admin):
        form = {"name": "Acme & Söhne 🔑", "requests_per_minute": "60"}
        assert admin.post("/settings", form)["Location"] == f"/t/{acme.slug}/settings"
        row = Tenant.objects.get(pk=acme.pk)
        assert (row.name, row.requests_per_minute) == ("Acme & Söhne 🔑", 60)
        (event,) = events_of(acme)
        assert (event.action, event.actor_name) == ("tenant.changed", admin.user.email)
        assert event.before == {"name": "acme", "requests_per_minute": None}
        assert event.after == {"name": "Acme & Söhne 🔑", "requests_per_minute": 60}

    def test_a_limit_holds_at_once_in_workers_that_remember(self, alice, acme, admin):
        assert alice.get("/v1/receipts").status_code == 200
        admin.post("/settings", {"name": "acme", "requests_per_minute": "1"})
        statuses = [alice.get("/v1/receipts").status_code for _ in range(4)]
        assert 429 in statuses
        admin.post("/settings", {"name": "acme", "requests_per_minute": ""})
        assert alice.get("/v1/receipts").status_code == 200

    def test_nothing_changed_is_no_event(self, acme, admin):
        admin.post("/settings", {"name": "acme", "requests_per_minute": ""})
        assert "Nothing changed" in text_of(admin.get("/settings"))
        assert events_of(acme) == []

    @pytest.mark.parametrize(
        ("name", "value", "complaint"),
        [
            ("name", "", "This field is required"),
            ("name", "x" * 201, "at most 200 characters"),
            ("name", "a\nb", "one line, without control characters"),
            ("requests_per_minute", "0", "greater than or equal to 1"),
            ("requests_per_minute", "9" * 30, "less than or equal to 999999999"),
        ],
    )
    def test_what_is_wrong_is_said_at_its_field(
        self, acme, admin, name, value, complaint
    ):
        form = {"name": "New", "requests_per_minute": "5"} | {name: value}
        assert complaint in complaint_at(admin.post("/settings", form), name)
        assert Tenant.objects.get(pk=acme.pk).name == "acme"


class TestPublicLog:
    def form(self, acme: Tenant, **changed: str) -> dict[str, str]:
        form = {"typed": acme.slug, "reason": "for witnesses", "public": "yes"}
        return form | changed

    def test_it_becomes_public_and_private_again(self, acme, alice, admin):
        grow(alice, 1)
        path = f"/log/{acme.slug}/checkpoint"
        for public, status in (("yes", 200), ("no", 401)):
            admin.post("/settings/public-log", self.form(acme, public=public))
            assert Client().get(path).status_code == status
        published, withdrawn = events_of(acme)
        assert (published.action, published.reason) == (
            "log.published",
            "for witnesses",
        )
        assert after(published) == {"public_log": True}
        assert withdrawn.action == "log.withdrawn"
        assert before(withdrawn) == {"public_log": True}

    def test_who_publishes_what_was_published_meanwhile_does_not_withdraw_it(
        self, acme, admin
    ):
        for _ in range(2):
            admin.post("/settings/public-log", self.form(acme))
        assert Tenant.objects.get(pk=acme.pk).settings == {"public_log": True}
        assert len(events_of(acme)) == 1

    def test_other_settings_stay(self, acme, admin):
        Tenant.objects.filter(pk=acme.pk).update(settings={"other": 1})
        admin.post("/settings/public-log", self.form(acme))
        row = Tenant.objects.get(pk=acme.pk)
        assert row.settings == {"other": 1, "public_log": True}

    def test_it_says_what_becomes_public(self, admin):
        told = text_of(admin.get("/settings/public-log"))
        assert "the newest checkpoint" in told
        assert "receipts, models, agents, tokens and costs stay private" in told

    @pytest.mark.parametrize("name", ["typed", "reason"])
    def test_it_asks_for_the_name_and_a_reason(self, acme, admin, name):
        answer = admin.post("/settings/public-log", self.form(acme, **{name: ""}))
        assert "This field is required" in complaint_at(answer, name)

    def test_another_name_publishes_nothing(self, acme, admin):
        answer = admin.post("/settings/public-log", self.form(acme, typed="globex"))
        assert "not the name of this tenant" in complaint_at(answer, "typed")
        assert Tenant.objects.get(pk=acme.pk).settings == {}
        assert events_of(acme) == []


class TestBudget:
    def test_it_is_set_changed_and_taken_away(self, acme, admin):
        for limit in ("100", "0.00000000001", "0.00000000001", ""):
            assert admin.post(BUDGET, {"limit": limit}).status_code == 302
        events = events_of(acme)
        assert [event.action for event in events] == [
            "budget.created",
            "budget.changed",
            "budget.removed",
        ]
        assert after(events[0])["limit"] == "10000"
        assert events[1].before == {"limit": "10000"}
        assert events[1].after == {"limit": "0.000000001"}
        assert not Budget.objects.filter(tenant=acme).exists()

    def test_each_mode_has_its_own(self, acme, admin):
        admin.post(f"{BUDGET}?mode=test", {"limit": "5"})
        (row,) = Budget.objects.filter(tenant=acme)
        assert (row.mode, row.limit) == ("test", Decimal(500))
        assert "without a limit" in text_of(admin.get("/settings"))
        assert "of $5.00 spent" in text_of(admin.get("/settings?mode=test"))

    def test_the_page_says_what_is_spent(self, alice, admin):
        admin.post(BUDGET, {"limit": "1"})
        record(alice, start(alice), cost_cents=25)
        assert "$0.25 of $1.00 spent this month" in text_of(admin.get("/settings"))

    @pytest.mark.parametrize(
        ("limit", "complaint"),
        [
            ("-1", "greater than or equal to 0"),
            ("much", "Enter a number"),
            ("NaN", "Enter a number"),
            ("1e400", "less than or equal to"),
            ("0.000000000001", "no more than 11 decimal places"),
        ],
    )
    def test_what_is_wrong_is_said_at_its_field(self, acme, admin, limit, complaint):
        answer = admin.post(BUDGET, {"limit": limit})
        assert complaint in complaint_at(answer, "limit")
        assert events_of(acme) == []

    def test_a_link_sets_nothing_and_leads_to_the_form(self, acme, admin):
        answer = admin.get(f"{BUDGET}?limit=1")
        assert answer["Location"] == f"/t/{acme.slug}/settings#budget"
        assert not Budget.objects.filter(tenant=acme).exists()


OWN = {"provider": "custom", "model": "smollm2", "input_rate": "0.5", "factor": "1"}
OWN = OWN | {"output_rate": "2"}
END = {"at": "", "typed": "gpt-5", "reason": "a new contract"}


class TestPrices:
    def test_calls_are_priced_by_it_from_now_on(self, acme, alice, admin):
        run = start(alice)
        call = {"provider": "custom", "model": "smollm2", "cost_cents": None}
        assert record(alice, run, **call)["cost_source"] == "unpriced"
        assert admin.post(PRICES, OWN).status_code == 302
        told = record(alice, run, **call, prompt_tokens=100, completion_tokens=50)
        assert told["cost_cents"] == Decimal("0.015")
        assert get(alice, run)
        (event,) = events_of(acme)
        assert (event.action, event.object_id) == ("price.created", "custom smollm2")
        assert after(event)["input_rate"] == "0.5"

    def test_the_list_says_what_is_paid(self, admin):
        admin.post(PRICES, OWN | {"input_rate": "100"})
        discount = {"provider": "openai", "model": "gpt-*", "factor": "0.85"}
        admin.post(PRICES, discount)
        told = text_of(admin.get(PRICES))
        assert "smollm2 custom Own rates 100 2 100" in told
        assert "gpt-* openai List price × 0.85 – – –" in told

    def test_times_are_of_utc(self, acme, admin):
        times = {"valid_from": "2026-11-01", "valid_to": "2026-12-01 12:30"}
        admin.post(PRICES, OWN | times)
        row = Price.objects.get(tenant=acme)
        assert row.valid_from == datetime(2026, 11, 1, tzinfo=UTC)
        assert row.valid_to == datetime(2026, 12, 1, 12, 30, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("changed", "name", "complaint"),
        [
            ({"provider": "acme"}, "provider", "Select a valid choice"),
            ({"model": ""}, "model", "This field is required"),
            ({"model": "a*b"}, "model", "A * may stand at the end"),
            ({"model": "a\tb"}, "model", "one line, without control characters"),
            ({"input_rate": "-1"}, "input_rate", "greater than or equal to 0"),
            ({"input_rate": "1" * 30}, "input_rate", "no more than"),
            ({"output_rate": ""}, "output_rate", "this is too"),
            (
                {"input_rate": "", "output_rate": ""},
                "input_rate",
                "A custom provider has no list price",
            ),
            ({"factor": "9.5"}, "factor", "less than or equal to 9"),
            ({"factor": ""}, "factor", "This field is required"),
            ({"valid_from": "soon"}, "valid_from", "Enter a valid date/time"),
            (
                {"valid_from": "2026-11-02", "valid_to": "2026-11-01"},
                "valid_to",
                "This is not after the beginning",
            ),
        ],
    )
    def test_what_is_wrong_is_said_at_its_field(
        self, acme, admin, changed, name, complaint
    ):
        answer = admin.post(PRICES, OWN | changed)
        assert complaint in complaint_at(answer, name)
        assert not Price.objects.filter(tenant=acme).exists()
        assert events_of(acme) == []

    def price(self, acme: Tenant, begins: timedelta = timedelta(days=-30)) -> Price:
        row = Price(tenant=acme, provider="openai", model="gpt-5")
        row.valid_from, row.factor = timezone.now() + begins, Decimal("0.5")
        row.save()
        return row

    def test_one_ends_now_or_later_and_once(self, acme, admin):
        row = self.price(acme)
        assert admin.post(f"{PRICES}/{row.pk}/end", END).status_code == 302
        row.refresh_from_db()
        assert row.valid_to
        assert abs(row.valid_to - timezone.now()) < timedelta(minutes=1)
        (event,) = events_of(acme)
        assert (event.action, before(event)) == ("price.changed", {"valid_to": None})
        assert event.reason == END["reason"]
        assert "1 ended" in text_of(admin.get(PRICES))
        assert admin.post(f"{PRICES}/{row.pk}/end").status_code == 404

    def test_one_that_has_not_begun_is_removed(self, acme, admin):
        row = self.price(acme, begins=timedelta(days=3))
        admin.post(f"{PRICES}/{row.pk}/end", END)
        assert not Price.objects.filter(tenant=acme).exists()
        assert [event.action for event in events_of(acme)] == ["price.removed"]

    @pytest.mark.parametrize("name", ["typed", "reason"])
    def test_to_end_one_its_model_is_typed_and_a_reason_given(self, acme, admin, name):
        row = self.price(acme)
        answer = admin.post(f"{PRICES}/{row.pk}/end", END | {name: ""})
        assert "This field is required" in complaint_at(answer, name)
        answer = admin.post(f"{PRICES}/{row.pk}/end", END | {"typed": "gpt-4"})
        assert "not the name of this model" in complaint_at(answer, "typed")
        row.refresh_from_db()
        assert (row.valid_to, events_of(acme)) == (None, [])

    @pytest.mark.parametrize("price_id", ["1" * 30, "0"])
    def test_no_price_is_not_found(self, admin, price_id):
        assert admin.get(f"{PRICES}/{price_id}/end").status_code == 404


SETTINGS = {
    "base_url": "",
    "model_patterns": "gpt-*\r\no3\r\n",
    "connect_seconds": "10",
    "silence_seconds": "300",
    "total_seconds": "900",
    "retries": "2",
    "concurrency": "100",
}
OPENAI, CUSTOM = "/settings/providers/openai", "/settings/providers/custom"


def account_of(acme: Tenant, provider: str = "openai") -> ProviderCredential:
    return ProviderCredential.objects.get(tenant=acme, provider=provider)


def assert_untold(acme: Tenant, admin: Person, caplog: Any) -> None:
    """No page, event or line of a log has a credential."""
    told = caplog.text + "".join(str(event.as_json()) for event in events_of(acme))
    for path in ("/settings", OPENAI, f"{OPENAI}/remove", CUSTOM, "/audit"):
        told += admin.get(path).content.decode()
    for secret in (SECRET, OTHER_SECRET):
        assert secret not in told


class TestProviders:
    @pytest.fixture(autouse=True)
    def log_everything(self, caplog):
        with caplog.at_level("DEBUG"):
            yield

    def test_a_credential_is_set_and_told_to_nobody(self, acme, admin, caplog):
        answer = admin.post(OPENAI, SETTINGS | {"credential": SECRET})
        assert answer["Location"] == f"/t/{acme.slug}/settings"
        row = account_of(acme)
        assert (row.credential, row.model_patterns) == (SECRET, ["gpt-*", "o3"])
        (event,) = events_of(acme)
        assert (event.action, event.object_id) == ("provider.created", "openai")
        assert after(event)["sealed"] == "(not shown)"
        assert_untold(acme, admin, caplog)

    def test_settings_change_and_the_credential_stays(self, acme, admin):
        admin.post(OPENAI, SETTINGS | {"credential": SECRET})
        form = SETTINGS | {"credential": "", "concurrency": "7"}
        assert admin.post(OPENAI, form).status_code == 302
        assert (account_of(acme).credential, account_of(acme).concurrency) == (
            SECRET,
            7,
        )
        event = events_of(acme)[-1]
        assert (event.before, event.after) == ({"concurrency": 100}, {"concurrency": 7})

    def test_a_new_credential_takes_its_place(self, acme, admin, caplog):
        admin.post(OPENAI, SETTINGS | {"credential": SECRET})
        admin.post(OPENAI, SETTINGS | {"credential": OTHER_SECRET})
        assert account_of(acme).credential == OTHER_SECRET
        assert after(events_of(acme)[-1])["sealed"] == "(changed, not shown)"
        assert_untold(acme, admin, caplog)

    def test_a_credential_goes_to_no_new_address_unseen(self, acme, admin):
        """Whoever may set an address could have the credential sent to them."""
        admin.post(OPENAI, SETTINGS | {"credential": SECRET})
        form = SETTINGS | {"credential": "", "base_url": "https://evil.example/v1"}
        answer = admin.post(OPENAI, form)
        assert "Give it again" in complaint_at(answer, "credential")
        assert account_of(acme).url == "https://api.openai.com/v1"
        assert (
            admin.post(OPENAI, form | {"credential": OTHER_SECRET}).status_code == 302
        )
        assert account_of(acme).url == "https://evil.example/v1"

    def test_the_same_address_written_out_is_no_new_one(self, acme, admin):
        admin.post(OPENAI, SETTINGS | {"credential": SECRET})
        form = SETTINGS | {"credential": "", "base_url": "https://api.openai.com/v1/"}
        assert admin.post(OPENAI, form).status_code == 302

    def test_what_has_no_credential_may_move(self, acme, admin):
        form = SETTINGS | {"credential": "", "base_url": "https://a.example/v1"}
        assert admin.post(CUSTOM, form).status_code == 302
        form |= {"base_url": "https://b.example/v1"}
        assert admin.post(CUSTOM, form).status_code == 302
        assert account_of(acme, "custom").url == "https://b.example/v1"

    @pytest.mark.parametrize(
        "url",
        [
            "http://169.254.169.254/latest",
            "https://10.0.0.7/v1",
            "https://127.0.0.1:5432",
            "http://example.com/v1",
            "https://user:pass@example.com",
            "ftp://example.com",
        ],
    )
    def test_into_this_servers_network_no_admin_of_a_tenant_lets(
        self, acme, admin, url
    ):
        form = SETTINGS | {"credential": SECRET, "base_url": url}
        # As the operators' form has it, which is not heard here.
        form |= {"allowed_hosts": "169.254.169.254\r\n10.0.0.7\r\n127.0.0.1"}
        answer = admin.post(CUSTOM, form)
        assert complaint_at(answer, "base_url")
        assert not ProviderCredential.objects.filter(tenant=acme).exists()

    def test_hosts_that_the_operator_allowed_stay(self, acme, admin):
        row = ProviderCredential(tenant=acme, provider="custom")
        row.base_url, row.allowed_hosts = "http://10.0.0.7/v1", ["10.0.0.7"]
        row.credential = SECRET
        row.save()
        form = SETTINGS | {"base_url": "http://10.0.0.7/v1", "concurrency": "3"}
        assert admin.post(CUSTOM, form).status_code == 302
        assert account_of(acme, "custom").allowed_hosts == ["10.0.0.7"]

    @pytest.mark.parametrize(
        ("changed", "name", "complaint"),
        [
            ({"credential": ""}, "credential", "openai asks for a credential"),
            ({"credential": "a b"}, "credential", "ASCII without spaces"),
            ({"credential": "x" * 10_001}, "credential", "at most 10,000 characters"),
            ({"model_patterns": "a*b"}, "model_patterns", "A * may stand at the end"),
            ({"model_patterns": "x" * 201}, "model_patterns", "1 to 200 characters"),
            ({"model_patterns": "a\0b"}, "model_patterns", "1 to 200 characters"),
            ({"connect_seconds": "0"}, "connect_seconds", "greater than or equal to 1"),
            ({"retries": "6"}, "retries", "less than or equal to 5"),
            ({"concurrency": "9" * 30}, "concurrency", "less than or equal to 1000"),
        ],
    )
    def test_what_is_wrong_is_said_at_its_field(
        self, acme, admin, changed, name, complaint, caplog
    ):
        answer = admin.post(OPENAI, SETTINGS | {"credential": SECRET} | changed)
        assert complaint in complaint_at(answer, name)
        assert SECRET not in answer.content.decode()
        assert not ProviderCredential.objects.filter(tenant=acme).exists()
        assert events_of(acme) == []

    def test_it_is_removed_by_name(self, acme, admin, caplog):
        admin.post(OPENAI, SETTINGS | {"credential": SECRET})
        form = {"typed": "anthropic", "reason": "unused"}
        answer = admin.post(f"{OPENAI}/remove", form)
        assert "not the name of this provider" in complaint_at(answer, "typed")
        form["typed"] = "openai"
        assert admin.post(f"{OPENAI}/remove", form).status_code == 302
        assert not ProviderCredential.objects.filter(tenant=acme).exists()
        event = events_of(acme)[-1]
        assert (event.action, event.reason) == ("provider.removed", "unused")
        assert_untold(acme, admin, caplog)

    @pytest.mark.parametrize("path", ["/settings/providers/acme", f"{OPENAI}/remove"])
    def test_what_is_not_there_is_not_found(self, admin, path):
        assert admin.get(path).status_code == 404


def test_the_page_asks_few_queries(acme, admin, django_assert_max_num_queries):
    for _ in range(3):
        Price(
            tenant=acme, provider="openai", model="gpt-5", valid_from=timezone.now()
        ).save()
    with django_assert_max_num_queries(8):
        admin.get("/settings")
