"""Axes: from values to a share of the axis, linear or logarithmic, with round numbers as ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_LEAST_SPAN = 1e-300  # below it floats are too coarse to be divided


@dataclass(frozen=True)
class Scale:
    """An axis from ``low`` to ``high``, with ``low < high``; both are positive if it is logarithmic."""

    low: float
    high: float
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Return where a value lies, 0 at ``low`` and 1 at ``high``; what is outside lies at the end."""
        low, high = self._of(self.low), self._of(self.high)
        if self.logarithmic and value <= 0:
            return 0.0
        return min(1.0, max(0.0, (self._of(value) - low) / (high - low)))

    def ticks(self, most: int = 6) -> list[float]:
        """Return round values on the axis, at most ``most``, ascending."""
        found = _powers(self.low, self.high, most) if self.logarithmic else []
        return found if len(found) > 1 else _multiples(self.low, self.high, most)

    def _of(self, value: float) -> float:
        return math.log(value) if self.logarithmic else value


def logarithmic(values: Iterable[float], pad: float = 0.06) -> Scale:
    """Return a logarithmic axis that shows positive values with some room, and never less than a factor of 1.2."""
    known = list(values)
    low, high = math.log(min(known)), math.log(max(known))
    room = max((high - low) * pad, (math.log(1.2) - (high - low)) / 2)
    return Scale(math.exp(low - room), math.exp(high + room), logarithmic=True)


def linear(low: float, high: float) -> Scale:
    """Return a linear axis; where both ends are the same it is a little longer to either side."""
    least = max(_LEAST_SPAN, 1e-9 * max(abs(low), abs(high)))
    room = 0.0 if high - low > least else max(abs(low) * 0.05, 0.5)
    return Scale(low - room, high + room)


def _powers(low: float, high: float, most: int) -> list[float]:
    """1, 2 and 5 times powers of ten; if these are too many, 1 alone, and then only each second power and so on."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    everything = [step * 10.0**power for power in range(first, last + 1) for step in (1, 2, 5)]
    found = [value for value in everything if low <= value <= high]
    if len(found) <= most:
        return found
    powers = [power for power in range(first, last + 1) if low <= 10.0**power <= high]
    stride = max(1, math.ceil(len(powers) / most))
    return [10.0**power for power in powers if power % stride == 0]


def _multiples(low: float, high: float, most: int) -> list[float]:
    found: list[float] = []
    parts = most
    while not found:  # the round step may be longer than the axis
        step = _round_step((high - low) / parts)
        first = math.ceil(low / step)
        found = [index * step for index in range(first, first + parts + 1) if low <= index * step <= high]
        parts *= 2
    return found[:most]


def _round_step(least: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is not below ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))
