"""What stands beside the charts that scripts draw."""

import re

import pytest

pytestmark = pytest.mark.slow

REMEMBER_TEXT = """
window.drawn = [];
const fillText = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
  window.drawn.push(text);
  return fillText.call(this, text, ...place);
};
"""


@pytest.mark.parametrize(
    ("highest", "labels"),  # in cents; in dollars
    [
        ("2.2", {"$0.005", "$0.010", "$0.015", "$0.020"}),
        ("0.00022", {"$0.0000005", "$0.0000010", "$0.0000015", "$0.0000020"}),
        ("220000", {"$500.00", "$1,000.00", "$1,500.00", "$2,000.00"}),
    ],
)
def test_no_two_amounts_of_an_axis_read_the_same(open_page, highest, labels):
    page = open_page("analyst")
    page.add_init_script(REMEMBER_TEXT)

    def values(given):
        return f'data-values="{highest}{" 0" * given[1].count(" ")}"'

    def of_money(chart):
        return re.sub('data-values="([^"]*)"', values, chart[0])

    def with_amounts(route):
        answer = route.fetch()
        chart = re.compile('data-unit="money".*?</figure>', re.DOTALL)
        route.fulfill(response=answer, body=chart.sub(of_money, answer.text()))

    page.route("**/costs?*", with_amounts)
    page.goto("/costs?period=last-month&by=model")
    page.locator(".chart canvas").first.wait_for()
    drawn = page.evaluate("window.drawn")
    amounts = {text for text in drawn if text.startswith("$")}
    assert labels <= amounts
    assert len({len(text.partition(".")[2]) for text in amounts}) == 1
