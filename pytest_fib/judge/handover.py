"""What a request costs when the solution does nothing: measured, per session, with a candidate of the same kind."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pytest_fib.judge.bench import Bench, Tally
from pytest_fib.judge.candidate import Candidate

_REQUESTS = 40
_DISCARDED = 8

NOOP_SOURCE = "def run(*arguments):\n    pass\n"


@dataclass
class Handover:
    """Median nanoseconds of a request without work, by number of calls and size of the outputs.

    The size matters because sampled positions of large outputs miss the cache.
    """

    known: dict[tuple[int, int], float] = field(default_factory=dict)

    def measure(self, bench: Bench, calls: int, noop: Callable[[], Candidate]) -> float:
        """Return the hand-over of a request of ``calls`` calls, in nanoseconds.

        ``noop`` starts a candidate that does nothing, attached to the arena of ``bench``.
        """
        key = (calls, bench.arena.plan.outputs.stride.bit_length())
        if key not in self.known:
            apart = replace(bench, tally=Tally())
            candidate = noop()
            try:
                elapsed = apart.run(candidate, [calls] * _REQUESTS, verify=0)
            finally:
                candidate.kill()
            self.known[key] = statistics.median(elapsed[_DISCARDED:])
        return self.known[key]
