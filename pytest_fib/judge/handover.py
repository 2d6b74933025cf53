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
    """Nanoseconds of a request without work: of an ordinary one, and of one whose "go" comes before the wake."""

    ordinary: float = 0.0
    early: float = 0.0


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
                medians = [
                    statistics.median(
                        apart.run(candidate, [Request(calls, early)] * _REQUESTS, verify=0)[_DISCARDED:]
                    )
                    for early in (False, True)
                ]
            self.known[key] = Handover(*medians)
        return self.known[key]
