"""What a request costs when the solution does nothing: measured, per session, with a candidate of the same kind."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from pytest_fib.judge.bench import Bench, Request, Tally
from pytest_fib.judge.candidate import Candidate

_REQUESTS = 32
_DISCARDED = 6

NOOP_SOURCE = "def run(*arguments):\n    pass\n"


@dataclass(frozen=True)
class Handover:
    """Nanoseconds of requests without work.

    Attributes
    ----------
    ordinary, early
        Medians of ordinary requests and of those whose "go" comes before the wake.
    early_spread
        By how much the fastest early request is below their median.
    leads
        From the wake to "go", of each ordinary request.
    """

    ordinary: float = 0.0
    early: float = 0.0
    early_spread: float = 0.0
    leads: tuple[int, ...] = ()


@dataclass
class Handovers:
    """The hand-over by number of calls and size of the outputs, measured when first needed.

    The size matters because sampled positions of large outputs miss the cache.
    """

    known: dict[tuple[int, int], Handover] = field(default_factory=dict)

    def measure(
        self, bench: Bench, calls: int, noop: Callable[[], AbstractContextManager[Candidate]]
    ) -> Handover:
        """Return the hand-over of a request of ``calls`` calls.

        ``noop`` starts a candidate that does nothing, attached to the arena of ``bench``. Nothing else of a
        solution may run meanwhile: who could slow this down would be faster by the difference.
        """
        key = (calls, bench.arena.plan.outputs.stride.bit_length())
        if key not in self.known:
            apart = replace(bench, tally=Tally())
            with noop() as candidate:
                ordinary, early = (
                    apart.run(candidate, [Request(calls, early)] * _REQUESTS, verify=0)[_DISCARDED:]
                    for early in (False, True)
                )
            late = [interval.elapsed for interval in early]
            self.known[key] = Handover(
                ordinary=statistics.median(interval.elapsed for interval in ordinary),
                early=statistics.median(late),
                early_spread=statistics.median(late) - min(late),
                leads=tuple(interval.lead for interval in ordinary),
            )
        return self.known[key]
