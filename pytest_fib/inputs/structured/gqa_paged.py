"""Grouped-query attention over a paged cache, decode and prefill; see ``paging``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pytest_fib.inputs.recipes import Array, Problem, Recipe
from pytest_fib.inputs.structured import paging

_LAYOUT = paging.Layout("q", "k_cache", {"q": 3, "k_cache": 4})


def recipes(problem: Problem) -> dict[str, Recipe]:
    """Return recipes for the offsets, page numbers and last page lengths that the definition has."""
    return paging.recipes(problem, _LAYOUT)


def scalars(axes: Mapping[str, int], rng: np.random.Generator) -> dict[str, int | float]:
    """Return nothing: ``sm_scale`` is like everywhere."""
    return {}


def check(problem: Problem, given: Mapping[str, Array]) -> None:
    """Check captured offsets, page numbers and last page lengths."""
    paging.check(problem, _LAYOUT, given)
