"""Where the pages of runs lead to: receipts, for those who may see them."""

from typing import Any
from uuid import UUID

from django.urls import NoReverseMatch

from tenants.page_access import Member
from tenants.roles import Right


def address_if_any(member: Member, name: str, *names: Any) -> str | None:
    """Return the address of a page that another app may or may not have."""
    try:
        return member.address(name, *names)
    except NoReverseMatch:
        return None


class ReceiptLinks:
    """Addresses of receipts; none for a person who may not read receipts."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._may = member.may(Right.READ_RECEIPTS)

    def to(self, receipt_id: UUID | None) -> str | None:
        if receipt_id is None or not self._may:
            return None
        return address_if_any(self._member, "receipt", receipt_id)
