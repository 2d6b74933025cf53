"""Hearing witnesses once more: a call alone may take longer than one in a row without any trick of the solution's.

A stream that has waited long for another one is looked after late, by up to 0.2 ms, which many calls share.
"""

from __future__ import annotations

from dataclasses import replace

from pytest_fib.judge.bench import Bench, Request
from pytest_fib.judge.candidate import Candidate
from pytest_fib.judge.handover import Asked
from pytest_fib.judge.places import Stand
from pytest_fib.judge.trials import Trial

_HEARINGS, _HEARD = 4, 16  # times, and requests each time


def heard_again(
    stand: Stand,
    bench: Bench,
    candidate: Candidate,
    trials: list[Trial],
    handover_ns: float,
    suspicious_ns: float,
) -> list[Trial]:
    """Return the trials with further requests of one call, where all of them take ``suspicious_ns`` and more.

    Noise only makes them longer, and the fastest is what counts, so more are made behind the gate of ``bench``. If
    none of them is fast either, as many are made without a gate, and count where that takes less.

    Parameters
    ----------
    handover_ns
        Of a request behind the gate.
    """
    singles = [
        interval.elapsed
        for trial in trials
        for request, interval in zip(trial.requests, trial.intervals, strict=True)
        if request == Request()
    ]
    if not singles or min(singles) - handover_ns < suspicious_ns:
        return trials
    last = trials[-1]
    for _ in range(_HEARINGS):
        requests = [Request()] * _HEARD
        more = bench.run(candidate, requests, verify_later=True)
        last = Trial([*last.requests, *requests], [*last.intervals, *more])
        if min(interval.elapsed for interval in more) - handover_ns < suspicious_ns:
            return [*trials[:-1], last]
    free = stand.handover(stand.bench, Asked(1))[0].ordinary
    again = [
        int(max(1.0, interval.elapsed - free) + handover_ns)
        for interval in stand.bench.run(candidate, [Request()] * len(singles), verify_later=True)
    ]
    if min(again) > min(singles):
        return trials
    shares = [sum(request == Request() for request in trial.requests) for trial in trials]
    return [
        _with_singles(trial, [again.pop() for _ in range(share)])
        for trial, share in zip(trials, shares, strict=True)
    ]


def _with_singles(trial: Trial, elapsed: list[int]) -> Trial:
    """Return ``trial`` with other times of its requests of one call."""
    times = iter(elapsed)
    intervals = [
        replace(interval, elapsed=next(times)) if request == Request() else interval
        for request, interval in zip(trial.requests, trial.intervals, strict=True)
    ]
    return Trial(trial.requests, intervals)
