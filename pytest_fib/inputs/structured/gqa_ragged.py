"""Causal grouped-query attention over packed sequences.

``qo_indptr`` and ``kv_indptr`` split queries and keys among the same sequences. Every sequence has a query if
there are enough, and at least as many keys as queries if there are as many keys as queries in all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pytest_fib.inputs.recipes import Array, Problem, Recipe, Structured
from pytest_fib.inputs.structured import rules

Lookup = Callable[[str], Array]

_RANKS = {"q": 3, "k": 3, "qo_indptr": 1, "kv_indptr": 1}


def recipes(problem: Problem) -> dict[str, Recipe]:
    """Return recipes for the two offset tensors."""
    if not rules.has_ranks(problem, _RANKS):
        return {}
    length = problem.shapes["qo_indptr"][0]
    sequences = max(0, length - 1)
    queries, keys = problem.shapes["q"][0], problem.shapes["k"][0]
    if problem.shapes["kv_indptr"][0] != length:
        raise rules.impossible(problem, "qo_indptr and kv_indptr differ in length")
    if sequences == 0 and queries + keys > 0 and problem.drawn & {"qo_indptr", "kv_indptr"}:
        raise rules.impossible(problem, f"{queries} queries and {keys} keys belong to no sequence")

    def qo_indptr(rng: np.random.Generator, lookup: Lookup) -> Array:
        return rules.random_offsets(rng, queries, length, edges=problem.edges)

    def kv_indptr(rng: np.random.Generator, lookup: Lookup) -> Array:
        wanted = np.diff(lookup("qo_indptr"))
        least = wanted if keys >= queries else rules.at_least_one_each(keys, sequences, edges=problem.edges)
        return rules.offsets(rules.partition(rng, keys, least, edges=problem.edges), length)

    return {"qo_indptr": Structured(qo_indptr), "kv_indptr": Structured(kv_indptr)}


def scalars(axes: Mapping[str, int], rng: np.random.Generator) -> dict[str, int | float]:
    """Return nothing: ``sm_scale`` is like everywhere."""
    return {}


def check(problem: Problem, given: Mapping[str, Array]) -> None:
    """Check captured offsets."""
    if not rules.has_ranks(problem, _RANKS):
        return
    if "qo_indptr" in given:
        rules.check_offsets(problem, "qo_indptr", given["qo_indptr"], problem.shapes["q"][0])
    if "kv_indptr" in given:
        rules.check_offsets(problem, "kv_indptr", given["kv_indptr"], problem.shapes["k"][0])
