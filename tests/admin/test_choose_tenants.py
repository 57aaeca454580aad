"""However many tenants there are, a form finds one by its name and lists none."""

import pytest
from django.contrib.admin import site

from tests.conftest import new_tenant

ADDED_FOR_A_TENANT = [
    model
    for model, admin in site._registry.items()
    if any(field.name == "tenant" for field in model._meta.fields)
    and type(admin).has_add_permission.__module__.startswith("django.")
]


def autocomplete(operator, model, term):
    asked = {
        "app_label": model._meta.app_label,
        "model_name": model._meta.model_name,
        "field_name": "tenant",
        "term": term,
    }
    answer = operator.get("/admin/autocomplete/", asked)
    assert answer.status_code == 200
    return answer.json()["results"]


def test_there_are_such_forms():
    names = {model.__name__ for model in ADDED_FOR_A_TENANT}
    assert names == {"ApiKey", "Membership", "Budget", "Price", "ProviderCredential"}


@pytest.mark.parametrize("model", ADDED_FOR_A_TENANT, ids=lambda m: m.__name__)
def test_a_form_finds_the_tenant_that_is_looked_for(operator, acme, model):
    other = new_tenant("globex")
    path = f"/admin/{model._meta.app_label}/{model._meta.model_name}/add/"
    page = operator.get(path).content.decode()
    for tenant in (acme, other):
        assert str(tenant.pk) not in page
        found = autocomplete(operator, model, tenant.slug)
        assert found == [{"id": str(tenant.pk), "text": str(tenant)}]
    assert autocomplete(operator, model, "no-such-tenant") == []
