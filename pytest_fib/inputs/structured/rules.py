"""What several op types share: random partitions, offsets, page numbers, and checks of captured ones."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from pytest_fib.data.text import escape
from pytest_fib.errors import NotJudgeable
from pytest_fib.inputs.recipes import Array, Problem, Uniform

LOG_STEP_SIZES = Uniform(math.log(1e-3), math.log(1e-1))
"""Biases of a recurrence's step sizes, which are about 0.001 to 0.1: softplus is nearly exp where it is small."""

DEEPSEEK_SCALE = 0.1352337788608801
"""1 / sqrt(128 + 64), the dimensions before absorption, times the square of YaRN's factor for long contexts."""

_PREFIX_SHARED = 0.25  # of the calls


def has_ranks(problem: Problem, needed: Mapping[str, int], optional: Mapping[str, int] | None = None) -> bool:
    """Return whether all needed inputs, and the optional ones that exist, have that many dimensions."""
    present = {name: rank for name, rank in (optional or {}).items() if name in problem.shapes}
    return all(len(problem.shapes.get(name, ())) == rank for name, rank in {**needed, **present}.items())


def partition(
    rng: np.random.Generator,
    total: int,
    minimum: Array,
    maximum: Array | None = None,
    *,
    edges: bool = False,
) -> Array:
    """Split ``total`` into one part per element of ``minimum``; parts differ by a factor of about three.

    Every part lies in [minimum, maximum] (int64). With ``edges`` about every third part has no more than its minimum.
    ValueError if no such partition exists.
    """
    rest = total - int(minimum.sum())
    if rest < 0 or (minimum.size == 0 and rest > 0):
        raise ValueError(
            f"{total} cannot be split into {minimum.size} parts of at least {minimum.sum()} in all"
        )
    if minimum.size == 0:
        return minimum
    weights = rng.uniform(0.5, 1.5, minimum.size)
    if edges:
        shares = rng.random(minimum.size) < 2 / 3
        shares[rng.integers(minimum.size)] = True
        weights *= shares
    weights = np.cumsum(weights)
    bounds = np.floor(weights * (rest / weights[-1])).astype(np.int64)
    bounds[-1] = rest
    parts = minimum + np.diff(bounds, prepend=0)
    return parts if maximum is None else _cap(parts, maximum)


def _cap(parts: Array, maximum: Array) -> Array:
    capped = np.minimum(parts, maximum)
    excess = int(parts.sum() - capped.sum())
    spare = maximum - capped
    before = np.cumsum(spare) - spare
    filled: Array = capped + np.clip(excess - before, 0, spare)
    if filled.sum() != parts.sum():
        raise ValueError(
            f"{parts.sum()} cannot be split into {parts.size} parts of at most {maximum.sum()} in all"
        )
    return filled


def offsets(parts: Array, length: int) -> Array:
    """Return where each part begins, and the end: ``length`` of ``0, parts[0], parts[0] + parts[1], ...``."""
    return np.concatenate(([0], np.cumsum(parts)))[:length]


def random_offsets(rng: np.random.Generator, total: int, length: int, *, edges: bool = False) -> Array:
    """Return ``length`` offsets of sequences that share ``total`` at random, one each at least if that suffices."""
    least = at_least_one_each(total, max(0, length - 1), edges=edges)
    return offsets(partition(rng, total, least, edges=edges), length)


def at_least_one_each(total: int, parts: int, *, edges: bool = False) -> Array:
    """Return minimum sizes: one each if ``total`` suffices for that, else, and with ``edges``, zero."""
    return np.full(parts, 1 if total >= parts and not edges else 0, dtype=np.int64)


def lengths(rng: np.random.Generator, least: Array, most: int, *, edges: bool = False) -> Array:
    """Return lengths in [``least``, ``most``], all equally likely; with ``edges`` half of them are one of the two."""
    drawn: Array = rng.integers(least, most + 1)
    if edges:
        ends = np.where(rng.random(drawn.shape) < 0.5, least, most)
        drawn = np.where(rng.random(drawn.shape) < 0.5, ends, drawn)
    return drawn


def pages(rng: np.random.Generator, count: int, num_pages: int) -> Array:
    """Return ``count`` page numbers, any ``num_pages`` consecutive ones of which are distinct."""
    chosen: Array = rng.choice(num_pages, min(count, num_pages), replace=False)
    return chosen if count <= num_pages else np.resize(chosen, count)


def sequence_pages(rng: np.random.Generator, counts: Array, num_pages: int) -> Array:
    """Return the page numbers of sequences that have ``counts`` pages each, one sequence after the other.

    Those of one sequence are distinct, if it has at most ``num_pages``. Sequences share none as long as there are
    enough; but in a call of four all begin with the same ones.
    """
    total = int(counts.sum())
    if counts.size < 2 or total == 0 or rng.random() >= _PREFIX_SHARED:
        return pages(rng, total, num_pages)
    shared = min(int(rng.integers(1, max(2, counts.max() // 2 + 1))), num_pages)
    place = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    own = place >= shared
    chosen = pages(rng, min(shared + int(own.sum()), num_pages), num_pages)
    numbers: Array = chosen[np.minimum(place, shared - 1)]
    numbers[own] = np.resize(chosen[shared:], int(own.sum()))
    return numbers


def check_offsets(problem: Problem, name: str, values: Array, end: int) -> None:
    """Raise NotJudgeable unless ``values`` begin with 0, never decrease and end at ``end``."""
    if values.size == 0 or values[0] != 0 or values[-1] != end or (np.diff(values) < 0).any():
        raise NotJudgeable(
            f"captured {_words(problem, name)} should rise from 0 to {end}, never falling; correct the file"
        )


def check_range(problem: Problem, name: str, values: Array, low: int, high: int) -> None:
    """Raise NotJudgeable unless all ``values`` lie in [low, high)."""
    outside = values[(values < low) | (values >= high)]
    if outside.size:
        raise NotJudgeable(
            f"captured {_words(problem, name)} holds {outside[0]}, which is not in [{low}, {high}); "
            "correct the file or the axes"
        )


def check_distinct(problem: Problem, name: str, values: Array) -> None:
    """Raise NotJudgeable if a value occurs twice in ``values``."""
    numbers, counts = np.unique(values, return_counts=True)
    if numbers.size < values.size:
        raise NotJudgeable(
            f"captured {_words(problem, name)} holds {numbers[counts > 1][0]} more than once; correct the file"
        )


def impossible(problem: Problem, why: str) -> NotJudgeable:
    """Return the error for a workload whose axes admit no valid content."""
    return NotJudgeable(
        f"workload {escape(problem.workload, 80)} of '{escape(problem.definition, 80)}' has no valid inputs: "
        f"{why}; correct its axes"
    )


def _words(problem: Problem, name: str) -> str:
    return f"input '{escape(name, 60)}' of workload {escape(problem.workload, 80)}"
