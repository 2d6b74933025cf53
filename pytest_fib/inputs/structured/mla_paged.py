"""Multi-head latent attention over a paged cache, decode and prefill; see ``paging``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pytest_fib.inputs.recipes import Array, Problem, Recipe
from pytest_fib.inputs.structured import paging, rules

_LAYOUT = paging.Layout("q_nope", "ckv_cache", {"q_nope": 3, "q_pe": 3, "ckv_cache": 3, "kpe_cache": 3})


def recipes(problem: Problem) -> dict[str, Recipe]:
    """Return recipes for the offsets, page numbers and last page lengths that the definition has."""
    return paging.recipes(problem, _LAYOUT)


def scalars(axes: Mapping[str, int], rng: np.random.Generator) -> dict[str, int | float]:
    """Return DeepSeek's scale: it belongs to the dimensions before absorption, which no axis says."""
    return {"sm_scale": rules.DEEPSEEK_SCALE}


def check(problem: Problem, given: Mapping[str, Array]) -> None:
    """Check captured offsets, page numbers and last page lengths."""
    paging.check(problem, _LAYOUT, given)
