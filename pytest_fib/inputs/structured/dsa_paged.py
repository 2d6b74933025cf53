"""Sparse latent attention over a paged cache, and the indexer that chooses its tokens.

``sparse_indices`` are slots of the flattened cache, distinct in a row, then -1. A context that fits the row is
there in full, page by page; of a longer one there is a subset in any order. ``seq_lens`` fill the block table's
width, in three calls of four nearly equally; ``block_table`` names distinct pages, and behind those that a sequence
needs either -1 or pages that are not its own. Contexts and sequences have a token if there are as many pages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pytest_fib.inputs.recipes import Array, Problem, QuantisedPages, Recipe, Structured
from pytest_fib.inputs.structured import rules

Lookup = Callable[[str], Array]

_ATTENTION = {"q_nope": 3, "q_pe": 3, "ckv_cache": 3, "kpe_cache": 3, "sparse_indices": 2}
_INDEXER = {"q_index_fp8": 3, "k_index_cache_fp8": 4, "weights": 2, "seq_lens": 1, "block_table": 2}
_LONGEST = 8  # contexts, in lengths of a row
_LONG = 0.5  # of the contexts exceed a row
_NEARLY_EQUAL, _SPREAD = 0.75, 0.1
_SCALE_BYTES = 4


def recipes(problem: Problem) -> dict[str, Recipe]:
    """Return recipes for the slots, or for lengths, pages and the quantised cache."""
    if rules.has_ranks(problem, _ATTENTION):
        return {"sparse_indices": Structured(lambda rng, lookup: _slots(rng, problem))}
    if not rules.has_ranks(problem, _INDEXER):
        return {}
    if problem.shapes["seq_lens"][0] != problem.shapes["block_table"][0]:
        raise rules.impossible(problem, "seq_lens and block_table differ in the number of sequences")
    made: dict[str, Recipe] = {
        "seq_lens": Structured(lambda rng, lookup: _within_table(_lengths(rng, problem), problem, lookup)),
        "block_table": Structured(lambda rng, lookup: _table(rng, problem, lookup("seq_lens"))),
    }
    page_size, heads, width = problem.shapes["k_index_cache_fp8"][1:]
    if problem.dtypes["k_index_cache_fp8"] in ("int8", "uint8") and heads == 1 and width > _SCALE_BYTES:
        made["k_index_cache_fp8"] = QuantisedPages(page_size, width - _SCALE_BYTES)
    return made


def scalars(axes: Mapping[str, int], rng: np.random.Generator) -> dict[str, int | float]:
    """Return DeepSeek's scale."""
    return {"sm_scale": rules.DEEPSEEK_SCALE}


def check(problem: Problem, given: Mapping[str, Array]) -> None:
    """Check that captured slots, lengths and pages exist."""
    if "sparse_indices" in given and rules.has_ranks(problem, _ATTENTION):
        num_pages, page_size = problem.shapes["ckv_cache"][:2]
        rules.check_range(problem, "sparse_indices", given["sparse_indices"], -1, num_pages * page_size)
    if "seq_lens" in given and rules.has_ranks(problem, _INDEXER):
        num_pages, page_size = problem.shapes["k_index_cache_fp8"][:2]
        sequences, width = problem.shapes["block_table"]
        most = min(width, num_pages) * page_size
        rules.check_range(problem, "seq_lens", given["seq_lens"], 0, most + 1)
        if "block_table" in given and given["seq_lens"].size == sequences:
            table = given["block_table"].reshape(sequences, width)
            used = table[_first(given["seq_lens"], page_size, width)]
            rules.check_range(problem, "block_table", used, 0, num_pages)


def _slots(rng: np.random.Generator, problem: Problem) -> Array:
    rows, width = problem.shapes["sparse_indices"]
    num_pages, page_size = problem.shapes["ckv_cache"][:2]
    contexts = _contexts(rng, problem, rows, width, num_pages * page_size)
    counts = -(-contexts // max(1, page_size))
    pages = rules.sequence_pages(rng, counts, num_pages)
    place = np.arange(width)
    # One position of each of ``width`` equal parts of the context; parts of a context that fits are single tokens.
    bounds = np.arange(width + 1) * np.maximum(contexts, width)[:, None] // max(1, width)
    positions = bounds[:, :-1] + (rng.random((rows, width)) * np.diff(bounds)).astype(np.int64)
    exists = place < contexts[:, None]
    entry = (np.cumsum(counts) - counts)[:, None] + positions // max(1, page_size)
    slots = np.full((rows, width), -1, dtype=np.int64)
    slots[exists] = pages[entry[exists]] * page_size + positions[exists] % max(1, page_size)
    beyond = contexts > width
    slots[beyond] = rng.permuted(slots[beyond], axis=1)
    return slots


def _contexts(rng: np.random.Generator, problem: Problem, rows: int, width: int, capacity: int) -> Array:
    least = rules.at_least_one_each(problem.shapes["ckv_cache"][0], rows, edges=problem.edges)
    fits = min(width, capacity)
    short = rules.lengths(rng, np.minimum(least, fits), fits, edges=problem.edges)
    longest = min(_LONGEST * width, capacity)
    long = rules.lengths(rng, np.full(rows, min(width + 1, longest)), longest, edges=problem.edges)
    return np.where(rng.random(rows) < _LONG, long, short)


def _lengths(rng: np.random.Generator, problem: Problem) -> Array:
    sequences, width = problem.shapes["block_table"]
    num_pages, page_size = problem.shapes["k_index_cache_fp8"][:2]
    capacity = min(width, num_pages) * page_size
    least = np.minimum(rules.at_least_one_each(num_pages, sequences, edges=problem.edges), capacity)
    if problem.edges or sequences == 0 or capacity == 0:
        return rules.lengths(rng, least, capacity, edges=problem.edges)
    longest = capacity - int(rng.integers(page_size))  # it needs the last column of the table
    if rng.random() < _NEARLY_EQUAL:
        least = np.maximum(least, int((1 - _SPREAD) * longest))
    drawn = rules.lengths(rng, least, longest)
    drawn[rng.integers(sequences)] = longest
    return drawn


def _within_table(lengths: Array, problem: Problem, lookup: Lookup) -> Array:
    """Return the lengths, none longer than the pages that a captured block table names for it."""
    if "block_table" in problem.drawn:
        return lengths
    num_pages, page_size = problem.shapes["k_index_cache_fp8"][:2]
    table = lookup("block_table").reshape(problem.shapes["block_table"])
    named = np.cumprod((table >= 0) & (table < num_pages), axis=1).sum(axis=1)
    within: Array = np.minimum(lengths, named * page_size)
    return within


def _table(rng: np.random.Generator, problem: Problem, lengths: Array) -> Array:
    sequences, width = problem.shapes["block_table"]
    num_pages, page_size = problem.shapes["k_index_cache_fp8"][:2]
    needed = _first(lengths, page_size, width)
    table = np.full((sequences, width), -1, dtype=np.int64)
    if num_pages > 0 and rng.random() < 0.5:
        table = rng.integers(0, num_pages, (sequences, width))
    table[needed] = rules.sequence_pages(rng, needed.sum(axis=1), num_pages)
    return table


def _first(lengths: Array, page_size: int, width: int) -> Array:
    """Return which entries of a block table [sequences, width] are needed (bool)."""
    needed: Array = np.arange(width) < -(-lengths // max(1, page_size))[:, None]
    return needed
