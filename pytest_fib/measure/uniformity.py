"""Whether numbers look uniform: counts in dyadic intervals, each against its binomial distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_LEVELS = 6
_INTERVALS = sum(1 << level for level in range(1, _LEVELS + 1))


@dataclass(frozen=True)
class Unevenness:
    """The interval [``low``, ``high``) whose count is the least likely of all.

    ``chance`` bounds the probability that independent uniform numbers look like this or worse anywhere.
    """

    chance: float
    low: float = 0.0
    high: float = 1.0
    seen: int = 0
    expected: float = 0.0


def unevenness(values: npt.NDArray[Any]) -> Unevenness:
    """Judge whether ``values`` in [0, 1) are independent and uniform.

    Every interval [i/2^j, (i+1)/2^j) of length 1/2 to 1/64 holds a binomially distributed number of them; the
    chance is the smallest two-sided tail times the number of intervals (Bonferroni). So the test holds its level
    exactly, for any number of values: with few it sees little, but it never rejects too often.
    """
    from scipy.special import bdtr, bdtrc  # scipy.stats takes a second to import

    total = len(values)
    worst = Unevenness(1.0)
    if total == 0:
        return worst
    finest = np.bincount(
        np.clip(values * 2**_LEVELS, 0, 2**_LEVELS - 1).astype(np.int64), minlength=2**_LEVELS
    )
    for level in range(1, _LEVELS + 1):
        counts = finest.reshape(1 << level, -1).sum(axis=1)
        width = 0.5**level
        tails = np.minimum(bdtr(counts, total, width), bdtrc(counts - 1, total, width))
        place = int(tails.argmin())
        chance = min(1.0, 2 * _INTERVALS * float(tails[place]))
        if chance < worst.chance:
            worst = Unevenness(chance, place * width, (place + 1) * width, int(counts[place]), total * width)
    return worst
