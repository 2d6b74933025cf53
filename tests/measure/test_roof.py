"""Speed of light: rates, the least time of work, and the score."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.measure.roof import Roof, sol_score

POSITIVE = st.floats(1e-3, 1e6)
ROOF = Roof(
    [(1e4, 100.0), (1e6, 120.0), (1e8, 10.0)], {"float32": 50.0, "float16": 400.0, "bfloat16": 300.0}, 1e3
)


def test_bytes_move_at_the_rate_of_where_they_can_be() -> None:
    assert ROOF.bytes_per_ns(10) == 120.0  # noise made the smallest look slower
    assert ROOF.bytes_per_ns(5e7) == 120.0
    assert ROOF.bytes_per_ns(1e9) == 10.0


def test_factors_may_be_widened_but_not_narrowed() -> None:
    assert ROOF.operations_per_ns("float32") == 50.0
    assert ROOF.operations_per_ns("bfloat16") == 300.0  # which float16 cannot hold
    assert ROOF.operations_per_ns("float8_e4m3fn") == 400.0
    assert ROOF.operations_per_ns("float64") is None


def test_small_outputs_stay_in_a_cache() -> None:
    assert ROOF.least_ns(2e9, 500) == ROOF.least_ns(2e9, 0) == 2e8
    assert ROOF.least_ns(2e9, 1e9) == pytest.approx((3e9 - 1e3) / 10)
    assert ROOF.least_ns(0, 0, 4e3, "float16") == 10


@given(POSITIVE, POSITIVE, POSITIVE, st.sampled_from(["float32", "float16", "int8"]))
def test_more_work_never_takes_less(reads: float, writes: float, operations: float, dtype: str) -> None:
    least = ROOF.least_ns(reads, writes, operations, dtype)
    assert least >= 0
    assert ROOF.least_ns(2 * reads, writes, operations, dtype) >= least
    assert ROOF.least_ns(reads, 2 * writes, operations, dtype) >= least
    assert ROOF.least_ns(reads, writes, 2 * operations, dtype) >= least


@given(POSITIVE, POSITIVE, POSITIVE)
def test_the_score_is_one_at_the_speed_of_light_and_half_at_the_baseline(
    a: float, b: float, least: float
) -> None:
    baseline = least + b
    score = sol_score(least + a, baseline, least)
    assert 0 < score < 1
    assert sol_score(baseline, baseline, least) == pytest.approx(0.5)
    assert sol_score(least, baseline, least) == sol_score(least / 2, baseline, least) == 1
    assert sol_score(least + 2 * a, baseline, least) < score


def test_where_the_baseline_leaves_nothing_to_gain() -> None:
    assert sol_score(1.0, 1.0, 1.0) == 1.0
    assert sol_score(1.1, 1.0, 1.0) == 0.0
