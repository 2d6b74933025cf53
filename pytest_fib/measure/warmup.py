"""Where a series of samples becomes stationary, and which of them are outliers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

MIN_SAMPLES = 10  # fewer show no trend
_OUTLIER = 10 * 1.4826  # robust standard deviations, as multiples of the median absolute deviation
_CLIP = 0.4  # of the distance at which outliers begin
_DIFFERENT = 3.0  # standard errors


def mser_cut(samples: Sequence[float]) -> int:
    """Return how many samples at the beginning belong to the warm-up.

    The cut d is where the squared standard error of what follows, the sum of squares of (x_i - mean) for i > d over
    (n - d)^2, is smallest (MSER; White, "An effective truncation heuristic for bias reduction in simulation output",
    Simulation 69, 1997). Single outliers would pull the cut behind them, so values are first clipped to within four
    robust standard deviations of what the series settles at. A result above half of the samples means that they
    are not stationary.

    In samples that are, the rule now and then takes a few calm ones at the end for all that count. So a cut behind
    the middle holds only if what is before it differs from what is behind it by three standard errors; else the best
    cut up to the middle is taken.
    """
    count = len(samples)
    if count < MIN_SAMPLES:
        return 0
    clipped = _clipped(samples)
    # The rule finds calm by chance in a handful of samples; a third of them is enough to go by.
    errors = [_squared_error(clipped[start:]) for start in range(count - count // 3 + 1)]
    cut = errors.index(min(errors))
    middle = count // 2
    if cut > middle and not _differ(clipped[:cut], clipped[cut:]):
        cut = errors.index(min(errors[: middle + 1]))
    return cut


def _squared_error(samples: Sequence[float]) -> float:
    mean = statistics.fmean(samples)
    return sum((value - mean) ** 2 for value in samples) / len(samples) ** 2


def _differ(one: Sequence[float], other: Sequence[float]) -> bool:
    squared = sum(statistics.variance(samples) / len(samples) for samples in (one, other))
    return abs(statistics.fmean(one) - statistics.fmean(other)) > _DIFFERENT * math.sqrt(squared)


def outliers(samples: Sequence[float]) -> int:
    """Return how many samples are more than ten robust standard deviations away from the median."""
    centre, reach = _reach(samples)
    return sum(abs(value - centre) > reach for value in samples)


def _clipped(samples: Sequence[float]) -> list[float]:
    # What comes last is what the kernel settles at; an outlier is one beside that.
    centre, reach = _reach(samples[len(samples) // 2 :])
    near = reach * _CLIP
    return [min(max(value, centre - near), centre + near) for value in samples]


def _reach(samples: Sequence[float]) -> tuple[float, float]:
    centre = statistics.median(samples)
    return centre, _OUTLIER * statistics.median([abs(value - centre) for value in samples])
