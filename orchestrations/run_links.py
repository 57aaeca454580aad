"""Where the pages of runs lead to: receipts, for those who may see them."""

from uuid import UUID

from tenants.page_access import Member
from tenants.roles import Right


class ReceiptLinks:
    """Addresses of receipts; none for a person who may not read receipts."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._may = member.may(Right.READ_RECEIPTS)

    def to(self, receipt_id: UUID | None) -> str | None:
        if receipt_id is None or not self._may:
            return None
        return self._member.address("receipt", receipt_id)
