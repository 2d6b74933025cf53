from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.measure.interval import log_t_interval, student_t_quantile


def test_quantiles_are_those_of_the_tables() -> None:
    assert student_t_quantile(0.975, 4) == pytest.approx(2.776, abs=1e-3)
    assert student_t_quantile(0.95, 6) == pytest.approx(1.943, abs=1e-3)


def test_fewer_than_five_trials_promise_nothing() -> None:
    assert log_t_interval([1.0, 1.1, 0.9, 1.0]) is None


@given(st.lists(st.floats(1e-6, 1e6), min_size=5, max_size=20), st.floats(0.01, 100))
def test_the_interval_holds_the_geometric_mean_and_scales(medians: list[float], factor: float) -> None:
    low, high = log_t_interval(medians) or (math.nan, math.nan)
    centre = math.exp(sum(map(math.log, medians)) / len(medians))
    assert low <= centre * (1 + 1e-9)
    assert centre <= high * (1 + 1e-9)
    scaled = log_t_interval([value * factor for value in medians])
    assert scaled == pytest.approx((low * factor, high * factor), rel=1e-6)


def test_the_interval_covers_as_often_as_it_says() -> None:
    draw = random.Random(20)
    covered = 0
    for _ in range(1000):
        medians = [math.exp(draw.gauss(0.0, 0.05)) for _ in range(5)]
        low, high = log_t_interval(medians) or (math.nan, math.nan)
        covered += low <= 1.0 <= high
    assert 925 <= covered <= 975


@given(st.lists(st.floats(0.9, 1.1), min_size=5, max_size=9), st.floats(0.0, 0.5))
def test_what_the_clock_may_be_wrong_by_widens_the_interval(medians: list[float], clock: float) -> None:
    low, high = log_t_interval(medians, clock=clock) or (math.nan, math.nan)
    inner_low, inner_high = log_t_interval(medians) or (math.nan, math.nan)
    centre = math.exp(sum(map(math.log, medians)) / len(medians))
    half, inner = math.log(high / low) / 2, math.log(inner_high / inner_low) / 2
    assert half == pytest.approx(math.hypot(inner, clock / centre), rel=1e-6, abs=1e-9)


@given(st.floats(1e-9, 1e6), st.floats(0, 1e9))
def test_a_clock_that_is_wrong_by_any_amount_gives_a_positive_interval_or_none(
    latency: float, clock: float
) -> None:
    """A latency of a nanosecond, which is the least, beside a clock that other work disturbs by microseconds."""
    assert log_t_interval([1e-6] * 5, clock=0.005) is None
    low, high = log_t_interval([latency] * 5, clock=clock) or (latency, latency)
    assert 0 < low <= latency * (1 + 1e-9)
    assert latency <= high * (1 + 1e-9) < math.inf
