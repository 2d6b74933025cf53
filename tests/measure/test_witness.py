from __future__ import annotations

import random
import statistics

from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.measure.witness import MIN_WITNESSES, contradicts, excess

times = st.lists(st.floats(0, 1e9), min_size=MIN_WITNESSES, max_size=30)


def around(draw: random.Random, latency: float, jitter: float, count: int) -> list[float]:
    return [latency + abs(draw.gauss(0, jitter)) for _ in range(count)]


def test_a_solution_that_hides_its_work_is_seen() -> None:
    draw = random.Random(1)
    assert contradicts(around(draw, 200_000, 20_000, 25), around(draw, 1_000, 500, 150), 10_000)


def test_noise_acquits_nobody() -> None:
    draw = random.Random(3)
    blurred = [200_000 + draw.uniform(0, 5_000_000) for _ in range(25)]
    assert contradicts(blurred, around(draw, 1_000, 500, 150), 10_000)


def test_an_honest_solution_is_never_accused() -> None:
    draw = random.Random(2)
    for latency in (1_000, 20_000, 200_000, 5_000_000):
        for _ in range(300):
            ordinary = around(draw, latency, 0.02 * latency, 150)
            witnesses = around(draw, 1.2 * latency, 0.3 * latency + 4_000, 10)
            assert not contradicts(witnesses, ordinary, 10_000)


def test_too_few_witnesses_accuse_nobody() -> None:
    assert not contradicts([1e9] * (MIN_WITNESSES - 1), [1.0] * 100, 0.0)


@given(times, times, st.integers(0, 7), st.floats(1, 1e9))
def test_a_slower_witness_is_never_a_better_one(
    witnesses: list[float], ordinary: list[float], index: int, delay: float
) -> None:
    slower = [*witnesses]
    slower[index] += delay
    if contradicts(witnesses, ordinary, 5.0):
        assert contradicts(slower, ordinary, 5.0)


@given(times, times, st.integers(0, 7), st.floats(0, 1e9))
def test_excess_never_falls_when_something_takes_longer(
    seen: list[float], usual: list[float], index: int, delay: float
) -> None:
    slower = [*seen]
    slower[index] += delay
    assert excess(slower, usual) >= excess(seen, usual) >= 0.0


def test_what_is_usual_is_no_excess() -> None:
    draw = random.Random(4)
    usual = around(draw, 20_000, 8_000, 40)
    assert excess(around(draw, 20_000, 8_000, 150), usual) == 0.0
    late = excess(around(draw, 120_000, 8_000, 150), usual)
    assert 80_000 < late < 110_000
    assert statistics.median(usual) < 40_000


def test_the_factor_is_how_much_slower_a_witness_may_be() -> None:
    witnesses, ordinary = [1_400.0] * MIN_WITNESSES, [1_000.0] * 50
    assert contradicts(witnesses, ordinary, 50.0, 1.3)
    assert not contradicts(witnesses, ordinary, 50.0, 1.4)
    assert not contradicts(witnesses, ordinary, 50.0)
