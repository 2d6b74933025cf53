"""Does a candidate work before it is told to? Two kinds of requests tell: with and without time to do so."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

_SHARE = 0.5  # of the latency: less than this could be a cache that is colder after a wake
_SLACK_MS = 0.005
_SIGMAS = 5.0


def works_ahead(ordinary_ms: Sequence[float], early_ms: Sequence[float]) -> bool:
    """Return whether requests without time to work ahead took clearly longer than ordinary ones.

    Parameters
    ----------
    ordinary_ms
        Net latencies, in milliseconds, of requests whose candidate was awake for a while before "go".
    early_ms
        Net latencies of requests whose candidate found "go" when it woke. A wake varies by microseconds, so these
        are no measurement of a short kernel, only a witness.
    """
    if len(early_ms) < 3 or not ordinary_ms:
        return False
    ordinary, early = statistics.median(ordinary_ms), statistics.median(early_ms)
    noise = math.hypot(_median_error(ordinary_ms), _median_error(early_ms))
    return early - ordinary > _SHARE * ordinary + _SIGMAS * noise + _SLACK_MS


def _median_error(values: Sequence[float]) -> float:
    """Return the standard error of the median, from the median absolute deviation (robust against outliers)."""
    centre = statistics.median(values)
    deviation = 1.4826 * statistics.median([abs(value - centre) for value in values])
    return 1.2533 * deviation / math.sqrt(len(values))
