"""What is arithmetic about requests behind a gate: how many calls, what lies between them, whose word counts."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.candidate.cupti import per_call
from pytest_fib.judge.bench import Request
from pytest_fib.judge.candidate import Interval
from pytest_fib.judge.config import Sampling
from pytest_fib.judge.cuda.boundary import Boundary
from pytest_fib.judge.cuda.schedule import MOST_CALLS, calls_per_request, gated_schedule
from pytest_fib.judge.cuda.witnesses import heard_again
from pytest_fib.judge.handover import Handover
from pytest_fib.judge.schedule import MIN_VERIFIED
from pytest_fib.judge.trials import Trial
from pytest_fib.measure.witness import MIN_WITNESSES

samplings = st.builds(
    Sampling,
    warmup_runs=st.integers(0, 50),
    iterations=st.integers(1, 100),
    trials=st.integers(1, 10),
    budget_s=st.one_of(st.none(), st.floats(0.01, 100)),
)
costs = st.floats(1.0, 1e12)


@given(costs, st.integers(1, 1000))
def test_a_request_is_long_enough_or_uses_all_buffers(call_ns: float, sets: int) -> None:
    calls = calls_per_request(call_ns, sets)
    assert calls <= min(sets, MOST_CALLS)
    assert calls * call_ns >= 1e5 or calls * 2 > min(sets, MOST_CALLS)


@given(samplings, st.integers(1, MOST_CALLS), costs, costs, st.booleans())
def test_twenty_calls_are_verified_and_eight_bear_witness(
    sampling: Sampling, calls: int, call_ns: float, reference_ns: float, varied: bool
) -> None:
    schedule = gated_schedule(sampling, calls, call_ns, reference_ns, varied)
    timed = (schedule.warmups + schedule.iterations + schedule.early) * calls + schedule.single
    verified = timed if schedule.verified is None else schedule.verified
    assert verified * sampling.trials >= MIN_VERIFIED
    assert verified <= timed
    assert calls == 1 or schedule.single * sampling.trials >= MIN_WITNESSES
    assert schedule.early * sampling.trials >= MIN_WITNESSES or calls * call_ns >= 5e6


def test_counts_that_are_given_are_counts_of_calls() -> None:
    schedule = gated_schedule(Sampling(10, 50, 3, budget_s=None), 16, 5e3, 1e5, False)
    assert (schedule.warmups, schedule.iterations) == (1, 4)


BOUNDARY = Boundary(700.0, 1700.0)


def test_a_claim_counts_within_the_judges_own_uncertainty_only() -> None:
    assert BOUNDARY.between(5000.0, 4000.0) == (1000.0, True)
    assert BOUNDARY.between(5000.0, 1.0) == (1700.0, True)
    assert BOUNDARY.between(5000.0, 9000.0) == (700.0, True)
    assert BOUNDARY.between(5000.0, 0.0) == (700.0, False)


@given(st.floats(1, 1e9), st.floats(0, 1e9), st.floats(1, 1e9))
def test_the_latency_does_not_fall_when_calls_take_longer(
    call_ns: float, claim_ns: float, more: float
) -> None:
    latency, longer = (each - BOUNDARY.between(each, claim_ns)[0] for each in (call_ns, call_ns + more))
    assert 0 < latency <= longer * (1 + 1e-9)


def test_without_kernels_to_go_by_nothing_is_subtracted() -> None:
    assert Boundary.of([]).between(5000.0, 1.0) == (0.0, True)
    assert not Boundary.of([]).matters(5000.0)


@dataclass
class Device:
    """A bench on which a call alone takes 100 µs, but the one of a given number; it counts requests."""

    fast: int
    made: int = 0

    def run(self, candidate: Any, requests: list[Request], verify_later: bool) -> list[Interval]:
        assert verify_later
        numbers = range(self.made, self.made + len(requests))
        self.made += len(requests)
        return [Interval(12_000 if number == self.fast else 100_000) for number in numbers]


def heard(gated: Device, free: Device, singles: int = 50_000) -> list[Trial]:
    stand: Any = SimpleNamespace(bench=free, handover=lambda *_: [Handover(ordinary=30_000.0)] * 2)
    requests = [Request(32)] * 3 + [Request()] * 2
    trials = [Trial(requests, [Interval(90_000)] * 3 + [Interval(singles)] * 2)] * 4
    return heard_again(stand, gated, None, trials, 8_000.0, 5_000.0)  # type: ignore[arg-type]


def fastest(trials: list[Trial]) -> int:
    pairs = (pair for trial in trials for pair in zip(trial.requests, trial.intervals, strict=True))
    return min(interval.elapsed for request, interval in pairs if request == Request())


def test_calls_alone_that_are_fast_are_not_heard_again() -> None:
    gated, free = Device(0), Device(0)
    assert fastest(heard(gated, free, singles=10_000)) == 10_000
    assert gated.made == free.made == 0


@pytest.mark.parametrize("number", [0, 17, 63])
def test_one_fast_call_alone_among_many_acquits(number: int) -> None:
    gated, free = Device(number), Device(0)
    assert fastest(heard(gated, free)) == 12_000
    assert gated.made == 16 * (number // 16 + 1)
    assert free.made == 0


def test_what_is_slow_every_time_is_slow() -> None:
    gated, free = Device(-1), Device(-1)
    assert fastest(heard(gated, free)) == 50_000
    assert (gated.made, free.made) == (64, 8)


def test_without_a_gate_a_call_alone_may_be_faster() -> None:
    trials = heard(Device(-1), Device(7))  # never below the hand-over
    assert fastest(trials) == 8_001
    assert [len(trial.requests) for trial in trials] == [5] * 4


def test_activities_are_divided_among_calls_behind_the_gate() -> None:
    gate, first, second = (0, 50), [(60, 70), (72, 80)], [(90, 99), (95, 110)]
    assert per_call([*second, gate, *first], 2) == 20_000
    assert per_call([gate, *first, second[0]], 2) == 0
    assert per_call([gate], 2) == 0
    assert per_call([], 2) == 0
