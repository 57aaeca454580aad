"""How pages write addresses, times, ids, counts and money."""

import hashlib
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings
from django.http import QueryDict
from django.template import Context, Template

from lucid.csv_answer import csv_answer
from lucid.list_page import Chip, Column, chips, choices
from tenants.templatetags.pages import agent, count, money, short, total, when


@pytest.mark.parametrize(
    ("cents", "text"),
    [
        ("0.0012", "$0.000012"),
        ("0.000000001", "$0.00000000001"),
        ("12", "$0.12"),
        ("10", "$0.10"),
        ("0", "$0.00"),
        ("0E-9", "$0.00"),
        ("123456789.5", "$1,234,567.895"),
        ("-250", "−$2.50"),
    ],
)
def test_what_one_thing_cost_keeps_every_decimal(cents, text):
    assert money(Decimal(cents)) == text


@pytest.mark.parametrize(
    ("cents", "text"),
    [
        ("0", "$0.00"),
        ("123456.789", "$1,234.57"),
        ("99.999", "$1.00"),
        ("45.6789", "$0.46"),
        ("4.56789", "$0.046"),
        ("0.0012345", "$0.000012"),
        ("-0.5", "−$0.005"),
        ("1", "$0.01"),
    ],
)
def test_a_sum_is_rounded_to_what_can_be_read(cents, text):
    assert total(Decimal(cents)) == text


def test_what_has_no_price_is_a_word():
    assert (money(None), total(None)) == ("unpriced", "unpriced")


def test_an_agent_goes_without_what_all_of_them_begin_with():
    assert agent("maip-agent:claims-desk") == "claims-desk"
    assert (agent("claims-desk"), agent(None)) == ("claims-desk", "")


def test_counts_have_their_thousands_apart():
    assert (count(1234567), count(None)) == ("1,234,567", "–")


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 11, 22, 15, 3, 5, tzinfo=timezone(timedelta(hours=1))),
        int(datetime(2026, 11, 22, 14, 3, 5, tzinfo=UTC).timestamp()),
    ],
)
def test_a_time_is_said_in_utc_whatever_its_zone(moment):
    assert when(moment) == (
        '<time datetime="2026-11-22T14:03:05Z" title="22 Nov 2026 14:03:05 UTC">'
        "22 Nov 2026 14:03 UTC</time>"
    )


def test_indentation_is_left_out_but_for_what_is_preformatted():
    page = "{% load pages %}{% unindented %}<p>\n    <b>{{ b }}</b>\n\n  text</p>"
    page += "<pre>\n  <i>a</i></pre>\n  <br>{% endunindented %}"
    assert Template(page).render(Context({"b": "<"})) == (
        "<p>\n<b>&lt;</b>\n\n  text</p><pre>\n  <i>a</i></pre>\n<br>"
    )


def test_a_long_id_is_whole_where_it_is_selected_and_in_its_title():
    text = "maip-orch:01KBXXXXXXXXXXXXXXXXXXXXXX"
    shown = short(text)
    assert f'title="{text}"' in shown
    assert f'data-copy="{text}"' in shown
    assert Template("{{ shown|striptags }}").render(Context({"shown": shown})) == text


def test_an_id_is_text_and_no_markup():
    assert "<b>" not in short("<b>" + "x" * 40)
    assert "<b>" not in short("<b>")


def test_a_page_has_its_address_in_the_tenant_and_the_mode(acme, admin):
    slug = acme.slug
    assert f'href="/t/{slug}/members"' in admin.get("/").content.decode()
    text = admin.get("/members?mode=test").content.decode()
    assert f'href="/t/{slug}?mode=test"' in text
    assert f'href="/t/{slug}/audit?mode=test"' in text


def test_the_other_mode_keeps_the_filters_and_not_the_place(admin):
    text = admin.get("/audit?action=x&cursor=nothing&mode=test").content.decode()
    assert 'href="?action=x"' in text
    assert 'href="?action=x&amp;mode=test" aria-current="true"' in text


def test_a_chip_leads_to_the_list_without_its_filter_from_the_top():
    query = QueryDict("a=1&b=2&cursor=x")
    assert chips(query, [("a", "A", "1")]) == [Chip("A", "1", "?b=2")]


COLUMNS = [Column("a", "A"), Column("b", "B", is_usual=False)]


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", ["a"]),
        ("columns=b", ["b"]),
        ("columns=a&columns=b", ["a", "b"]),
        ("columns=none", ["a"]),
    ],
)
def test_columns_are_as_the_reader_chose(query, shown):
    chosen = choices(QueryDict(query), COLUMNS)
    assert [choice.column.name for choice in chosen if choice.is_shown] == shown


def test_csv_has_no_formulas():
    rows = [["=1+1", "@x", "-y", -1.5, 'a "b", c', None]]
    text = csv_answer("t.csv", ["h"] * 6, rows).getvalue().decode()
    assert text == 'h,h,h,h,h,h\r\n\'=1+1,\'@x,\'-y,-1.5,"a ""b"", c",\r\n'


def test_vendored_files_are_unmodified():
    vendor = Path(settings.BASE_DIR) / "static" / "vendor"
    listed = {}
    for line in (vendor / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        listed[name.removeprefix("./")] = digest
    there = {
        str(path.relative_to(vendor)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in vendor.rglob("*")
        if path.is_file() and path.name not in {"README.md", "SHA256SUMS"}
    }
    assert there == listed
