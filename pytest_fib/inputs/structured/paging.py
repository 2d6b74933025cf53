"""Attention over a paged cache, decode and prefill, whatever the cache holds.

``kv_indptr`` splits the entries of ``kv_indices`` among the sequences; the pages of a sequence are distinct, and in
a call of four all sequences begin with the same pages, as after a common prompt. Every sequence has a page if there
are enough, and in prefill at least as many tokens as queries if the axes allow that. ``kv_last_page_len`` is in
1..page_size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from pytest_fib.inputs.recipes import Array, Problem, Recipe, Structured
from pytest_fib.inputs.structured import rules

Lookup = Callable[[str], Array]

_OPTIONAL_RANKS = {"qo_indptr": 1, "kv_last_page_len": 1}


@dataclass(frozen=True)
class Layout:
    """How an op type names its inputs.

    ``query`` has one row per query; the first dimensions of ``cache`` are pages and the tokens of a page.
    ``ranks`` are the numbers of dimensions of these and other floats.
    """

    query: str
    cache: str
    ranks: Mapping[str, int]

    def fits(self, problem: Problem) -> bool:
        """Return whether the definition has this form."""
        return rules.has_ranks(problem, {**self.ranks, "kv_indptr": 1, "kv_indices": 1}, _OPTIONAL_RANKS)


def recipes(problem: Problem, layout: Layout) -> dict[str, Recipe]:
    """Return recipes for the offsets, page numbers and last page lengths that the definition has."""
    if not layout.fits(problem):
        return {}
    length = problem.shapes["kv_indptr"][0]
    sequences = max(0, length - 1)
    indices = problem.shapes["kv_indices"][0]
    num_pages, page_size = problem.shapes[layout.cache][:2]
    queries = problem.shapes[layout.query][0]
    prefill = "qo_indptr" in problem.shapes
    _check_sizes(problem, layout, length, sequences)
    if indices > sequences * num_pages and problem.drawn & {"kv_indptr", "kv_indices"}:
        raise rules.impossible(
            problem, f"{sequences} sequences cannot hold {indices} different pages each out of {num_pages}"
        )
    if "qo_indptr" in problem.drawn and queries > 0 and sequences == 0:
        raise rules.impossible(problem, f"{queries} queries belong to no sequence")

    def qo_indptr(rng: np.random.Generator, lookup: Lookup) -> Array:
        return rules.random_offsets(rng, queries, length, edges=problem.edges)

    def kv_indptr(rng: np.random.Generator, lookup: Lookup) -> Array:
        most = np.full(sequences, num_pages, dtype=np.int64)
        least = rules.at_least_one_each(indices, sequences, edges=problem.edges)
        if prefill:
            wanted = np.maximum(least, -(-np.diff(lookup("qo_indptr")) // page_size))
            least = wanted if wanted.sum() <= indices and (wanted <= most).all() else least
        return rules.offsets(rules.partition(rng, indices, least, most, edges=problem.edges), length)

    def kv_indices(rng: np.random.Generator, lookup: Lookup) -> Array:
        return rules.sequence_pages(rng, np.diff(lookup("kv_indptr")), num_pages)[:indices]

    def kv_last_page_len(rng: np.random.Generator, lookup: Lookup) -> Array:
        least = np.ones(sequences, dtype=np.int64)
        if prefill:
            full = np.maximum(0, np.diff(lookup("kv_indptr")) - 1) * page_size
            least = np.clip(np.diff(lookup("qo_indptr")) - full, 1, page_size)
        lengths = rules.lengths(rng, least, page_size, edges=problem.edges)
        return np.resize(lengths, problem.shapes["kv_last_page_len"])

    made = {
        "qo_indptr": qo_indptr,
        "kv_indptr": kv_indptr,
        "kv_indices": kv_indices,
        "kv_last_page_len": kv_last_page_len,
    }
    return {name: Structured(draw) for name, draw in made.items() if name in problem.shapes}


def _check_sizes(problem: Problem, layout: Layout, length: int, sequences: int) -> None:
    # Some official definitions have one length of a last page more than there are sequences; nobody reads it.
    wanted = {"kv_last_page_len": (sequences, length), "qo_indptr": (length,)}
    if "qo_indptr" not in problem.shapes:
        wanted[layout.query] = (sequences,)
    for name, sizes in wanted.items():
        if name in problem.shapes and problem.shapes[name][0] not in sizes:
            raise rules.impossible(problem, f"kv_indptr says {sequences} sequences, {name} another number")
    if "kv_last_page_len" in problem.drawn and sequences > 0 and problem.shapes[layout.cache][1] == 0:
        raise rules.impossible(problem, "pages hold no token")


def check(problem: Problem, layout: Layout, given: Mapping[str, Array]) -> None:
    """Check captured offsets, page numbers and last page lengths."""
    if not layout.fits(problem):
        return
    num_pages, page_size = problem.shapes[layout.cache][:2]
    if "qo_indptr" in given:
        rules.check_offsets(problem, "qo_indptr", given["qo_indptr"], problem.shapes[layout.query][0])
    if "kv_indptr" in given:
        rules.check_offsets(problem, "kv_indptr", given["kv_indptr"], problem.shapes["kv_indices"][0])
    if "kv_indices" in given:
        rules.check_range(problem, "kv_indices", given["kv_indices"], 0, num_pages)
    if "kv_last_page_len" in given and "kv_indptr" in given:
        filled = np.diff(given["kv_indptr"]) > 0
        used = given["kv_last_page_len"][: filled.size][filled]
        rules.check_range(problem, "kv_last_page_len", used, 1, page_size + 1)
