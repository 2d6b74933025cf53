"""Requests that leave no room for a trick bear witness against those that do.

A latency is taken from many like requests. Two other kinds are made at secret places among them: some give a
candidate no time between its wake and "go" to work ahead, some make a single call where others make many that could
be done together. Whoever cheats is slow in one of these kinds. He can make witnesses slower, but not faster, so the
fastest of several is what counts, and noise acquits nobody.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

MIN_WITNESSES = 8
_FACTOR = 1.5


def contradicts(
    witnesses_ns: Sequence[float], ordinary_ns: Sequence[float], slack_ns: float, factor: float = _FACTOR
) -> bool:
    """Return whether even the fastest witness is clearly slower than the ordinary requests.

    Parameters
    ----------
    witnesses_ns
        Net nanoseconds of the witnesses; fewer than ``MIN_WITNESSES`` say nothing.
    ordinary_ns
        Net nanoseconds of what they bear witness about, in the same unit (per request, or per call).
    slack_ns
        By how much an honest witness may differ because of how it is made, e.g. the jitter of a wake.
    factor
        How many times as slow it may be beside that, because caches are colder.
    """
    if len(witnesses_ns) < MIN_WITNESSES or not ordinary_ns:
        return False
    return min(witnesses_ns) > factor * max(statistics.median(ordinary_ns), 0.0) + slack_ns


def excess(seen_ns: Sequence[float], usual_ns: Sequence[float], slack_ns: float = 0.0) -> float:
    """Return by how much the median of ``seen_ns`` is beyond the spread of ``usual_ns`` and the slack; at least 0.

    The result does not fall when a value of ``seen_ns`` grows.
    """
    if not seen_ns or len(usual_ns) < 2:
        return 0.0
    usual = sorted(usual_ns)
    high = usual[min(len(usual) - 1, int(0.9 * len(usual)))]
    return max(0.0, statistics.median(seen_ns) - high - slack_ns)
