import random

import pytest

from orchestrations.bands import COSTS, LATENCIES


@pytest.mark.parametrize("bands", [LATENCIES, COSTS])
def test_a_percentile_is_within_half_a_band(bands):
    source = random.Random(7)
    values = sorted(int(source.lognormvariate(6, 2)) + 1 for _ in range(5000))
    counts: dict[int, int] = {}
    for value in values:
        counts[bands.band(value)] = counts.get(bands.band(value), 0) + 1
    for rank, told in zip(
        (0.5, 0.95, 0.99), bands.percentiles(counts, (0.5, 0.95, 0.99)), strict=True
    ):
        true = values[int(rank * len(values)) - 1]
        assert abs(told / true - 1) < (bands.growth - 1) * 0.55


def test_nothing_costs_nothing():
    assert COSTS.percentiles({0: 3}, [0.95]) == [0.0]


def test_of_nothing_there_is_no_percentile():
    assert COSTS.percentiles({}, [0.5, 0.95]) == [None, None]


def test_the_largest_column_value_fits_a_smallint():
    assert COSTS.band(2**63 - 1) < 2**15
