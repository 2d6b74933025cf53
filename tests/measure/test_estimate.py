from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.measure.estimate import Estimate, difference, mean, rank_ranges, ratio
from pytest_fib.measure.interval import log_t_interval

sizes = st.floats(1e-3, 1e3)
shares = st.floats(0, 0.5)


@st.composite
def estimates(draw: st.DrawFn) -> Estimate:
    value = draw(sizes)
    return Estimate(value, (value * (1 - draw(shares)), value * (1 + draw(shares))))


def holds(estimate: Estimate) -> bool:
    assert estimate.interval is not None
    low, high = estimate.interval
    slack = 1e-9 * (1 + abs(estimate.value))
    return low - slack <= estimate.value <= high + slack


@given(estimates(), estimates())
def test_combined_intervals_hold_their_values(left: Estimate, right: Estimate) -> None:
    for combined in (difference(left, right), ratio(left, right), mean([left, right]), left.under(3.0)):
        assert holds(combined)
    assert ratio(left, right).value == pytest.approx(left.value / right.value)
    assert mean([left, right]).value == pytest.approx((left.value + right.value) / 2)


@given(estimates(), estimates())
def test_the_ratio_turned_round_is_the_inverse(left: Estimate, right: Estimate) -> None:
    low, high = ratio(left, right).interval or (math.nan, math.nan)
    assert ratio(right, left).interval == pytest.approx((1 / high, 1 / low))


@given(estimates(), estimates())
def test_a_combination_is_less_sure_than_its_parts_and_surer_than_their_worst_case(
    left: Estimate, right: Estimate
) -> None:
    low, high = difference(left, right).interval or (math.nan, math.nan)
    assert left.interval is not None
    assert right.interval is not None
    widths = [end[1] - end[0] for end in (left.interval, right.interval)]
    assert max(widths) * (1 - 1e-6) - 1e-9 <= high - low <= sum(widths) * (1 + 1e-6) + 1e-9


def test_an_exact_number_adds_no_doubt() -> None:
    exact = Estimate(1.0, (1.0, 1.0))
    assert difference(Estimate(3.0, (2.0, 5.0)), exact).interval == (1.0, 4.0)
    assert mean([exact, exact]).interval == (1.0, 1.0)


def test_what_is_not_known_stays_so() -> None:
    unknown, known = Estimate(2.0), Estimate(4.0, (3.0, 5.0))
    assert ratio(unknown, known) == Estimate(0.5)
    assert mean([unknown, known]) == Estimate(3.0)
    assert unknown.log().exp().interval is None
    with pytest.raises(ValueError, match="no values"):
        mean([])


def test_the_interval_of_a_ratio_covers_as_often_as_it_says() -> None:
    draw = random.Random(8)

    def measured(latency: float, spread: float) -> Estimate:
        medians = [latency * math.exp(draw.gauss(0.0, spread)) for _ in range(5)]
        return Estimate(math.fsum(medians) / 5, log_t_interval(medians))

    covered = 0
    for _ in range(1000):
        low, high = ratio(measured(1.1, 0.03), measured(1.0, 0.01)).interval or (math.nan, math.nan)
        covered += low <= 1.1 <= high
    assert 935 <= covered <= 995


def test_ranks_of_those_that_are_told_apart() -> None:
    board = [Estimate(value, (value - 0.1, value + 0.1)) for value in (1.0, 3.0, 2.0)]
    assert rank_ranges(board) == [(3, 3), (1, 1), (2, 2)]


def test_a_tie_need_not_pass_on() -> None:
    board = [Estimate(value, (value - 0.8, value + 0.8)) for value in (3.0, 2.0, 1.0)]
    assert rank_ranges(board) == [(1, 2), (1, 3), (2, 3)]


def test_without_intervals_nobody_is_told_apart() -> None:
    assert rank_ranges([Estimate(3.0), Estimate(1.0, (1.0, 1.0)), Estimate(0.0, (0.0, 0.0))]) == [
        (1, 3),
        (1, 2),
        (2, 3),
    ]


@given(st.lists(estimates(), max_size=8))
def test_ranks_hold_the_order_of_the_values(board: list[Estimate]) -> None:
    for mine, (best, worst) in zip(board, rank_ranges(board), strict=True):
        above = sum(other.value > mine.value for other in board)
        level = sum(other.value == mine.value for other in board)
        assert 1 <= best <= above + 1
        assert above + level <= worst <= len(board)
