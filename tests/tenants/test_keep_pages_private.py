"""Every page, asked for by nobody, by an outsider and by each role.

A page that is not in the table below fails the test: whoever adds one says here who
may see it.
"""

import re
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from django.test import Client
from django.urls import get_resolver

from orchestrations.models import Price, ProviderCredential
from receipts.keyring import log_of
from receipts.models import SigningKey
from tenants.models import ApiKey
from tests.api.test_keep_outsiders_out import routes
from tests.orchestrations.runs import record, start
from tests.tenants.people import Person, new_person, new_user

NOT_PAGES = ("v1/", "log/", "admin/")
EVERYONE = {"auditor", "analyst", "admin"}
AUDITORS = {"auditor", "admin"}
ADMINS = {"admin"}


class Page(NamedTuple):
    path: str
    roles: set[str]  # whose request is answered; the others' is refused in words
    post: dict[str, str] | None = None
    status: int = 200


OF_NOBODY = {
    "": "the home page, to whoever is not logged in",
    "login": "the way in",
    "logout": "the way out",
    "verify": "files are checked by the browser, and nothing is asked of the server",
    "favicon.ico": "the icon, by the name that browsers guess",
}
OF_A_PERSON = {
    "account": Page("/account", EVERYONE),
    "switch": Page("/switch", EVERYONE, {"tenant": "{slug}"}, 302),
}
# Names of what belongs to a tenant, in paths of its pages.
NAMED_IN_PATHS = (
    "api_key",
    "kid",
    "member",
    "price",
    "receipt",
    "run",
)
RECEIPT = "receipts/<uuid:receipt_id>"
RUN = "orchestrations/<str:run_id>"
KEY = "keys/<slug:kid>"
API_KEY = "keys/api/<uuid:key_id>"
PROVIDER = "settings/providers/<slug:provider>"
MEMBER = "members/<uuid:member_id>"
ROTATE_KEY = {"reason": "yearly", "kid": "{kid}"}
REVOKE_KEY = ROTATE_KEY | {"last_valid_index": "-1"}
REVOKE_API_KEY = {"typed": "{prefix}", "reason": "lost"}
ROTATE_API_KEY = {"overlap": "0", "reason": "yearly"}
PUBLIC = {"typed": "{slug}", "reason": "for witnesses", "public": "yes"}
NEW_PRICE = {"provider": "openai", "model": "gpt-5", "factor": "0.9"}
NEW_PROVIDER = {
    "credential": "a-new-credential",
    "connect_seconds": "10",
    "silence_seconds": "300",
    "total_seconds": "900",
    "retries": "2",
    "concurrency": "100",
}
GONE_PROVIDER = {"typed": "{provider}", "reason": "unused"}
GONE_MEMBER = {"typed": "{email}", "reason": "left"}
GONE_PRICE = {"at": "", "typed": "o3", "reason": "a new contract"}
NEW_API_KEY = {"name": "n", "scopes": "receipts:read"}
# Each has a second address, which names the tenant.
OF_THE_CHOSEN_TENANT = {
    "receipts": Page("/receipts", AUDITORS),
    # It is not told from which size on.
    "receipts/consistency": Page("/receipts/consistency", AUDITORS, status=400),
    RECEIPT: Page("/receipts/{receipt}", AUDITORS),
    f"{RECEIPT}/receipt.json": Page("/receipts/{receipt}/receipt.json", AUDITORS),
    f"{RECEIPT}/proof.json": Page("/receipts/{receipt}/proof.json", AUDITORS),
    f"{RECEIPT}/receipt.tlog-proof": Page(
        "/receipts/{receipt}/receipt.tlog-proof", AUDITORS
    ),
    f"{RECEIPT}/evidence": Page("/receipts/{receipt}/evidence", AUDITORS),
    "orchestrations": Page("/orchestrations", EVERYONE),
    RUN: Page("/orchestrations/{run}", EVERYONE),
    f"{RUN}/evidence": Page("/orchestrations/{run}/evidence", AUDITORS),
    "costs": Page("/costs", EVERYONE),
    "costs/calls": Page("/costs/calls", EVERYONE),
    "costs/steps": Page("/costs/steps", EVERYONE),
    "exports": Page("/exports", AUDITORS),
    "keys": Page("/keys", AUDITORS),
    "keys/jwks.json": Page("/keys/jwks.json", AUDITORS),
    f"{KEY}/rotate": Page("/keys/{kid}/rotate", ADMINS, ROTATE_KEY, 302),
    f"{KEY}/revoke": Page("/keys/{kid}/revoke", ADMINS, REVOKE_KEY, 302),
    "keys/api": Page("/keys/api", ADMINS),
    f"{API_KEY}/rotate": Page("/keys/api/{api_key}/rotate", ADMINS, ROTATE_API_KEY),
    f"{API_KEY}/revoke": Page(
        "/keys/api/{api_key}/revoke", ADMINS, REVOKE_API_KEY, 302
    ),
    "members": Page("/members", EVERYONE),
    MEMBER: Page("/members/{member}", ADMINS),
    f"{MEMBER}/remove": Page("/members/{member}/remove", ADMINS, GONE_MEMBER, 302),
    "audit": Page("/audit", AUDITORS),
    "settings": Page("/settings", ADMINS),
    "settings/public-log": Page("/settings/public-log", ADMINS),
    "settings/budget": Page("/settings/budget", ADMINS, {"limit": "10"}, 302),
    "settings/prices": Page("/settings/prices", ADMINS),
    "settings/prices/<int:price_id>/end": Page(
        "/settings/prices/{price}/end", ADMINS, GONE_PRICE, 302
    ),
    PROVIDER: Page("/settings/providers/{provider}", ADMINS),
    f"{PROVIDER}/remove": Page(
        "/settings/providers/{provider}/remove", ADMINS, GONE_PROVIDER, 302
    ),
}
OF_A_TENANT = {
    "t/<slug:slug>": Page("/t/{slug}", EVERYONE),
    **OF_THE_CHOSEN_TENANT,
    **{
        f"t/<slug:slug>/{route}": page._replace(path="/t/{slug}" + page.path)
        for route, page in OF_THE_CHOSEN_TENANT.items()
    },
}
# What is changed at an address that others may read.
CHANGES = {
    "export": Page(
        "/t/{slug}/exports", AUDITORS, {"what": "receipts", "format": "csv"}
    ),
    "add": Page("/t/{slug}/members", ADMINS, {"email": "{new}", "role": "admin"}, 302),
    "change": Page("/t/{slug}/members/{member}", ADMINS, {"role": "admin"}, 302),
    "rename": Page("/t/{slug}/settings", ADMINS, {"name": "Another"}, 302),
    "publish": Page("/t/{slug}/settings/public-log", ADMINS, PUBLIC, 302),
    "provide": Page(
        "/t/{slug}/settings/providers/{provider}", ADMINS, NEW_PROVIDER, 302
    ),
    "price": Page("/t/{slug}/settings/prices", ADMINS, NEW_PRICE, 302),
    "issue": Page("/t/{slug}/keys/api", ADMINS, NEW_API_KEY),
}
PRIVATE = OF_A_PERSON | OF_A_TENANT | CHANGES
NAMED = {route: page for route, page in PRIVATE.items() if "{slug}" in page.path}


def each(pages: dict[str, Page]) -> Any:
    return pytest.mark.parametrize("page", pages.values(), ids=list(pages))


@pytest.fixture
def names(acme, alice, auditor) -> dict[str, str]:
    """What there is of Acme, and one who could be a member of it."""
    (membership,) = auditor.user.memberships.all()
    run = start(alice)
    log_of(acme.pk, "live")
    signing_key = SigningKey.objects.get(tenant=acme, purpose="receipt")
    api_key, _ = ApiKey.objects.issue(acme, "key", ["*"])
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    price = Price(tenant=acme, provider="openai", model="o3", valid_from=begin)
    price.save()
    account = ProviderCredential(tenant=acme, provider="openai")
    account.credential = "a-credential"
    account.save()
    return {
        "run": run,
        "receipt": record(alice, run)["receipt_id"],
        "slug": acme.slug,
        "member": str(membership.pk),
        "email": auditor.user.email,
        "new": new_user().email,
        "kid": signing_key.kid,
        "api_key": str(api_key.pk),
        "prefix": api_key.prefix,
        "price": str(price.pk),
        "provider": "openai",
    }


def ask(client: Client | Person, page: Page, names: dict[str, str]) -> Any:
    path = page.path.format_map(names)
    if page.post is None:
        return client.get(path)
    filled = {name: value.format_map(names) for name, value in page.post.items()}
    return client.post(path, filled)


def test_every_page_is_in_the_table():
    pages = {
        route for route in routes(get_resolver()) if not route.startswith(NOT_PAGES)
    }
    assert pages == OF_NOBODY.keys() | OF_A_PERSON.keys() | OF_A_TENANT.keys()


@each(PRIVATE)
def test_nobody_is_sent_to_the_log_in(names, page):
    answer = ask(Client(), page, names)
    path = quote(page.path.format_map(names))
    assert (answer.status_code, answer["Location"]) == (302, f"/login?next={path}")


@each(NAMED)
def test_an_outsider_is_told_what_is_told_of_nothing(names, outsider, page):
    answers = [
        ask(outsider, page, there)
        for there in (names, names | {"slug": "nobody", "email": "nobody"})
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content


@each(NAMED)
def test_an_operator_is_an_outsider(names, operator_person, page):
    assert ask(operator_person, page, names).status_code == 404


@pytest.fixture
def operator_person(database) -> Person:
    person = Person(new_user(is_staff=True, is_superuser=True))
    person.client.force_login(person.user)
    return person


@each(OF_A_TENANT)
def test_an_outsider_sees_nothing_of_acme(names, outsider, page):
    text = ask(outsider, page, names).content.decode()
    # A price's number is on many pages, for other reasons.
    for name in {"slug", "email", "prefix", *NAMED_IN_PATHS} - {"price"}:
        assert names[name] not in text


@each(
    {
        route: page
        for route, page in OF_A_TENANT.items()
        if any(f"{{{name}}}" in page.path for name in NAMED_IN_PATHS)
    }
)
def test_what_is_of_another_tenant_is_not_found(names, outsider, page):
    own = Page(page.path.removeprefix("/t/{slug}"), page.roles, page.post)
    assert ask(outsider, own, names).status_code == 404


@pytest.mark.parametrize("role", sorted(EVERYONE))
@each(PRIVATE)
def test_each_role_may_do_what_it_may(acme, names, page, role):
    person = new_person(acme, role)
    answer = ask(person, page, names)
    assert answer.status_code == (page.status if role in page.roles else 403)
    if role not in page.roles:
        assert "Your role does not reach this far" in answer.content.decode()


@each(OF_A_TENANT)
def test_a_member_of_nothing_is_told_so(names, page):
    person = Person(new_user())
    person.client.force_login(person.user)
    answer = ask(person, page, names)
    if "{slug}" in page.path:
        assert answer.status_code == 404
    else:
        assert answer.status_code == 403
        assert "You belong to no tenant yet" in answer.content.decode()


@each(OF_A_TENANT)
def test_a_suspended_tenant_shows_that_and_no_data(acme, admin, names, page):
    acme.set_status("suspended")
    answer = ask(admin, page, names)
    assert answer.status_code == 403
    text = answer.content.decode()
    assert "is suspended" in text
    assert names["email"] not in text


@each(PRIVATE)
def test_pages_stay_in_no_cache(acme, admin, names, page):
    assert "no-store" in ask(admin, page, names)["Cache-Control"]


@each({route: page for route, page in PRIVATE.items() if page.post})
def test_a_change_from_another_site_is_refused(acme, admin, names, page):
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(admin.user)
    answer = ask(careful, page, names)
    assert answer.status_code == 403
    assert "The form is too old" in answer.content.decode()


def test_a_link_logs_nobody_out_and_leads_to_the_button_that_does(admin):
    assert 'action="/logout"' in admin.get("/logout").content.decode()
    assert admin.get("/account").status_code == 200


@pytest.mark.parametrize(
    ("path", "there"),
    [("/switch", "/"), ("/settings/budget", "/t/{slug}/settings#budget")],
)
def test_whoever_comes_to_an_address_of_a_button_is_led_to_the_button(
    acme, admin, path, there
):
    answer = admin.get(path)
    assert (answer.status_code, answer["Location"]) == (
        302,
        there.format(slug=acme.slug),
    )


@each({route: page for route, page in OF_A_TENANT.items() if page.post})
def test_every_address_that_is_sent_to_shows_a_person_something(
    acme, admin, names, page
):
    assert ask(admin, page._replace(post=None), names).status_code in (200, 302)


OF_ITS_OWN = re.compile(r'<script(?!( type="module")? src=)|<style|style=| on[a-z]+=')


def test_pages_have_neither_script_nor_style_of_their_own(acme, admin, names):
    """The policy would keep a browser from using it."""
    for page in PRIVATE.values():
        answer = ask(admin, page, names)
        if not answer["Content-Type"].startswith("text/html"):
            continue  # a file to take away
        text = answer.content.decode()
        assert not OF_ITS_OWN.search(text)
