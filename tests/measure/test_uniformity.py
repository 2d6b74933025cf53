from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.measure.uniformity import unevenness


def test_nothing_says_nothing() -> None:
    assert unevenness(np.zeros(0)).chance == 1.0


@pytest.mark.parametrize("count", [1, 3, 20, 300, 3000])
def test_uniform_numbers_seldom_look_uneven(count: int) -> None:
    """At a level of 5 % no more than 5 % of uniform samples are rejected: 20 of 200 would be a miracle."""
    rng = np.random.default_rng(count)
    rejected = sum(unevenness(rng.random(count)).chance < 0.05 for _ in range(200))
    assert rejected < 20


def test_the_bound_is_not_idle() -> None:
    rng = np.random.default_rng(0)
    assert min(unevenness(rng.random(500)).chance for _ in range(200)) < 0.2


@pytest.mark.parametrize(
    "numbers",
    [
        np.full(20, 0.7),  # always the same
        np.linspace(0, 0.9, 600),  # a part is missing
        np.concatenate([np.linspace(0, 1, 900, endpoint=False), np.full(100, 0.999)]),  # too many at the end
        np.linspace(0, 1, 2000, endpoint=False) ** 1.5,  # bent
        np.full(2000, 1.0),
    ],
)
def test_uneven_numbers_are_found(numbers: np.ndarray) -> None:
    assert unevenness(numbers).chance < 1e-7


def test_the_interval_is_named() -> None:
    found = unevenness(np.concatenate([np.linspace(0, 1, 500, endpoint=False), np.full(200, 0.3)]))
    assert found.low <= 0.3 < found.high
    assert found.high - found.low == 1 / 64
    assert found.seen > 200 > found.expected


@given(st.lists(st.floats(0, 1), max_size=50))
def test_it_is_always_a_probability(numbers: list[float]) -> None:
    assert 0 <= unevenness(np.array(numbers)).chance <= 1
