from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.measure.warmup import MIN_SAMPLES, mser_cut, outliers


def noise(draw: random.Random, count: int, level: float = 100.0) -> list[float]:
    return [level * (1 + abs(draw.gauss(0, 0.01))) for _ in range(count)]


@pytest.mark.parametrize("warm", [1, 3, 8])
@pytest.mark.parametrize("factor", [1.3, 3.0, 100.0])
def test_a_warm_up_is_cut(warm: int, factor: float) -> None:
    for seed in range(20):
        draw = random.Random(seed)
        cut = mser_cut([*noise(draw, warm, 100 * factor), *noise(draw, 40)])
        assert warm <= cut <= warm + 10


def test_what_is_stationary_is_hardly_cut() -> None:
    cuts = [mser_cut(noise(random.Random(seed), 30)) for seed in range(200)]
    assert sum(cut > 15 for cut in cuts) <= 2
    assert sorted(cuts)[100] <= 5


def test_a_lone_outlier_does_not_look_like_a_warm_up() -> None:
    alarms = 0
    for seed in range(100):
        samples = noise(random.Random(seed), 30)
        samples[12] *= 50
        alarms += mser_cut(samples) > 15
    assert alarms <= 2


def test_outliers_here_and_there_do_not_look_like_a_warm_up() -> None:
    alarms = 0
    for seed in range(200):
        draw = random.Random(seed)
        alarms += mser_cut([sample * draw.choice([1.2] + [1] * 9) for sample in noise(draw, 28)]) > 14
    assert alarms <= 4


@pytest.mark.parametrize("warm", [17, 18])
def test_a_warm_up_beyond_the_middle_is_seen(warm: int) -> None:
    for seed in range(50):
        draw = random.Random(seed)
        assert mser_cut([*noise(draw, warm, 105), *noise(draw, 28 - warm)]) > 14


def test_a_lasting_drift_is_seen() -> None:
    seen = 0
    for seed in range(50):
        samples = noise(random.Random(seed), 28)
        seen += mser_cut([sample * (1.2 - index / 140) for index, sample in enumerate(samples)]) > 14
    assert seen >= 45


def test_few_samples_show_no_trend() -> None:
    assert mser_cut([100.0] + [1.0] * (MIN_SAMPLES - 2)) == 0


@given(st.lists(st.floats(1, 1e9), min_size=MIN_SAMPLES, max_size=60), st.floats(1e-3, 1e3))
def test_the_cut_leaves_samples_and_knows_no_unit(samples: list[float], unit: float) -> None:
    cut = mser_cut(samples)
    assert 0 <= cut <= len(samples) - len(samples) // 3


def test_outliers_are_counted() -> None:
    samples = noise(random.Random(3), 50)
    assert outliers(samples) == 0
    assert outliers([*samples, 1000.0, 2000.0]) == 2
