"""How pages of runs write receipts, durations and times of the day."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from django import template
from django.utils.html import format_html

from orchestrations.models import Inference
from orchestrations.run_links import ReceiptLinks
from orchestrations.run_timeline import lane_name
from orchestrations.run_words import STATUSES, Verdict, duration

register = template.Library()

SHOWN_OF_ID = 8  # characters at its end, where ids of one moment differ


@register.simple_tag
def link_to_receipt(links: ReceiptLinks, receipt_id: UUID) -> str:
    """Show a receipt's id, as a link for those who may read receipts."""
    text = str(receipt_id)
    shown = tail(text)
    address = links.to(receipt_id)
    if address is None:
        return format_html('<span class="id" title="{}">{}</span>', text, shown)
    return format_html(
        '<a class="id" href="{}" title="{}">{}</a>', address, text, shown
    )


@register.filter
def tail(identifier: str) -> str:
    """Return the end of an id that is whole elsewhere, or in its title."""
    return f"…{identifier[-SHOWN_OF_ID:]}"


@register.filter
def verdict(status: str) -> Verdict:
    """Return the mark and the words for how a run ended."""
    return STATUSES[status]


@register.filter
def clock(moment: datetime) -> str:
    """Write a time to the millisecond, in UTC, as tables of one run compare them."""
    moment = moment.astimezone(UTC)
    return f"{moment:%d %b %H:%M:%S}.{moment.microsecond // 1000:03}"


register.filter("lane", lane_name)


@register.filter
def took(time: timedelta) -> str:
    return duration(time)


@register.filter
def written(call: Inference) -> int:
    """Add up what a call wrote to a cache, for however long."""
    return call.cache_write_5m_tokens + call.cache_write_1h_tokens
