"""Rotary position embedding: positions that the cache has, and a cache of cosines and sines of one base.

The base differs from call to call, so that a kernel has to read the cache and cannot know it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pytest_fib.inputs.recipes import Array, Problem, Recipe, Structured
from pytest_fib.inputs.structured import rules

Lookup = Callable[[str], Array]

_RANKS = {"cos_sin_cache": 2, "positions": 1}
_POWERS_OF_BASE = (4.0, 6.7)  # models use 10,000 to 5,000,000


def recipes(problem: Problem) -> dict[str, Recipe]:
    """Return recipes for the positions and the cache."""
    if not rules.has_ranks(problem, _RANKS):
        return {}
    length, width = problem.shapes["cos_sin_cache"]
    tokens = problem.shapes["positions"][0]
    if tokens > 0 and length == 0:
        raise rules.impossible(problem, f"{tokens} tokens have no position, because the cache is empty")

    def positions(rng: np.random.Generator, lookup: Lookup) -> Array:
        return rng.integers(0, max(1, length), tokens)

    def cos_sin_cache(rng: np.random.Generator, lookup: Lookup) -> Array:
        half = (width + 1) // 2
        base = 10 ** rng.uniform(*_POWERS_OF_BASE)
        frequencies = base ** (-np.arange(half) / max(1, half))
        angles = np.outer(np.arange(length), frequencies).astype(np.float32)
        return np.concatenate([np.cos(angles), np.sin(angles)], axis=1)[:, :width]

    return {"positions": Structured(positions), "cos_sin_cache": Structured(cos_sin_cache)}


def scalars(axes: Mapping[str, int], rng: np.random.Generator) -> dict[str, int | float]:
    """Return nothing: there are none."""
    return {}


def check(problem: Problem, given: Mapping[str, Array]) -> None:
    """Check that captured positions are rows of the cache."""
    if rules.has_ranks(problem, _RANKS) and "positions" in given:
        length = problem.shapes["cos_sin_cache"][0]
        rules.check_range(problem, "positions", given["positions"], 0, length)
