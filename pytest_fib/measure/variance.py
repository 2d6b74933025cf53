"""Where scatter comes from: within groups, or between them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def components(groups: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return the variances within and between ``groups``, by one-way analysis of variance.

    A value is a mean, plus a part that its whole group shares (of the second variance), plus a part of its own (of
    the first). The second is estimated by what the means of the groups scatter beyond what the first explains, and is
    0 where that is nothing. Groups may differ in size.

    Source: Searle, Casella & McCulloch, "Variance Components", 1992, chapter 3.

    Raises
    ------
    ValueError
        If there are fewer than two groups, an empty one, or no group with two values.
    """
    sizes = [len(group) for group in groups]
    total, freedom = sum(sizes), sum(sizes) - len(groups)
    if len(groups) < 2 or min(sizes) < 1 or freedom < 1:
        raise ValueError("two groups are needed, each with a value and one with two")
    means = [statistics.fmean(group) for group in groups]
    centre = math.fsum(size * mean for size, mean in zip(sizes, means, strict=True)) / total
    inside = math.fsum(
        (value - mean) ** 2 for group, mean in zip(groups, means, strict=True) for value in group
    )
    outside = math.fsum(size * (mean - centre) ** 2 for size, mean in zip(sizes, means, strict=True))
    within = inside / freedom
    each = (total - sum(size * size for size in sizes) / total) / (len(groups) - 1)
    return within, max(0.0, (outside / (len(groups) - 1) - within) / each)
