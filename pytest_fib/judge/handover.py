"""What a request costs when the solution does nothing: measured, per session, with a candidate of the same kind.

A kernel leaves the caches full of its own data, and the next request finds the interpreter's gone. So between the
requests that are measured there are others, at which the candidate that does nothing writes as much memory.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from pytest_fib.inputs.repeating import Repeating
from pytest_fib.judge.bench import Bench, Request, Tally
from pytest_fib.judge.candidate import Candidate, Interval

_REQUESTS, _FEWEST_REQUESTS = 24, 6
_EQUAL_CALLS = 1 << 20
_DISCARDED = 5  # of so many requests the first
_MOST_BYTES = 64 << 20
_ALL_BYTES = 64 << 20  # of all requests together: where one takes long, some microseconds do not matter

_NOOP = """
def run(*arguments):
    pass
"""
# The first call of all shows the set of buffers at which memory is written. What is measured has to be short.
_SOMETIMES_BUSY = """
import torch

memory = torch.zeros({nbytes}, dtype=torch.uint8)
busy = None


def run(*arguments):
    if arguments[-1] is busy:
        memory.add_(1)
    elif busy is None:
        learn(arguments[-1])


def learn(output):
    global busy
    busy = output
"""


def noop_source(nbytes: int = 0) -> str:
    """Return a solution that does nothing, but in calls on the same set as its first writes ``nbytes`` bytes."""
    return _SOMETIMES_BUSY.format(nbytes=nbytes) if nbytes else _NOOP


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
    spread
        By how much slow ordinary requests, the 90th percentile, are above their median.
    """

    ordinary: float = 0.0
    early: float = 0.0
    early_spread: float = 0.0
    leads: tuple[int, ...] = ()
    spread: float = 0.0


@dataclass
class Handovers:
    """The hand-over by number of calls and size of outputs and inputs, measured when first needed.

    The sizes matter because a kernel drives more out of the caches the more memory it touches.
    """

    known: dict[tuple[int, int, int, int, bool], Handover] = field(default_factory=dict)

    def measure(
        self,
        bench: Bench,
        calls: int,
        among: int,
        noop: Callable[[str], AbstractContextManager[Candidate]],
    ) -> Handover:
        """Return the hand-over of a request of ``calls`` calls among others of ``among`` calls.

        ``noop`` starts a candidate of a given source, attached to the arena of ``bench``. Nothing else of a
        solution may run meanwhile: who could slow this down would be faster by the difference.
        """
        plan = bench.arena.plan
        sizes = plan.outputs.stride.bit_length(), plan.inputs.stride.bit_length()
        key = (calls, among, *sizes, bench.gated)
        if key not in self.known:
            # What a candidate of ours is given need not be new.
            apart = replace(bench, tally=Tally(), taken=[], inputs=Repeating(bench.inputs, _EQUAL_CALLS))
            footprint = among * (plan.outputs.stride + plan.inputs.stride)
            count = max(_FEWEST_REQUESTS, min(_REQUESTS, _ALL_BYTES // footprint))
            # Without a set to spare the buffers are so large that some microseconds do not matter. Work on a device
            # leaves this processor's caches alone.
            busy = [Request(first=calls)] if plan.inputs.sets > calls and not plan.cuda else []
            with noop(noop_source(min(footprint, _MOST_BYTES) if busy else 0)) as candidate:
                ordinary, early = (
                    self._idle(apart.run(candidate, [*busy, Request(calls, early)] * count, verify=0), busy)
                    for early in (False, True)
                )
            # How soon a gate is seen to be open varies by some microseconds from process to process: little is
            # subtracted, so that latencies come out rather too long than too short.
            usual = sorted(interval.elapsed for interval in ordinary)
            late = [interval.elapsed for interval in early]
            self.known[key] = Handover(
                ordinary=usual[len(usual) // 10] if bench.gated else statistics.median(usual),
                spread=usual[int(0.9 * len(usual))] - statistics.median(usual),
                early=statistics.median(late),
                early_spread=statistics.median(late) - min(late),
                leads=tuple(interval.lead for interval in ordinary),
            )
        return self.known[key]

    @staticmethod
    def _idle(intervals: Sequence[Interval], busy: Sequence[Request]) -> list[Interval]:
        """Return the intervals that count: those between the busy ones, without the first."""
        idle = intervals[len(busy) :: len(busy) + 1]
        return list(idle[len(idle) // _DISCARDED :])
