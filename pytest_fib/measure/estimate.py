"""Numbers with intervals, and what becomes of the intervals when the numbers are combined."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A number, and the interval that it lies in with some confidence; ``interval`` is None where none is known.

    Combined estimates keep the confidence of their parts, which must be independent: the squared distances from value
    to end are added, those of the end that matters (the method of variance estimates recovery: Zou & Donner,
    "Construction of confidence limits about effect measures", Statistics in Medicine 27, 2008). Nothing but the
    intervals is needed for it, not the samples, and they need not be symmetric.
    """

    value: float
    interval: tuple[float, float] | None = None

    @property
    def reach(self) -> tuple[float, float] | None:
        """Distances from the value down to the lower end and up to the upper one, at least 0."""
        if self.interval is None:
            return None
        low, high = self.interval
        return max(0.0, self.value - low), max(0.0, high - self.value)

    def log(self) -> Estimate:
        """Return the logarithm; value and ends are positive."""
        return Estimate(math.log(self.value), self.interval and _both(math.log, self.interval))

    def exp(self) -> Estimate:
        """Return the exponential."""
        return Estimate(math.exp(self.value), self.interval and _both(math.exp, self.interval))

    def under(self, numerator: float) -> Estimate:
        """Return ``numerator``, which is exact, divided by this; all are positive."""
        ends = self.interval and (numerator / self.interval[1], numerator / self.interval[0])
        return Estimate(numerator / self.value, ends)


def difference(left: Estimate, right: Estimate) -> Estimate:
    """Return ``left - right``."""
    value = left.value - right.value
    one, other = left.reach, right.reach
    if one is None or other is None:
        return Estimate(value)
    return Estimate(value, (value - math.hypot(one[0], other[1]), value + math.hypot(one[1], other[0])))


def ratio(left: Estimate, right: Estimate) -> Estimate:
    """Return ``left / right``; all numbers are positive."""
    return difference(left.log(), right.log()).exp()


def mean(estimates: Sequence[Estimate]) -> Estimate:
    """Return the arithmetic mean; ValueError when there are no estimates."""
    if not estimates:
        raise ValueError("the mean of no values is not defined")
    count = len(estimates)
    value = math.fsum(estimate.value / count for estimate in estimates)
    reaches = [estimate.reach for estimate in estimates]
    known = [reach for reach in reaches if reach is not None]
    if len(known) < count:
        return Estimate(value)
    down, up = (math.hypot(*side) / count for side in zip(*known, strict=True))
    return Estimate(value, (value - down, value + up))


def rank_ranges(estimates: Sequence[Estimate]) -> list[tuple[int, int]]:
    """Return for each estimate the best and the worst rank that it can claim, 1 for the largest.

    Two estimates are told apart only if the interval of their difference does not hold 0, so whoever cannot be told
    apart shares ranks; those without an interval are told apart from nobody, but equal exact numbers are equal.
    """
    ranges = []
    for mine in estimates:
        others = [difference(other, mine).interval or (-math.inf, math.inf) for other in estimates]
        best = 1 + sum(low > 0 for low, _ in others)
        ranges.append((best, len(estimates) - sum(high < 0 for _, high in others)))
    return ranges


def _both(function: Callable[[float], float], ends: tuple[float, float]) -> tuple[float, float]:
    return function(ends[0]), function(ends[1])
