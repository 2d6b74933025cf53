"""Scores over the workloads of one definition: means of speedups and the win rate."""

from __future__ import annotations

import math
from collections.abc import Sequence


def arithmetic_mean(values: Sequence[float]) -> float:
    """Return the sum divided by the count; ValueError when there are no values.

    The contest's score. One workload with a slow reference can dominate it, so it is shown beside
    :func:`geometric_mean`.
    """
    if not values:
        raise ValueError("the mean of no values is not defined")
    return math.fsum(value / len(values) for value in values)


def geometric_mean(values: Sequence[float]) -> float:
    """Return the exponential of the mean logarithm; ValueError when there are no values or one is not positive."""
    if not values:
        raise ValueError("the mean of no values is not defined")
    if min(values) <= 0:
        raise ValueError("a geometric mean needs positive values")
    return math.exp(arithmetic_mean([math.log(value) for value in values]))


def win_rate(speedups: Sequence[float], judged: int) -> float:
    """Return the share of ``judged`` workloads whose speedup is above 1.

    ``speedups`` holds one value per passed workload, so a workload that failed counts as lost. ValueError when
    nothing was judged or there are more speedups than judged workloads.
    """
    if judged <= 0:
        raise ValueError("the win rate over no workloads is not defined")
    if len(speedups) > judged:
        raise ValueError("there cannot be more speedups than judged workloads")
    return sum(speedup > 1.0 for speedup in speedups) / judged
