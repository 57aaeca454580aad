import re

import pytest
from django.contrib.admin import site
from django.test import Client

from tenants.models import ApiKey, Tenant
from tests.conftest import new_caller


@pytest.mark.parametrize("model", list(site._registry), ids=lambda m: m._meta.label)
def test_each_list_and_search_is_shown(operator, alice, model):
    alice.record()
    path = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    assert operator.get(path).status_code == 200
    assert operator.get(path, {"q": "no such thing"}).status_code == 200


def test_a_stranger_is_sent_to_the_log_in(database):
    assert Client().get("/admin/")["Location"].startswith("/admin/login/")


def test_a_new_key_is_shown_once_and_works(operator, acme):
    data = {"tenant": acme.pk, "name": "ci", "mode": "live", "scopes": ["*"]}
    data |= {"expires_at_0": "", "expires_at_1": ""}
    page = operator.post("/admin/tenants/apikey/add/", data, follow=True)
    (text,) = re.findall(r"lk_live_\w{42}", page.content.decode())
    answer = Client().get("/v1/mmr/root", headers={"X-API-Key": text})
    assert answer.status_code == 200
    key = ApiKey.objects.get(tenant=acme)
    shown = operator.get(f"/admin/tenants/apikey/{key.pk}/change/").content.decode()
    assert key.prefix in shown
    assert text not in shown


def test_a_slug_cannot_change_once_it_is_in_an_origin(operator, acme):
    path = f"/admin/tenants/tenant/{acme.pk}/change/"
    operator.post(path, {"slug": "other", "name": "New name", "settings": "{}"})
    changed = Tenant.objects.get(pk=acme.pk)
    assert (changed.slug, changed.name) == (acme.slug, "New name")


def test_a_receipt_shows_its_entry_and_hash(operator, acme):
    receipt = new_caller(acme).record(run_id="shown")
    path = f"/admin/receipts/receipt/{receipt['receipt_id']}/change/"
    page = operator.get(path).content.decode()
    assert receipt["receipt_hash"] in page
    assert "&quot;run_id&quot;:&quot;shown&quot;" in page


def test_a_receipt_is_found_by_its_run_id(operator, alice):
    receipt = alice.record(run_id="needle")
    alice.record(run_id="hay")
    page = operator.get("/admin/receipts/receipt/", {"q": "needle"}).content.decode()
    assert receipt["receipt_id"] in page
    assert ">hay<" not in page
