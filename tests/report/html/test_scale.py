from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.report.html.scale import Scale, linear, logarithmic

POSITIVE = st.floats(1e-9, 1e9)


@given(st.lists(POSITIVE, min_size=1), st.integers(2, 8))
def test_a_logarithmic_axis_shows_every_value_and_has_round_ticks(values: list[float], most: int) -> None:
    scale = logarithmic(values)
    assert all(0 < scale.share(value) < 1 for value in values)
    ticks = scale.ticks(most)
    assert 0 < len(ticks) <= most
    assert ticks == sorted(set(ticks))
    assert all(scale.low * (1 - 1e-9) <= tick <= scale.high * (1 + 1e-9) for tick in ticks)
    assert all(len(f"{tick:.6g}".replace(".", "").strip("0").partition("e")[0]) <= 4 for tick in ticks)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.integers(2, 8))
def test_a_linear_axis_has_ticks_within_it(low: float, high: float, most: int) -> None:
    scale = linear(min(low, high), max(low, high))
    assert scale.low < scale.high
    ticks = scale.ticks(most)
    assert 0 < len(ticks) <= most
    assert all(scale.low <= tick <= scale.high for tick in ticks)


@given(POSITIVE, POSITIVE, POSITIVE)
def test_shares_keep_the_order(a: float, b: float, c: float) -> None:
    scale = logarithmic([a, b])
    low, high = sorted([b, c])
    assert 0 <= scale.share(low) <= scale.share(high) <= 1


def test_shares_are_even_in_the_logarithm() -> None:
    scale = Scale(1.0, 100.0, logarithmic=True)
    assert scale.share(10.0) == pytest.approx(0.5)
    assert scale.share(0.0) == 0
    assert scale.share(1e9) == 1
    assert math.isclose(Scale(0.0, 4.0).share(1.0), 0.25)


def test_a_single_value_gets_room() -> None:
    scale = logarithmic([5.0])
    assert scale.high / scale.low == pytest.approx(1.2)
    assert linear(0.0, 0.0) == Scale(-0.5, 0.5)


def test_ticks_are_what_people_expect() -> None:
    assert Scale(0.0, 1.0).ticks(6) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert Scale(1.0, 50.0, logarithmic=True).ticks(6) == [1, 2, 5, 10, 20, 50]
    assert Scale(1.0, 1e6, logarithmic=True).ticks(4) == [1, 1e2, 1e4, 1e6]
