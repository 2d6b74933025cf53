"""What a request costs when the solution does nothing: measured, per session, with a candidate of the same kind.

A kernel leaves the caches full of its own data, and the next call finds the interpreter's gone. So between the
requests that are measured there are others, at which the candidate that does nothing writes as much memory; and where
a request has several calls, a further candidate of ours writes in each, and tells how long: the rest of its
time, against that of the same candidate when it writes nothing, is what cold calls cost.
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
_COLD_BYTES = 16 << 10  # a call that touches less leaves a first-level cache to the next

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
# Requests in which every call writes take turns with idle ones. What was measured is told while the clock of the
# candidate runs, so that it is part of what the request is known to have worked. Calls into a library go a longer
# way, over more memory, than calls of a Python function: tvm_ffi has a function that does nothing.
_TAKES_TURNS = """
import time
import torch

CALLS, TURNS, THROUGH_FFI = {calls}, {turns}, {through_ffi}
nop, ready = None, dict()
if THROUGH_FFI:
    import tvm_ffi.testing

    nop = tvm_ffi.get_global_func("testing.nop", allow_missing=True)
clock = time.perf_counter_ns
memory = torch.zeros(CALLS, {nbytes}, dtype=torch.uint8)
times = []
number = 0


def run(*arguments):
    global number
    times.append(clock())
    place = number % CALLS
    if place == 0 and len(times) > 1:
        print(sum(times[1:-1:2]) - sum(times[:-1:2]), flush=True)
        del times[:-1]
    if number // CALLS % TURNS:
        memory[place].add_(1)
    if nop is not None and place not in ready:
        tensors = [argument for argument in arguments if isinstance(argument, torch.Tensor)]
        ready[place] = list(map(tvm_ffi.from_dlpack, tensors))
    number += 1
    times.append(clock())
    if nop is not None:
        nop(*ready[place])
"""
_TURNS = 2


def noop_source(nbytes: int = 0) -> str:
    """Return a solution that does nothing, but in calls on the same set as its first writes ``nbytes`` bytes."""
    return _SOMETIMES_BUSY.format(nbytes=nbytes) if nbytes else _NOOP


def bench_of_ours(bench: Bench) -> Bench:
    """Return a bench for candidates of the judge's own: nothing is counted, and inputs need not be new."""
    inputs = Repeating(bench.inputs, _EQUAL_CALLS)
    return replace(bench, tally=Tally(), taken=[], samples=None, inputs=inputs)


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


Noop = Callable[[str], AbstractContextManager[Candidate]]


@dataclass(frozen=True)
class _Key:
    """What a hand-over depends on; ``size`` is the power of two of the bytes of one call, of inputs and outputs."""

    calls: int
    among: int
    size: int
    gated: bool
    through_ffi: bool


@dataclass
class Handovers:
    """The hand-over by number of calls and size of outputs and inputs, measured when first needed.

    The size matters because a kernel drives more out of the caches the more memory it touches.
    """

    known: dict[_Key, Handover] = field(default_factory=dict)

    def roughly(self, bench: Bench, noop: Noop) -> Handover:
        """Return the hand-over of a request of one call, of whatever size: that of some other, if one is known."""
        gated = bench.gate is not None
        known = (found for key, found in self.known.items() if key.calls == 1 and key.gated == gated)
        return next(known, None) or self.measure(bench, 1, 1, noop)

    def measure(
        self, bench: Bench, calls: int, among: int, noop: Noop, through_ffi: bool = False
    ) -> Handover:
        """Return the hand-over of a request of ``calls`` calls among others of ``among`` calls.

        ``through_ffi`` says that the calls to be judged go through ``tvm_ffi``.
        ``noop`` starts a candidate of a given source, attached to the arena of ``bench``. Nothing else of a
        solution may run meanwhile: who could slow this down would be faster by the difference.
        """
        plan = bench.arena.plan
        # Work on a device leaves this processor's caches alone.
        size = 0 if plan.cuda else (plan.outputs.stride + plan.inputs.stride).bit_length()
        key = _Key(calls, among, size, bench.gate is not None, through_ffi and calls > 1)
        if key not in self.known:
            # Who asks for several calls is going to ask for one among them, which the same candidate shows.
            wanted = sorted({calls, 1}) if calls == among else [calls]
            for each, found in zip(wanted, _measured(bench, wanted, among, noop, through_ffi), strict=True):
                self.known[replace(key, calls=each, through_ffi=through_ffi and each > 1)] = found
        return self.known[key]


def _measured(
    bench: Bench, wanted: Sequence[int], among: int, noop: Noop, through_ffi: bool
) -> list[Handover]:
    """Return the hand-over of requests of so many calls, for each of ``wanted``."""
    plan = bench.arena.plan
    apart = bench_of_ours(bench)
    footprint = among * (plan.outputs.stride + plan.inputs.stride)
    count = max(_FEWEST_REQUESTS, min(_REQUESTS, _ALL_BYTES // footprint))
    most = max(wanted)
    # Without a set to spare the buffers are so large that some microseconds do not matter.
    busy = [Request(first=most)] if plan.inputs.sets > most and not plan.cuda else []
    with noop(noop_source(min(footprint, _MOST_BYTES) if busy else 0)) as candidate:
        idle = [
            (
                _idle(apart.run(candidate, [*busy, Request(calls)] * count, verify=0), busy),
                _idle(apart.run(candidate, [*busy, Request(calls, early=True)] * count, verify=0), busy),
            )
            for calls in wanted
        ]
    cold = 0.0
    if busy and most > 1 and footprint // among >= _COLD_BYTES:
        source = _TAKES_TURNS.format(
            calls=most, turns=_TURNS, nbytes=footprint // most, through_ffi=through_ffi
        )
        with noop(source) as candidate:
            cold = _cold_calls(apart, candidate, most, count)
    return [
        _handover(ordinary, early, cold if calls > 1 else 0.0, bench.gate is not None)
        for calls, (ordinary, early) in zip(wanted, idle, strict=True)
    ]


def _handover(ordinary: Sequence[Interval], early: Sequence[Interval], cold: float, gated: bool) -> Handover:
    usual = sorted(interval.elapsed + cold for interval in ordinary)
    late = [interval.elapsed + cold for interval in early]
    return Handover(
        ordinary=statistics.median(usual),
        # Behind a gate nobody waits for an interpreter, so a late request is the machine's doing, not usual.
        spread=usual[int((0.75 if gated else 0.9) * len(usual))] - statistics.median(usual),
        early=statistics.median(late),
        early_spread=statistics.median(late) - min(late),
        leads=tuple(interval.lead for interval in ordinary),
    )


def _idle(intervals: Sequence[Interval], busy: Sequence[Request]) -> list[Interval]:
    """Return the intervals that count: those between the busy ones, without the first."""
    idle = intervals[len(busy) :: len(busy) + 1]
    return list(idle[len(idle) // _DISCARDED :])


def _cold_calls(bench: Bench, candidate: Candidate, calls: int, count: int) -> float:
    """Return by how many nanoseconds a request of ``calls`` calls takes longer if each finds cold caches.

    ``candidate`` takes turns. Medians differ by less than the turns that make them, hence never below zero.
    """
    intervals = bench.run(candidate, [Request(calls)] * (count * _TURNS + 1), verify=0)
    candidate.output.drain()
    worked = [int(line) for line in candidate.output.text().split()]
    rest = [interval.elapsed - inside for interval, inside in zip(intervals, worked, strict=False)]
    first = len(rest) // _DISCARDED // _TURNS * _TURNS
    idle, busy = (statistics.median(rest[first + turn :: _TURNS]) for turn in range(_TURNS))
    return max(0.0, busy - idle)
