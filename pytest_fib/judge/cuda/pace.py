"""How many calls of a solution make one request behind a gate, found by trying."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from pytest_fib.judge.bench import Bench, Gate, Request
from pytest_fib.judge.candidate import Candidate, CannotGate, Interval
from pytest_fib.judge.cuda.schedule import REQUEST_NS, calls_per_request
from pytest_fib.judge.handover import Handover
from pytest_fib.judge.schedule import PROBES

_TRIED, _SHRINK = (
    16,
    4,
)  # calls of the first request of several; by what they are divided if the queue is full
_TRIES = 2  # of the same number


@dataclass(frozen=True)
class Pace:
    """What was found.

    Attributes
    ----------
    bench
        With the gate.
    calls, call_ns
        How many calls a request is to have, and what one of them takes.
    handover
        Of a request behind a gate.
    """

    bench: Bench
    calls: int
    call_ns: float
    handover: Handover


def pace_of(
    bench: Bench,
    candidate: Candidate,
    probes: list[Interval],
    handover: Callable[[Bench], Handover],
    request_ns: float = REQUEST_NS,
) -> Pace:
    """Return how ``candidate`` is to be called, which made ``probes`` without a gate; the requests are warm-up.

    Requests are to take ``request_ns``, as far as there are buffers and the device's queue has room.

    A call alone says too little about a short one: the hand-over varies by as much as it takes.

    Raises
    ------
    CannotGate
        If it waits for results before it has enqueued everything.
    """
    call_s = 2e-9 * max(probe.elapsed for probe in probes[1:])
    gated = replace(bench, gate=Gate(call_s))
    idle = handover(gated)  # a device's work does not begin later for more of it
    alone = [gated.run(candidate, [Request()])[0] for _ in range(PROBES)]
    call_ns = max(1.0, min(interval.elapsed for interval in alone) - idle.ordinary)
    sets = bench.arena.plan.inputs.sets
    calls = calls_per_request(call_ns, min(sets, _TRIED), request_ns)
    if calls > 1:
        tried, elapsed = _fitting(gated, candidate, calls)
        call_ns = max(1.0, elapsed - idle.ordinary) / tried
        calls = tried
        wanted = calls_per_request(call_ns, sets, request_ns)
        if tried == min(sets, _TRIED) and wanted > tried:
            calls, _ = _fitting(gated, candidate, wanted)
    return Pace(gated, calls, call_ns, idle)


def _fitting(bench: Bench, candidate: Candidate, calls: int, tries: int = _TRIES) -> tuple[int, int]:
    """Return how many calls, at most ``calls``, can be enqueued, and the nanoseconds of such a request.

    One failure may be a process that was late, and not a queue that is full.
    """
    try:
        return calls, bench.run(candidate, [Request(calls)], verify=0, verify_later=True)[0].elapsed
    except CannotGate:
        if not candidate.alive or (calls == 1 and tries == 1):
            raise
    if tries > 1:
        return _fitting(bench, candidate, calls, tries - 1)
    return _fitting(bench, candidate, max(1, calls // _SHRINK))
