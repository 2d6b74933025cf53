"""How many calls of which kind behind a gate: pure arithmetic, no clock, no device."""

from __future__ import annotations

import math

from pytest_fib.judge.config import Sampling
from pytest_fib.judge.schedule import MIN_VERIFIED, Schedule
from pytest_fib.measure.witness import MIN_WITNESSES

MOST_CALLS = 256
REQUEST_NS = 100_000.0  # so long that what a hand-over varies by, 1 µs, is a percent at most
_FEWEST = 3  # requests of several calls in one trial, which are means already
_OVERHEAD_NS = 1.5e6  # of the judge, per request
_LONG_NS = 5e6
_VERIFY_S = 0.03
_COMPARE_NS, _COMPARE_NS_PER_BYTE = 1e5, 0.03  # per verified call, beside the reference


def calls_per_request(call_ns: float, sets: int, request_ns: float = REQUEST_NS) -> int:
    """Return how many calls of ``call_ns`` make a request of ``request_ns``: a power of two, within ``sets``."""
    calls = 1
    while calls * call_ns < request_ns and calls * 2 <= min(sets, MOST_CALLS):
        calls *= 2
    return calls


def gated_schedule(
    sampling: Sampling, calls: int, call_ns: float, reference_ns: float, varied: bool, output_bytes: int = 0
) -> Schedule:
    """Decide the requests of each trial, of ``calls`` calls each; see ``judge.schedule.plan_schedule``.

    ``output_bytes`` are those of one call, which are compared where it is verified.
    """
    trials = sampling.trials
    floor = math.ceil(MIN_VERIFIED / trials)
    least = math.ceil((4 * floor + 4) / 3) if varied else floor
    wanted = math.ceil(sampling.iterations / calls)
    iterations = max(wanted, _FEWEST) if calls > 1 else wanted
    warmups = math.ceil(sampling.warmup_runs / calls)
    if sampling.budget_s is not None:
        affordable = int(sampling.budget_s * 1e9 / (trials * (calls * call_ns + _OVERHEAD_NS)))
        iterations = min(iterations, affordable * 3 // 4)
        warmups = max(1, min(warmups, affordable // 4)) if warmups else 0
    iterations = max(iterations, math.ceil(least / calls), 1)
    witnesses = math.ceil(MIN_WITNESSES / trials)
    early = witnesses if calls * call_ns < _LONG_NS else 0
    single = witnesses if calls > 1 else 0
    timed = (warmups + iterations + early) * calls + single
    verifiable = int(
        _VERIFY_S * 1e9 / (trials * (reference_ns + _COMPARE_NS + output_bytes * _COMPARE_NS_PER_BYTE))
    )
    verified = None if verifiable >= timed else max(floor, verifiable)
    return Schedule(calls, warmups, iterations, early, single, verified)
