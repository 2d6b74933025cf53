"""How sure a latency is: an interval from the medians of independent trials."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

MIN_TRIALS = 5
_BOUNDLESS = 50.0  # logarithms: either end would be a number that no latency can be


def student_t_quantile(probability: float, degrees: float) -> float:
    """Return the ``probability`` quantile of Student's t distribution with ``degrees`` degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


def log_t_interval(
    medians: Sequence[float], confidence: float = 0.95, clock: float = 0.0
) -> tuple[float, float] | None:
    """Return the t interval on the logarithms of ``medians``, in their own unit.

    ``clock`` is by how much the clock itself may be wrong, in the same unit: trials that share a calibration cannot
    show that. Both are added as independent errors are, by their squares.

    Trials are fresh processes, so their medians are independent, and latencies vary by factors, so their logarithms
    are the better match for a t interval. None below five trials: an interval from fewer promises too much; and None
    where the clock is wrong by so many times a latency that no factor bounds it.

    Source: Kalibera & Jones, "Rigorous benchmarking in reasonable time", ISMM 2013 (repetition at the level that
    varies).
    """
    if len(medians) < MIN_TRIALS or min(medians) <= 0:
        return None
    logs = [math.log(value) for value in medians]
    half = (
        student_t_quantile(0.5 + confidence / 2, len(logs) - 1)
        * statistics.stdev(logs)
        / math.sqrt(len(logs))
    )
    centre = statistics.fmean(logs)
    half = math.hypot(half, clock / math.exp(centre))
    if half > _BOUNDLESS:
        return None
    return math.exp(centre - half), math.exp(centre + half)
