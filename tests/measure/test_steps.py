from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.measure.steps import find_steps

series = st.lists(st.floats(1e-3, 1e3), max_size=30)


def noisy(draw: random.Random, *levels: tuple[float, int], spread: float = 0.01) -> list[float]:
    return [level * math.exp(draw.gauss(0.0, spread)) for level, count in levels for _ in range(count)]


def heavy_tailed(draw: random.Random, count: int) -> list[float]:
    """Student's t with three degrees of freedom, as logarithms in percent."""
    return [
        math.exp(0.01 * draw.gauss(0, 1) / math.sqrt(draw.gammavariate(1.5, 2.0) / 3)) for _ in range(count)
    ]


@given(series)
def test_any_series_has_steps_in_order_within_it(latencies: list[float]) -> None:
    found = find_steps(latencies)
    indices = [step.index for step in found]
    assert indices == sorted(set(indices))
    assert all(0 < index < len(latencies) for index in indices)
    assert all(0 < step.chance <= 0.01 and step.ratio > 0 for step in found)


@given(series, st.sampled_from([0.125, 8.0]))
def test_the_unit_does_not_matter(latencies: list[float], factor: float) -> None:
    scaled = find_steps([latency * factor for latency in latencies], 0.1)
    assert [step.index for step in scaled] == [step.index for step in find_steps(latencies, 0.1)]


@given(st.floats(1e-3, 1e3), st.integers(0, 40))
def test_a_constant_has_no_steps(latency: float, count: int) -> None:
    assert find_steps([latency] * count, 0.5) == []


@pytest.mark.parametrize("seed", range(5))
def test_steps_are_found_where_they_are(seed: int) -> None:
    latencies = noisy(random.Random(seed), (2.0, 20), (2.2, 15), (1.0, 8))
    found = find_steps(latencies)
    assert [step.index for step in found] == [20, 35]
    assert found[0].ratio == pytest.approx(1.1, rel=0.02)
    assert found[1].ratio == pytest.approx(1 / 2.2, rel=0.02)


@pytest.mark.parametrize(("before", "after"), [(6, 6), (20, 4)])
def test_so_many_runs_are_enough(before: int, after: int) -> None:
    draw = random.Random(3)
    found = [find_steps(noisy(draw, (1.0, before), (1.1, after))) for _ in range(30)]
    assert all([step.index for step in steps] == [before] for steps in found)


def test_single_outliers_are_no_steps_and_hide_none() -> None:
    latencies = noisy(random.Random(4), (1.0, 20), (1.1, 20))
    for outlier in (3, 17, 30):
        latencies[outlier] *= 10
    assert [step.index for step in find_steps(latencies)] == [20]


@pytest.mark.parametrize(("rate", "most"), [(0.01, 18), (0.1, 125)])
def test_false_alarms_are_as_rare_as_stated(rate: float, most: int) -> None:
    """Of 1000 histories without a change; the most that a binomial count shows in 99 of 100 cases."""
    draw = random.Random(5)
    alarms = sum(bool(find_steps(heavy_tailed(draw, 25), rate)) for _ in range(1000))
    assert 0 < alarms <= most


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        find_steps([1.0, 0.0])
    with pytest.raises(ValueError, match="between 0 and 1"):
        find_steps([1.0], 0.0)
