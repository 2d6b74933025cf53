from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.measure.scores import arithmetic_mean, geometric_mean, win_rate

positive = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=50)


def test_the_two_means_of_a_known_case() -> None:
    assert arithmetic_mean([1.0, 4.0]) == 2.5
    assert geometric_mean([1.0, 4.0]) == pytest.approx(2.0)


@given(positive)
def test_means_agree_with_the_standard_library(values: list[float]) -> None:
    assert math.isclose(arithmetic_mean(values), statistics.fmean(values), rel_tol=1e-9)
    assert math.isclose(geometric_mean(values), statistics.geometric_mean(values), rel_tol=1e-9)


@given(positive)
def test_geometric_mean_is_never_above_the_arithmetic_mean(values: list[float]) -> None:
    assert min(values) * (1 - 1e-9) <= geometric_mean(values) <= arithmetic_mean(values) * (1 + 1e-9)


@given(positive)
def test_geometric_mean_of_inverses_is_the_inverse(values: list[float]) -> None:
    assert math.isclose(geometric_mean([1 / v for v in values]), 1 / geometric_mean(values), rel_tol=1e-9)


@pytest.mark.parametrize("mean", [arithmetic_mean, geometric_mean])
def test_no_values_have_no_mean(mean: object) -> None:
    with pytest.raises(ValueError, match="no values"):
        mean([])  # type: ignore[operator]


def test_geometric_mean_refuses_zero() -> None:
    with pytest.raises(ValueError, match="positive"):
        geometric_mean([1.0, 0.0])


def test_a_failed_workload_is_a_lost_one() -> None:
    assert win_rate([2.0, 0.5], judged=4) == 0.25
    assert win_rate([], judged=3) == 0.0


def test_a_tie_is_not_a_win() -> None:
    assert win_rate([1.0], judged=1) == 0.0


@pytest.mark.parametrize(("speedups", "judged"), [([], 0), ([2.0, 2.0], 1)])
def test_win_rate_refuses_impossible_counts(speedups: list[float], judged: int) -> None:
    with pytest.raises(ValueError, match="workloads"):
        win_rate(speedups, judged)
