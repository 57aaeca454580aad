"""How pages of a tenant write addresses, times, ids, counts and money."""

import re
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from django import template
from django.http import QueryDict
from django.utils.html import format_html
from django.utils.safestring import SafeString

from tenants.models import Mode

register = template.Library()

OF_TENANT = "t/<slug:slug>/"  # what routes with a tenant begin with
AGENT = "maip-agent:"  # what ids of agents begin with
SHOWN_OF_ID = 14  # characters of a longer id: as many at its beginning as at its end


@register.simple_tag(takes_context=True)
def page(context: dict[str, Any], name: str, *names: Any, **query: Any) -> str:
    """Return the address of a page of this tenant: `{% page "receipt" row.pk %}`."""
    address: str = context["request"].member.address(name, *names, **query)
    return address


@register.simple_tag(takes_context=True)
def page_of_these(context: dict[str, Any], name: str, **query: Any) -> str:
    """Return the address of a page that takes the filters of this list."""
    filters: QueryDict = context["request"].GET.copy()
    for gone in ("mode", "cursor", "columns", "format", *query):
        filters.pop(gone, None)
    address = page(context, name, **query)
    return f"{address}&{filters.urlencode()}" if filters else address


@register.simple_tag(takes_context=True)
def current(context: dict[str, Any], door: str) -> str:
    """Say whether this is the page behind a door, or one of those behind that page."""
    match = context["request"].resolver_match
    if match is None:
        return ""
    if match.url_name == door:
        return "page"
    return "true" if match.route.removeprefix(OF_TENANT).split("/")[0] == door else ""


@register.simple_tag(takes_context=True)
def in_mode(context: dict[str, Any], mode: str) -> str:
    """Return the address of this page in another mode: its filters, no place in it."""
    query: QueryDict = context["request"].GET.copy()
    for gone in ("mode", "cursor"):
        query.pop(gone, None)
    if mode != Mode.LIVE:
        query["mode"] = mode
    return f"?{query.urlencode()}"


PREFORMATTED = re.compile(r"(<(?:pre|textarea)\b.*?</(?:pre|textarea)>)", re.S)
INDENTATION = re.compile(r"\n\s+(?=<)")


@register.simple_block_tag
def unindented(content: str) -> SafeString:
    """Write markup without what indents its tags in templates, 5 % of a page."""
    parts = PREFORMATTED.split(content)
    parts[::2] = [INDENTATION.sub("\n", part) for part in parts[::2]]
    return SafeString("".join(parts))


@register.filter
def when(moment: datetime | int | None) -> str:
    """Show a time, or Unix seconds, in UTC; page.js says it in the viewer's zone."""
    return _time(moment, "")


@register.filter
def at(moment: datetime | None) -> str:
    """Show a time as `when` does, but never as a while ago: for words like "since"."""
    return _time(moment, " data-exact")


def _time(moment: datetime | int | None, attribute: str) -> str:
    if moment is None:
        return "–"
    if not isinstance(moment, datetime):
        moment = datetime.fromtimestamp(int(moment), UTC)
    moment = moment.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{}"{}>{}</time>',
        f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        f"{moment.day} {moment:%b %Y %H:%M:%S} UTC",
        attribute,
        f"{moment.day} {moment:%b %Y %H:%M} UTC",
    )


@register.filter
def short(identifier: object) -> SafeString | str:
    """Show an id without its middle; it is whole when selected, copied or hovered."""
    text = "" if identifier is None else str(identifier)
    if len(text) <= 2 * SHOWN_OF_ID:
        return format_html('<span class="id" data-copy="{}">{}</span>', text, text)
    return format_html(
        '<span class="id" title="{}" data-copy="{}">'
        '{}<span class="cut">{}</span>{}</span>',
        text,
        text,
        text[:SHOWN_OF_ID],
        text[SHOWN_OF_ID:-SHOWN_OF_ID],
        text[-SHOWN_OF_ID:],
    )


@register.filter
def agent(identifier: object) -> str:
    """Write an agent's id without what all of them begin with; its title is whole."""
    return str(identifier or "").removeprefix(AGENT)


@register.filter
def count(number: int | None) -> str:
    """Write a whole number with its thousands apart."""
    return "–" if number is None else f"{number:,}"


CENT = Decimal("0.01")
DOLLAR = Decimal(100)


@register.filter
def money(cents: Decimal | None) -> str:
    """Write what one thing cost, in dollars, with every decimal that it has.

    Nothing is known of a cost that is None: it has no price.
    """
    if cents is None:
        return "unpriced"
    return _in_dollars(Decimal(cents) / DOLLAR)


@register.filter
def total(cents: Decimal | None) -> str:
    """Write a sum, in dollars, rounded to what can be read at a glance.

    To cents; to two digits that are not zero where it is less than a dollar.
    """
    if cents is None:
        return "unpriced"
    dollars = Decimal(cents) / DOLLAR
    places = CENT
    if dollars and abs(dollars) < 1:
        places = min(CENT, Decimal(1).scaleb(dollars.adjusted() - 1))
    return _in_dollars(dollars.quantize(places, ROUND_HALF_EVEN))


def _in_dollars(amount: Decimal) -> str:
    """Write it without zeros at its end, but for those of cents."""
    whole, _, fraction = f"{abs(amount):,f}".partition(".")
    sign = "−" if amount < 0 else ""
    return f"{sign}${whole}.{fraction.rstrip('0'):0<2}"
