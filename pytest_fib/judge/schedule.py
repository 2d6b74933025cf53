"""How many calls of which kind, from what the first calls cost: pure arithmetic, no clock, no process."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pytest_fib.judge.config import Sampling
from pytest_fib.measure.witness import MIN_WITNESSES

MIN_VERIFIED = 20
PROBES = 3  # single calls that show the cost; part of the warm-up
MAX_CALLS_PER_REQUEST = 16
SHORT_NS = 40_000.0
_MIN_REQUESTS = 10  # of several calls each, in one trial
# Requests of one call, in all trials, where an interpreter makes the calls: most of them are slow, but not all.
_SINGLES = 40
_WITNESS_SHARE = 0.05  # the fastest of them is heard, so many more would say less
_LONG_NS = 5_000_000
_INTERPRETED_S = 0.5  # of the budget for calls: how long an interpreter takes says little about a kernel
_VERIFY_BUDGET_S = 10.0  # where the counts are given exactly


@dataclass(frozen=True)
class Schedule:
    """The calls of every trial: ``warmups`` and ``iterations`` requests of ``calls_per_request`` calls.

    At secret places among the iterations are ``early`` further requests, whose "go" comes before the wake, and
    ``single`` ones of one call.
    ``verified`` is how many calls of one trial, of those with normal inputs, are compared with the reference; None
    for all.
    """

    calls_per_request: int
    warmups: int
    iterations: int
    early: int
    single: int
    verified: int | None


def plan_schedule(
    sampling: Sampling,
    call_ns: float,
    reference_ns: float,
    sets: int,
    varied: bool = False,
    interpreted: bool = False,
    compiled: bool = False,
) -> Schedule:
    """Decide the calls of each trial.

    Parameters
    ----------
    sampling
        Counts and budget; counts are upper bounds where there is a budget.
    call_ns, reference_ns
        What one call and one run of the reference cost, in nanoseconds.
    sets
        How many buffer sets there are, that is, the most calls of one request.
    varied
        Whether some calls have other inputs than normal ones; they do not count among the twenty.
    interpreted
        Whether calls are an interpreter's, of which no more are made than it takes to judge, if there is a budget.
    compiled
        Whether compiled code makes the calls, so that a call alone takes hardly longer than one of many.
    """
    per_request = 1
    if call_ns < SHORT_NS:
        wanted = math.ceil(SHORT_NS / max(call_ns, 1.0))
        # Powers of two: few different numbers of calls need few measurements of the hand-over.
        per_request = _power_of_two_within(min(sets, MAX_CALLS_PER_REQUEST), wanted)
    floor = math.ceil(MIN_VERIFIED / sampling.trials)
    # Of any run of calls at most every fourth and one more has other inputs.
    least = math.ceil((4 * floor + 4) / 3) if varied else floor
    iterations, warmups = sampling.iterations, sampling.warmup_runs
    if sampling.budget_s is not None:
        if per_request > 1:
            # A request is already a mean over its calls; what is verified and paid for are calls.
            iterations = min(iterations, max(_MIN_REQUESTS, math.ceil(iterations / per_request)))
            warmups = math.ceil(warmups / per_request)
        timed_s = min(sampling.budget_s, _INTERPRETED_S) if interpreted else sampling.budget_s
        affordable = int(timed_s * 1e9 / (max(call_ns, 1.0) * per_request * sampling.trials))
        iterations = max(math.ceil(least / per_request), min(iterations, affordable * 3 // 4))
        warmups = max(1, min(warmups, affordable // 4)) if warmups else 0
    # Twenty verified calls are what makes a number believable, whatever was asked for.
    iterations = max(iterations, math.ceil(least / per_request), 1)
    budget = _VERIFY_BUDGET_S if sampling.budget_s is None else sampling.budget_s
    verifiable = int(budget * 1e9 / (max(reference_ns, 1.0) * sampling.trials))
    witnesses = max(math.ceil(iterations * _WITNESS_SHARE), math.ceil(MIN_WITNESSES / sampling.trials))
    # What can be hidden in a wake, or in doing several calls at once, is nothing to a long call.
    early = witnesses if call_ns < _LONG_NS else 0
    if sampling.budget_s is not None:
        iterations = max(iterations - early, math.ceil(least / per_request), 1)
    single = 0
    if per_request > 1:
        single = witnesses if compiled else max(witnesses, math.ceil(_SINGLES / sampling.trials))
    timed = (warmups + iterations + early) * per_request + single
    verified = None if verifiable >= timed else max(floor, verifiable)
    return Schedule(per_request, warmups, iterations, early, single, verified)


def _power_of_two_within(limit: int, wanted: int) -> int:
    """Return the smallest power of two that is at least ``wanted``, or the largest within ``limit``."""
    power = 1
    while power < wanted and power * 2 <= limit:
        power *= 2
    return power
