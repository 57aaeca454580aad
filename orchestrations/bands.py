"""Bands that grow by a constant factor: percentiles from counts alone.

A value is counted in the band it falls into; a percentile is the middle of the band
that holds it, so it is off by half a band's width at most, whatever the values.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil, floor, log, sqrt


@dataclass(frozen=True)
class Bands:
    """Band 0 holds values below 1; band n those in [growth^(n-1), growth^n)."""

    growth: float

    def band(self, value: int) -> int:
        return 0 if value < 1 else floor(log(value) / log(self.growth)) + 1

    def least(self, band: int) -> int:
        """Return a value that none in the band is below, and few below it reach."""
        # Logarithms are rounded: a value at a limit may be in the band next to it.
        return floor(self.growth ** (band - 1) * (1 - 1e-9)) if band else 0

    def middle(self, band: int) -> float:
        """Return the geometric mean of a band's limits; 0 for band 0."""
        return self.growth ** (band - 1) * sqrt(self.growth) if band else 0.0

    def percentiles(
        self, counts: Mapping[int, int], ranks: Iterable[float]
    ) -> list[float | None]:
        """Return for each rank (0 to 1) the value that so many are at most."""
        total = sum(counts.values())
        return [self._percentile(counts, max(1, ceil(rank * total))) for rank in ranks]

    def _percentile(self, counts: Mapping[int, int], position: int) -> float | None:
        for band in sorted(counts):
            position -= counts[band]
            if position <= 0:
                return self.middle(band)
        return None


LATENCIES = Bands(growth=1.1)  # of milliseconds: within 5 %
COSTS = Bands(growth=1.05)  # of nanocents: within 2.5 %
