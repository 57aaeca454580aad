"""Charts as the server draws them, and the numbers behind them."""

import re
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from django.template.loader import render_to_string
from hypothesis import given
from hypothesis import strategies as st

from lucid.charts import (
    APART,
    Series,
    Share,
    Step,
    TimeSeries,
    Unit,
    round_up,
    starts_between,
    step_for,
)
from lucid.comparison import compared
from tenants.templatetags.pages import total

FIRST = date(2026, 11, 1)


def chart(*series, unit=Unit.MONEY, **options):
    starts = [FIRST + timedelta(days=n) for n in range(len(series[0].values))]
    return TimeSeries("What did it cost?", unit, Step.DAY, starts, series, **options)


def drawn(it, name="series", **context):
    return render_to_string(f"charts/{name}.html", {"chart": it} | context)


class TestATimeSeries:
    def test_has_its_numbers_in_a_table(self):
        one = Series("gpt-5", [Decimal("12.5"), None, Decimal(0)], url="/of-gpt-5")
        two = Series("others", [Decimal(0), Decimal(100), Decimal(300)], is_rest=True)
        text = drawn(chart(one, two, urls=["/1", "/2", "/3"]))
        assert "<figcaption>What did it cost?</figcaption>" in text
        cells = re.findall("<td>(.+?)</td>", text)
        money = [re.sub("<.+?>", "", cell) for cell in cells]
        assert money == [
            *("$0.12", "$0.00"),
            *("unpriced", "$1.00"),
            *("$0.00", "$3.00"),
            *("$0.12", "$4.00"),
        ]
        assert 'data-values="12.5 - 0"' in text
        assert 'data-rest data-values="0 100 300"' in text
        assert '<a href="/2"><time datetime="2026-11-02">2 Nov 2026</time></a>' in text
        assert '<a href="/of-gpt-5">$0.12</a>' in text

    def test_of_one_is_bars_from_zero(self):
        it = chart(Series("calls", [0, 5, 10]), unit=Unit.COUNT)
        assert it.kind == "bars"
        assert [(bar.y, bar.height) for bar in it.bars] == [
            ("50", "50"),
            ("0", "100"),
        ]
        assert drawn(it).count("<rect") == 2
        assert [tick.value for tick in it.ticks] == [10, 5, 0]

    def test_of_several_is_lines_with_gaps_where_nothing_is_known(self):
        it = chart(Series("a", [10, None, 10, 0]), Series("b", [0, 0, 0, 0]))
        assert it.lines[0].points == ["125,0", "625,0 875,100"]
        assert it.lines[1].points == ["125,100 375,100 625,100 875,100"]

    def test_says_its_highest_value(self):
        text = drawn(chart(Series("a", [100, 200]), Series("b", [0, 900])))
        assert "The highest is $9.00, of b, 2 Nov 2026." in text

    @pytest.mark.parametrize("values", [[5], [0, 0, 0], [None, None]])
    def test_is_its_table_where_there_is_nothing_to_see(self, values):
        text = drawn(chart(Series("a", values)))
        assert "<svg" not in text
        assert '<details class="numbers" open>' in text

    def test_is_drawn_whatever_its_labels_are(self):
        hostile = '"><script>alert(1)</script>'
        text = drawn(chart(Series(hostile, [1, 2]), Series("x" * 300, [2, 1])))
        assert "<script" not in text
        assert ' dy="4">' + "x" * 19 + "…</text>" in text

    def test_has_no_style_of_its_own(self):
        text = drawn(chart(Series("a", [1, 2]), Series("b", [2, 1])))
        assert not re.search(r"<script|<style|style=| on[a-z]+=", text)

    @given(
        st.lists(
            st.lists(st.integers(0, 1000), min_size=2, max_size=2),
            min_size=2,
            max_size=6,
        )
    )
    def test_has_labels_that_cover_neither_each_other_nor_the_days(self, values):
        it = chart(*(Series(str(n), row) for n, row in enumerate(values)))
        places = sorted(float(line.label_place) for line in it.lines)
        assert all(below - it > APART - 0.02 for it, below in pairwise(places))
        assert (places[0] >= 5, places[-1] <= 87) == (True, True)


@given(st.decimals("0.000000001", 10**12, places=9))
def test_an_axis_ends_at_a_round_number_not_far_above(value):
    top = round_up(value)
    assert value <= top <= value * Decimal("2.5")
    assert len(str(top.normalize().as_tuple().digits)) <= len("(2, 5)")


@given(st.decimals("0.000000001", 10**12, places=9))
def test_the_numbers_beside_an_axis_are_not_rounded(value):
    for cents in (round_up(value), round_up(value) / 2):
        assert Decimal(total(cents)[1:].replace(",", "")) * 100 == cents


class TestSteps:
    @pytest.mark.parametrize(
        ("first", "last", "step", "points"),
        [
            (date(2026, 11, 1), date(2026, 11, 1), Step.DAY, 1),
            (date(2026, 1, 1), date(2026, 1, 31), Step.DAY, 31),
            (date(2026, 1, 1), date(2026, 2, 1), Step.WEEK, 5),
            (date(2026, 1, 1), date(2026, 12, 31), Step.WEEK, 53),
            (date(2024, 1, 1), date(2026, 12, 31), Step.MONTH, 36),
        ],
    )
    def test_are_as_many_as_can_be_read(self, first, last, step, points):
        assert step_for(first, last) == step
        assert len(starts_between(first, last, step)) == points

    @given(st.dates(date(1970, 1, 1), date(2100, 1, 1)), st.sampled_from(Step))
    def test_follow_each_other_without_gap(self, day, step):
        start = step.start(day)
        assert start <= day <= step.end(start)
        following = step.end(start) + timedelta(days=1)
        assert step.start(following) == following


def test_small_charts_say_what_they_show():
    share = Share("$5 of $8", 500, 800)
    text = drawn(None, "share", share=share)
    assert 'role="img"' in text
    assert "<title>$5 of $8</title>" in text
    assert '<rect width="62.5%"' in text


@pytest.mark.parametrize(
    ("part", "whole", "percent"),
    [(0, 5, "0"), (5, 0, "0"), (None, 5, "0"), (9, 5, "100.0"), (-1, 5, "0.0")],
)
def test_a_share_is_between_nothing_and_all(part, whole, percent):
    assert Share("", part, whole).percent == percent


@pytest.mark.parametrize(
    ("now", "before", "words"),
    [
        (108, 100, "8 % more than"),
        (92, 100, "8 % less than"),
        (100, 100, "as much as"),
        (Decimal("100.00001"), 100, "almost as much as"),
        (Decimal("100.4"), 100, "0.4 % more than"),
        (Decimal("0.01"), 100, "99.9 % less than"),
        (250, 100, "150 % more than"),
        (1234, 1, "1,234 times as much as"),
        (0, 5, ""),
        (5, 0, ""),
    ],
)
def test_what_changed_is_said_in_words(now, before, words):
    assert compared(now, before) == words
