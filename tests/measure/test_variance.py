from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import f_oneway

from pytest_fib.measure.variance import components

VALUES = st.floats(-10, 10)
GROUPS = st.lists(st.lists(VALUES, min_size=2, max_size=6), min_size=2, max_size=6)


def test_a_table_computed_by_hand() -> None:
    # Mean squares: within (2 + 2 + 2) / 6 = 1, between 3 * (9 + 0 + 9) / 2 = 27.
    within, between = components([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    assert within == pytest.approx(1.0)
    assert between == pytest.approx(26 / 3)


def test_groups_of_different_sizes() -> None:
    # The mean is 17/6, those of the groups 1, 4 and 6. Mean squares: within (2 + 2) / 3, between (3 * (11/6)^2 +
    # 2 * (7/6)^2 + (19/6)^2) / 2 = 137/12; a group counts for (6 - 14/6) / 2 values.
    within, between = components([[0, 1, 2], [3, 5], [6]])
    assert within == pytest.approx(4 / 3)
    assert between == pytest.approx((137 / 12 - 4 / 3) / (11 / 6))


def test_groups_that_agree_better_than_by_chance_have_nothing_between_them() -> None:
    assert components([[1, 3], [1, 3], [1, 3]]) == (pytest.approx(2.0), 0.0)


def test_groups_without_scatter_inside() -> None:
    assert components([[1, 1], [3, 3]]) == (0.0, pytest.approx(2.0))


@pytest.mark.parametrize("groups", [[], [[1, 2, 3]], [[1], [2]], [[1, 2], []]])
def test_too_little_to_tell(groups: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="two groups"):
        components(groups)


@given(
    st.integers(2, 5).flatmap(
        lambda size: st.lists(st.lists(VALUES, min_size=size, max_size=size), min_size=2)
    )
)
def test_the_quotient_is_that_of_the_f_test(groups: list[list[float]]) -> None:
    within, between = components(groups)
    if within > 1e-6 and between > 0:
        expected = float(f_oneway(*groups).statistic)
        assert (between * len(groups[0]) + within) / within == pytest.approx(expected, rel=1e-6)


@given(GROUPS, st.floats(-100, 100), st.floats(0.1, 10))
def test_a_shift_changes_nothing_and_a_factor_counts_squared(
    groups: list[list[float]], shift: float, factor: float
) -> None:
    other = components([[factor * (value + shift) for value in group] for group in groups])
    expected = [factor**2 * variance for variance in components(groups)]
    assert other == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(GROUPS, st.randoms(use_true_random=False))
def test_order_changes_nothing(groups: list[list[float]], shuffle: random.Random) -> None:
    other = [shuffle.sample(group, len(group)) for group in groups]
    shuffle.shuffle(other)
    assert components(other) == pytest.approx(components(groups), rel=1e-6, abs=1e-9)


def test_made_up_variances_are_found() -> None:
    draw = random.Random(5)
    found = []
    for _ in range(400):
        shared = [draw.gauss(0, 2) for _ in range(12)]
        found.append(components([[mean + draw.gauss(0, 1) for _ in range(7)] for mean in shared]))
    within, between = (sum(variances) / len(found) for variances in zip(*found, strict=True))
    assert within == pytest.approx(1.0, rel=0.03)
    assert between == pytest.approx(4.0, rel=0.1)
