from __future__ import annotations

import random

from pytest_fib.measure.ahead import works_ahead


def sample(random_: random.Random, latency_ms: float, jitter_ms: float, count: int) -> list[float]:
    return [latency_ms + abs(random_.gauss(0, jitter_ms)) for _ in range(count)]


def test_a_solution_that_hides_its_work_is_seen() -> None:
    draw = random.Random(1)
    assert works_ahead(sample(draw, 0.001, 0.001, 150), sample(draw, 0.2, 0.02, 25))


def test_an_honest_solution_is_never_accused() -> None:
    draw = random.Random(2)
    for latency_ms in (0.001, 0.02, 0.2, 5.0):
        for _ in range(300):
            ordinary = sample(draw, latency_ms, 0.02 * latency_ms, 150)
            # After a wake caches are colder and the jitter is that of the scheduler.
            early = sample(draw, 1.2 * latency_ms, 0.02 * latency_ms + 0.004, 25)
            assert not works_ahead(ordinary, early)


def test_too_few_witnesses_accuse_nobody() -> None:
    assert not works_ahead([0.001] * 100, [5.0, 5.0])
