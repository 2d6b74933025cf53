"""Mamba's selective state update of one token per sequence.

``A`` is -1 to -16 and step sizes are about 0.001 to 0.1 before the token's own part, as Mamba initialises them
(Gu and Dao, Mamba, section 3.6), so that states decay, by anything from nothing to almost all. Sequences have
different slots of the cache; one in eight has none (-1), but never all of them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pytest_fib.inputs.recipes import Array, Problem, Recipe, Structured, Uniform
from pytest_fib.inputs.structured import rules

_PADDED = 1 / 8
_RANKS = {"state": 4, "state_batch_indices": 1}


def recipes(problem: Problem) -> dict[str, Recipe]:
    """Return recipes for ``A``, ``dt_bias`` and the slots."""
    made: dict[str, Recipe] = {"A": Uniform(-16.0, -1.0), "dt_bias": rules.LOG_STEP_SIZES}
    if rules.has_ranks(problem, _RANKS):
        slots, sequences = problem.shapes["state"][0], problem.shapes["state_batch_indices"][0]
        made["state_batch_indices"] = Structured(lambda rng, lookup: _places(rng, slots, sequences))
    return {name: recipe for name, recipe in made.items() if name in problem.shapes}


def _places(rng: np.random.Generator, slots: int, sequences: int) -> Array:
    places = np.full(sequences, -1, dtype=np.int64)
    chosen = np.flatnonzero(rng.random(sequences) >= _PADDED)[:slots]
    if chosen.size == 0 and slots > 0:
        chosen = rng.integers(sequences, size=min(1, sequences))
    places[chosen] = rng.permutation(slots)[: chosen.size]
    return places


def scalars(axes: Mapping[str, int], rng: np.random.Generator) -> dict[str, int | float]:
    """Return nothing: the op has no scalars."""
    return {}


def check(problem: Problem, given: Mapping[str, Array]) -> None:
    """Check captured slots; any negative number is none."""
    if "state_batch_indices" in given and rules.has_ranks(problem, _RANKS):
        places = given["state_batch_indices"]
        used = places[places >= 0]
        rules.check_range(problem, "state_batch_indices", used, 0, problem.shapes["state"][0])
        rules.check_distinct(problem, "state_batch_indices", used)
