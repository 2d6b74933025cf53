"""What is arithmetic about requests behind a gate: how many calls, what lies between them, whose word counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.candidate.cupti import per_call
from pytest_fib.judge.config import Sampling
from pytest_fib.judge.cuda.boundary import Boundary
from pytest_fib.judge.cuda.schedule import MOST_CALLS, calls_per_request, gated_schedule
from pytest_fib.judge.schedule import MIN_VERIFIED
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


def test_activities_are_divided_among_calls_behind_the_gate() -> None:
    gate, first, second = (0, 50), [(60, 70), (72, 80)], [(90, 99), (95, 110)]
    assert per_call([*second, gate, *first], 2) == 20_000
    assert per_call([gate, *first, second[0]], 2) == 0
    assert per_call([gate], 2) == 0
    assert per_call([], 2) == 0
