"""That a receipt was read by a person, or verified, as access events.

Written before anything is shown. Where it cannot be written, as the disk is full or the
database a standby, nothing is shown either: whoever could stop the writing could else
read unseen. Verifying does not depend on it, as evidence verifies offline.
"""

from collections.abc import Iterable

from django.http import HttpRequest
from rest_framework.request import Request

from receipts.models import Receipt
from receipts.verdicts import Checked
from tenants import events
from tenants.authentication import acting
from tenants.models import Tenant

Filters = Iterable[tuple[str, str, str]]  # name, label, value

KIND = "receipt"


def note_reading(request: HttpRequest, receipt: Receipt) -> None:
    """Note that the person who is logged in reads a receipt."""
    _note(events.person(request), "receipt.read", receipt)


def note_verification(request: Request, receipt: Receipt, checked: Checked) -> None:
    """Note that a program had a receipt verified, and what came of it."""
    _note(acting(request), "receipt.verified", receipt, verdict=str(checked.verdict))


def note_check(request: HttpRequest, receipt: Receipt, checked: Checked) -> None:
    """Note that the person who is logged in had a receipt checked by this server."""
    person = events.person(request)
    _note(person, "receipt.verified", receipt, verdict=str(checked.verdict))


def note_download(request: HttpRequest, receipt: Receipt, filename: str) -> None:
    _note(events.person(request), "receipt.downloaded", receipt, file=filename)


def _note(actor: events.Actor, action: str, receipt: Receipt, **after: str) -> None:
    events.record(
        actor,
        action,
        tenant_id=receipt.tenant_id,
        kind=KIND,
        object_id=receipt.pk,
        after=after or None,
    )


def note_list_export(
    request: HttpRequest, tenant: Tenant, count: int, filters: Filters
) -> None:
    """Note that a list of receipts is carried away, as it is shown."""
    events.record(
        events.person(request),
        "receipts.exported",
        tenant_id=tenant.pk,
        kind="receipts",
        after={"rows": count, **{name: value for name, _, value in filters}},
    )
