"""The receipt of a call that the gateway made, as an auditor's pages tell of it."""

from tests.orchestrations.calling import infer, inferred, set_price
from tests.orchestrations.provider import Scripted, open_account
from tests.tenants.people import new_person


def shown(person, path):
    answer = person.get(path)
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


def test_a_witnessed_call_is_told_from_a_reported_one(acme, alice, provider):
    open_account(acme, provider)
    set_price(acme)
    name = inferred(alice)["receipt_id"]
    auditor = new_person(acme, "auditor")
    page = shown(auditor, f"/receipts/{name}?check=server")
    assert "<strong>Witnessed by our gateway.</strong>" in page
    assert "Reported by the agent" not in page
    assert '<strong class="verdict good">Valid</strong>' in page
    assert "by a price of this tenant&#x27;s own" in page
    listed = shown(auditor, "/receipts?receipt_type=inference")
    assert 'data-head="Observed">witnessed' in listed
    assert 'data-head="Status">completed' in listed


def test_a_call_that_failed_says_so(acme, alice, provider):
    open_account(acme, provider)
    provider.answers(Scripted(status=400))
    assert infer(alice).status_code == 502
    auditor = new_person(acme, "auditor")
    page = shown(auditor, "/receipts?receipt_type=inference")
    assert 'data-head="Status">failed' in page
