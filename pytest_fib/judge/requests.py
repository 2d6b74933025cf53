"""The requests of one trial, in an order, and at places in memory, that no candidate can foresee."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from pytest_fib.judge.bench import Request
from pytest_fib.judge.schedule import Schedule

PLACES = 4  # buffers that a call may find its inputs in
_ELSEWHERE = 0.125  # share of the requests that do not use the first; they and the next find colder caches


def plan_requests(schedule: Schedule, sets: int, random: np.random.Generator) -> list[Request]:
    """Return the requests of one trial: the warm-up, then timed ones with witnesses at secret places among them.

    Parameters
    ----------
    sets
        Buffer sets of the arena.
    random
        Secret randomness.
    """
    ordinary = Request(schedule.calls_per_request)
    timed = [
        *[ordinary] * schedule.iterations,
        *[Request(schedule.calls_per_request, early=True)] * schedule.early,
        *[Request()] * schedule.single,
    ]
    order = random.permutation(len(timed))
    requests = [ordinary] * schedule.warmups + [timed[index] for index in order]
    places = _places(schedule, sets, random)
    return [replace(request, first=next(places)) for request in requests]


def _places(schedule: Schedule, sets: int, random: np.random.Generator) -> Iterator[int]:
    """Yield the first set of every request: all in turn during the warm-up, then mostly 0, at secret times others."""
    places = max(1, min(PLACES, sets - schedule.calls_per_request + 1))
    for index in range(schedule.warmups):
        yield index % places
    while True:
        yield int(random.integers(places)) if random.random() < _ELSEWHERE else 0
