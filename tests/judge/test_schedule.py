from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.judge.config import Sampling
from pytest_fib.judge.schedule import MIN_VERIFIED, plan_schedule
from pytest_fib.measure.witness import MIN_WITNESSES

samplings = st.builds(
    Sampling,
    warmup_runs=st.integers(0, 50),
    iterations=st.integers(1, 100),
    trials=st.integers(1, 10),
    budget_s=st.one_of(st.none(), st.floats(0.01, 100)),
)
costs = st.floats(1.0, 1e12)


@given(samplings, costs, costs, st.integers(1, 64))
def test_at_least_twenty_calls_are_verified_whatever_the_budget(
    sampling: Sampling, call_ns: float, reference_ns: float, sets: int
) -> None:
    schedule = plan_schedule(sampling, call_ns, reference_ns, sets)
    requests = schedule.warmups + schedule.iterations + schedule.early
    timed = requests * schedule.calls_per_request + schedule.single
    verified = timed if schedule.verified is None else schedule.verified
    assert schedule.calls_per_request <= sets
    assert verified <= timed
    assert verified * sampling.trials >= MIN_VERIFIED


@given(samplings, costs, costs, st.integers(1, 64))
def test_twenty_of_them_have_normal_inputs(
    sampling: Sampling, call_ns: float, reference_ns: float, sets: int
) -> None:
    schedule = plan_schedule(sampling, call_ns, reference_ns, sets, varied=True)
    requests = schedule.warmups + schedule.iterations + schedule.early
    timed = requests * schedule.calls_per_request + schedule.single
    others = (timed + 2) // 4 + 1  # at most: the last of a block of four, one of each whole block, a first
    normal = timed - others
    verified = normal if schedule.verified is None else min(normal, schedule.verified)
    assert verified * sampling.trials >= MIN_VERIFIED


def test_counts_without_a_budget_are_exact() -> None:
    schedule = plan_schedule(Sampling(10, 50, 3, budget_s=None), 5e9, 1e3, 8)
    assert (schedule.warmups, schedule.iterations, schedule.calls_per_request) == (10, 50, 1)


def test_a_slow_kernel_is_called_less_often() -> None:
    schedule = plan_schedule(Sampling(10, 30, 5, budget_s=1.0), 100e6, 1e6, 1)
    assert schedule.iterations == 4
    assert schedule.warmups == 1


def test_an_interpreter_is_called_less_often_and_verified_as_before() -> None:
    sampling = Sampling(10, 30, 5, budget_s=3.0)
    compiled, interpreted = (
        plan_schedule(sampling, 20e6, 20e6, 1, interpreted=each) for each in (False, True)
    )
    assert (compiled.warmups, compiled.iterations) == (7, 22)
    assert (interpreted.warmups, interpreted.iterations) == (1, 4)
    assert (compiled.verified, interpreted.verified) == (None, None)
    exact = Sampling(10, 30, 5, budget_s=None)
    assert plan_schedule(exact, 20e6, 1e6, 1, interpreted=True) == plan_schedule(exact, 20e6, 1e6, 1)


@given(samplings, costs, costs)
def test_an_interpreter_is_verified_twenty_times_too(
    sampling: Sampling, call_ns: float, reference_ns: float
) -> None:
    schedule = plan_schedule(sampling, call_ns, reference_ns, 1, interpreted=True)
    timed = schedule.warmups + schedule.iterations + schedule.early
    verified = timed if schedule.verified is None else schedule.verified
    assert verified * sampling.trials >= MIN_VERIFIED


def test_short_calls_share_a_request() -> None:
    assert plan_schedule(Sampling(), 3_000, 1e3, 64).calls_per_request == 16
    assert plan_schedule(Sampling(), 41_000, 1e3, 64).calls_per_request == 1


def test_a_dear_reference_verifies_fewer_calls() -> None:
    schedule = plan_schedule(Sampling(10, 30, 5, budget_s=1.0), 1e5, 1e9, 1)
    assert schedule.verified == MIN_VERIFIED // 5


def test_short_and_shared_requests_have_witnesses() -> None:
    several = plan_schedule(Sampling(), 2_000, 1e3, 64, compiled=True)
    assert several.early * 5 >= MIN_WITNESSES
    assert several.single * 5 >= MIN_WITNESSES
    one = plan_schedule(Sampling(), 100_000, 1e3, 64)
    assert (one.early > 0, one.single) == (True, 0)
    assert plan_schedule(Sampling(), 100e6, 1e3, 64).early == 0


def test_single_calls_of_an_interpreter_are_many_because_most_are_slow() -> None:
    compiled, interpreter = (
        plan_schedule(Sampling(), 2_000, 1e3, 64, compiled=each) for each in (True, False)
    )
    assert interpreter.single * 5 >= 40
    assert compiled.single < interpreter.single
    assert replace(compiled, single=interpreter.single) == interpreter
