"""Gated delta net: decode, prefill of packed sequences, and several tokens per sequence (mtp).

q and k have length 1 per head, as models normalise them: with longer keys the recurrence multiplies its state.
Decays are those of Mamba's initialisation (see ``mamba_ssu``). States of deviation 1 and values of deviation 2 make
outputs with the usual scale some 0.1, and keep states of that size however long a sequence is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from pytest_fib.inputs.pool import WINDOW
from pytest_fib.inputs.recipes import Array, Directions, Normal, Problem, Recipe, Structured, Uniform
from pytest_fib.inputs.structured import rules

Lookup = Callable[[str], Array]


def recipes(problem: Problem) -> dict[str, Recipe]:
    """Return recipes for directions, gates, values, offsets and the places of initial states."""
    made: dict[str, Recipe] = {
        "v": Normal(2.0),
        "A_log": Uniform(0.0, math.log(16.0)),
        "dt_bias": rules.LOG_STEP_SIZES,
    }
    for name in ("q", "k"):
        shape = problem.shapes.get(name, ())
        if shape and 0 < shape[-1] <= WINDOW:
            made[name] = Directions()
    if rules.has_ranks(problem, {"q": 3, "cu_seqlens": 1}):
        made["cu_seqlens"] = _cu_seqlens(problem)
    if rules.has_ranks(problem, {"initial_state": 4, "initial_state_indices": 1}):
        made["initial_state_indices"] = _initial_state_indices(problem)
    return {name: recipe for name, recipe in made.items() if name in problem.shapes}


def _cu_seqlens(problem: Problem) -> Recipe:
    tokens, length = problem.shapes["q"][0], problem.shapes["cu_seqlens"][0]
    sequences = max(0, length - 1)
    if problem.shapes.get("state", (sequences,))[0] != sequences:
        raise rules.impossible(problem, f"cu_seqlens says {sequences} sequences, state another number")
    if "cu_seqlens" in problem.drawn and tokens > 0 and sequences == 0:
        raise rules.impossible(problem, f"{tokens} tokens belong to no sequence")

    def draw(rng: np.random.Generator, lookup: Lookup) -> Array:
        return rules.random_offsets(rng, tokens, length, edges=problem.edges)

    return Structured(draw)


def _initial_state_indices(problem: Problem) -> Recipe:
    states, sequences = problem.shapes["initial_state"][0], problem.shapes["initial_state_indices"][0]
    if "initial_state_indices" in problem.drawn and sequences > states:
        raise rules.impossible(problem, f"{sequences} sequences cannot have different states out of {states}")
    return Structured(lambda rng, lookup: rng.permutation(states)[:sequences])


def scalars(axes: Mapping[str, int], rng: np.random.Generator) -> dict[str, int | float]:
    """Return nothing: ``scale`` is like everywhere."""
    return {}


def check(problem: Problem, given: Mapping[str, Array]) -> None:
    """Check captured offsets and places of initial states."""
    if "cu_seqlens" in given and rules.has_ranks(problem, {"q": 3, "cu_seqlens": 1}):
        rules.check_offsets(problem, "cu_seqlens", given["cu_seqlens"], problem.shapes["q"][0])
    if "initial_state_indices" in given and rules.has_ranks(problem, {"initial_state": 4}):
        states = problem.shapes["initial_state"][0]
        rules.check_range(problem, "initial_state_indices", given["initial_state_indices"], 0, states)
        rules.check_distinct(problem, "initial_state_indices", given["initial_state_indices"])
