from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.judge.bench import Request
from pytest_fib.judge.requests import PLACES, plan_requests
from pytest_fib.judge.schedule import Schedule

counts = st.integers(0, 20)
schedules = st.builds(
    Schedule,
    calls_per_request=st.sampled_from([2, 4, 8, 16]),
    warmups=counts,
    iterations=counts,
    early=counts,
    single=counts,
    verified=st.none(),
)


@given(schedules, st.integers(16, 40), st.integers(0, 1 << 32))
def test_all_requests_are_there_and_fit_into_the_arena(schedule: Schedule, sets: int, seed: int) -> None:
    requests = plan_requests(schedule, sets, np.random.default_rng(seed))
    ordinary = Request(schedule.calls_per_request)
    assert requests[: schedule.warmups] == [ordinary] * schedule.warmups
    kinds = Counter((request.calls, request.early) for request in requests[schedule.warmups :])
    assert kinds[ordinary.calls, False] == schedule.iterations
    assert kinds[ordinary.calls, True] == schedule.early
    assert kinds[1, False] == schedule.single
    assert all(request.sets.start >= 0 and request.sets.stop <= sets for request in requests)


def test_witnesses_come_anywhere_behind_the_warm_up() -> None:
    schedule = Schedule(4, warmups=3, iterations=4, early=1, single=1, verified=None)
    seen = [plan_requests(schedule, 20, np.random.default_rng(seed)) for seed in range(200)]
    for witness in (Request(4, early=True), Request()):
        assert {requests.index(witness) for requests in seen} == set(range(3, 9))


def test_warm_ups_use_every_place_and_the_others_mostly_the_first() -> None:
    schedule = Schedule(4, warmups=8, iterations=1000, early=0, single=0, verified=None)
    firsts = [request.first for request in plan_requests(schedule, 20, np.random.default_rng(1))]
    assert firsts[:8] == [*range(PLACES)] * 2
    assert set(firsts[8:]) == set(range(PLACES))
    assert 0.8 < firsts[8:].count(0) / 1000 < 0.97
