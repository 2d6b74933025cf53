"""Sampling from probabilities.

Rows of probabilities are peaky, as a language model's are: a handful of tokens hold half of the sum. Limits are
such that they cut something off and leave a choice: 1 to 100 tokens, and shares of 0.5 to 0.95.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pytest_fib.inputs.recipes import Array, Probabilities, Problem, Recipe, Structured, Uniform

Lookup = Callable[[str], Array]

_SHARPNESS = 4.0
_MOST_TOKENS = 100
_SHARES = (0.5, 0.95)


def recipes(problem: Problem) -> dict[str, Recipe]:
    """Return recipes for the probabilities and the limits."""
    shape = problem.shapes.get("top_k", ())
    most = _most_tokens(problem.axes)

    def top_k(rng: np.random.Generator, lookup: Lookup) -> Array:
        return rng.integers(1, most + 1, shape)

    made: dict[str, Recipe] = {
        "probs": Probabilities(_SHARPNESS),
        "top_k": Structured(top_k),
        "top_p": Uniform(*_SHARES),
    }
    return {name: recipe for name, recipe in made.items() if name in problem.shapes}


def _most_tokens(axes: Mapping[str, int]) -> int:
    return max(1, min(_MOST_TOKENS, axes.get("vocab_size", _MOST_TOKENS)))


def scalars(axes: Mapping[str, int], rng: np.random.Generator) -> dict[str, int | float]:
    """Return limits for definitions that have them as scalars."""
    return {"top_k": int(rng.integers(1, _most_tokens(axes) + 1)), "top_p": float(rng.uniform(*_SHARES))}


def check(problem: Problem, given: Mapping[str, Array]) -> None:
    """Accept everything: any limit has a meaning."""
