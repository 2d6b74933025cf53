"""Where a history of latencies steps from one level to another, with a stated rate of false alarms."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

FALSE_ALARMS = 0.01
_SEED = 20  # any: the same history must always show the same steps
_BATCH = 100
_ENOUGH = 10  # shuffles that look like a step as much, as a share of all, are the rate of false alarms
_OUTLIERS = 3  # at either end, that hide no step; a tenth of a short series
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Step:
    """A change of level: ``index`` is the first latency at the new one.

    ``ratio`` is the median of the new level divided by that of the old one, and ``chance`` how likely a split as
    clear is where nothing changed.
    """

    index: int
    ratio: float
    chance: float


def find_steps(latencies: Sequence[float], false_alarms: float = FALSE_ALARMS) -> list[Step]:
    """Return the steps in a series of positive latencies, in order.

    The series is split where the means of the logarithms on both sides differ most for their numbers, if that is
    more than in all but a share ``false_alarms`` of random orders of the same values; then each side likewise. Where
    nothing changes all orders are equally likely, so a series shows any step with at most that probability, whatever
    the distribution of the noise. At one percent it takes six runs on either side to see a step, or four after
    twenty. Drift and other dependence between runs is seen as steps.

    Binary segmentation: Scott & Knott, Biometrics 30, 1974; permutation test with random permutations: Phipson &
    Smyth, Statistical Applications in Genetics and Molecular Biology 9, 2010.

    Raises
    ------
    ValueError
        If a latency is not positive, or the rate not between 0 and 1.
    """
    if latencies and min(latencies) <= 0:
        raise ValueError("latencies are positive")
    if not 0 < false_alarms < 1:
        raise ValueError("the rate of false alarms is between 0 and 1")
    logs = np.log(np.asarray(latencies, dtype=np.float64))
    splits = sorted(_splits(logs, 0, false_alarms))
    bounds = [0, *(index for index, _ in splits), len(latencies)]
    levels = [float(statistics.median(latencies[low:high])) for low, high in pairwise(bounds) if high > low]
    return [
        Step(index, levels[place + 1] / levels[place], chance) for place, (index, chance) in enumerate(splits)
    ]


def _splits(logs: npt.NDArray[Any], offset: int, false_alarms: float) -> list[tuple[int, float]]:
    if len(logs) < 2:
        return []
    values = _clipped(logs)
    values = values - values.mean()
    scores = _scores(values[None, :])[0]
    at = int(scores.argmax()) + 1
    chance = _chance(values, float(scores.max()), false_alarms)
    if chance > false_alarms:
        return []
    left = _splits(logs[:at], offset, false_alarms)
    right = _splits(logs[at:], offset + at, false_alarms)
    return [*left, (offset + at, chance), *right]


def _chance(values: npt.NDArray[Any], score: float, false_alarms: float) -> float:
    """Share of orders of ``values`` that score as much; 1 as soon as it is sure to be above ``false_alarms``."""
    draw = np.random.default_rng(_SEED)
    total = math.ceil(_ENOUGH / false_alarms) - 1
    most = false_alarms * (total + 1) - 1
    alike = made = 0
    while made < total:
        count = min(_BATCH, total - made)
        orders = draw.permuted(np.broadcast_to(values, (count, len(values))), axis=1)
        alike += int((_scores(orders).max(axis=1) >= score * (1 - _ROUNDING)).sum())
        made += count
        if alike > most:
            return 1.0
    return (alike + 1) / (total + 1)


def _scores(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return for each row, whose mean is 0, the sum of squares between the two sides of each split."""
    count = rows.shape[1]
    left = np.arange(1, count)
    sums = np.cumsum(rows, axis=1)[:, :-1]
    scores: npt.NDArray[Any] = sums * sums / (left * (count - left))
    return scores


def _clipped(logs: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Some of the largest and least become like the next: by all values, whatever their order, so rates hold."""
    count = min(_OUTLIERS, len(logs) // 10)
    ends = np.sort(logs)[[count, len(logs) - 1 - count]]
    clipped: npt.NDArray[Any] = np.clip(logs, *ends)
    return clipped
