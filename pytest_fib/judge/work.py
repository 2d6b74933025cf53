"""What a workload cannot be done without, for each op type that declares it: bytes to move and operations to do.

A count over the definition's shapes is wrong for most of them: a dense reference of a mixture of experts does 32
times the operations that are needed, causal attention skips half, a paged cache is mostly unread, states of other
sequences are not touched. So what depends on offsets, page tables and indices is counted over content as it is
drawn, and a router is assumed to spread its tokens evenly. Sizes are in bytes, operations in multiplications and
additions, each counted as one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_fib.border.arena import Plan, Slot

Integers = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Work:
    """What cannot be avoided: bytes that are read and written at least once, and the operations of matrix units.

    ``dtype`` is that of the factors; empty where there are no operations to speak of.
    """

    reads: float
    writes: float
    operations: float = 0.0
    dtype: str = ""


@dataclass(frozen=True)
class Facts:
    """What a declaration may look at: the tensors, the axes and the drawn content of the inputs that it names."""

    plan: Plan
    axes: Mapping[str, int] = field(default_factory=dict)
    definition: str = ""
    content: Mapping[str, Integers] = field(default_factory=dict)

    def slot(self, name: str) -> Slot:
        """Return the tensor of that name, wherever it lies."""
        return {slot.name: slot for slot in self._all}[name]

    def has(self, name: str) -> bool:
        """Whether there is such a tensor."""
        return any(slot.name == name for slot in self._all)

    def row(self, name: str, dimensions: int = 1) -> float:
        """Return the bytes of one entry of a tensor along its first ``dimensions``."""
        slot = self.slot(name)
        count = int(np.prod(slot.shape[:dimensions]))
        return slot.nbytes / count if count else 0.0

    def reads(self, *besides: str) -> float:
        """Return the bytes of all inputs but some."""
        return sum(slot.nbytes for slot in self.plan.inputs.slots if slot.name not in besides)

    def writes(self, *besides: str) -> float:
        """Return the bytes of all outputs, and of inputs that are written, but some."""
        return sum(slot.nbytes for slot in self.plan.outputs.slots if slot.name not in besides)

    @property
    def _all(self) -> tuple[Slot, ...]:
        return (*self.plan.inputs.slots, *self.plan.outputs.slots)


@dataclass(frozen=True)
class Declaration:
    """How the work of an op type is counted.

    Attributes
    ----------
    count
        The count itself.
    content
        The inputs whose content it looks at, as far as a definition has them.
    certain
        Whether no call can do with less, whatever its content: then a latency below it is impossible.
    """

    count: Callable[[Facts], Work]
    content: tuple[str, ...] = ()
    certain: bool = False


def _everything(facts: Facts) -> Work:
    """Every input is read and every output written."""
    return Work(facts.reads(), facts.writes())


def _gemm(facts: Facts) -> Work:
    """``C[M, N] = A[M, K] B[N, K]^T``: 2 M N K operations (fast matrix multiplication is not used in practice)."""
    a, b = facts.plan.inputs.slots[:2]
    return Work(facts.reads(), facts.writes(), 2.0 * a.shape[0] * a.shape[1] * b.shape[0], a.dtype)


def _rope(facts: Facts) -> Work:
    """All of queries and keys, and the rows of the table that some token is at."""
    at = np.unique(facts.content["positions"]).size if "positions" in facts.content else 1
    return Work(facts.reads("cos_sin_cache") + at * facts.row("cos_sin_cache"), facts.writes())


def _paged_tokens(facts: Facts, page_size: int) -> tuple[int, Integers]:
    """Return the distinct tokens of the cache that belong to a sequence, and the tokens of each sequence."""
    offsets, pages = facts.content["kv_indptr"], facts.content["kv_indices"]
    held = np.diff(offsets)
    last = facts.content.get("kv_last_page_len", np.full(held.size, page_size))[: held.size]
    tokens = np.where(held > 0, (held - 1) * page_size + last, 0)
    used: dict[int, int] = {}
    for first, count, rest in zip(offsets[:-1].tolist(), held.tolist(), last.tolist(), strict=True):
        for place, page in enumerate(pages[first : first + count].tolist()):
            used[page] = max(used.get(page, 0), page_size if place < count - 1 else rest)
    return sum(used.values()), tokens


def seen_pairs(queries: Integers, tokens: Integers) -> int:
    """Return how many pairs of query and token causal attention looks at: the last query sees all tokens.

    Query i of nq sees the first ``i + 1 + nk - nq`` of nk tokens, none where that is negative.
    """
    most = tokens.astype(np.int64)
    seeing = np.minimum(queries.astype(np.int64), most)  # earlier queries see nothing
    return int((seeing * most - seeing * (seeing - 1) // 2).sum())


def _paged(query: str, caches: tuple[str, ...]) -> Callable[[Facts], Work]:
    def count(facts: Facts) -> Work:
        distinct, tokens = _paged_tokens(facts, facts.slot(caches[0]).shape[1])
        given = facts.content.get("qo_indptr")
        queries = np.ones_like(tokens) if given is None else np.diff(given)
        moved = sum(distinct * facts.row(cache, 2) for cache in caches)
        # A score takes the width of what queries and keys have in common, a sum of values that of an output.
        width = sum(facts.slot(name).shape[-1] for name in _queries(facts)) + facts.slot("output").shape[-1]
        pairs = seen_pairs(queries, tokens) * facts.slot(query).shape[-2]
        return Work(
            facts.reads(*caches) + moved, facts.writes(), 2.0 * pairs * width, facts.slot(query).dtype
        )

    return count


def _queries(facts: Facts) -> tuple[str, ...]:
    return ("q",) if facts.has("q") else ("q_nope", "q_pe")


def _ragged(facts: Facts) -> Work:
    queries, tokens = (np.diff(facts.content[name]) for name in ("qo_indptr", "kv_indptr"))
    read = int(tokens[queries > 0].sum()) * (facts.row("k") + facts.row("v"))
    q = facts.slot("q")
    width = q.shape[-1] + facts.slot("output").shape[-1]
    operations = 2.0 * seen_pairs(queries, tokens) * q.shape[-2] * width
    return Work(facts.reads("k", "v") + read, facts.writes(), operations, q.dtype)


def _sparse(facts: Facts) -> Work:
    """Attention to chosen tokens (below 0: none), or, without queries that attend, the choice of them."""
    if facts.has("k_index_cache_fp8"):
        return _indexer(facts)
    chosen = facts.content["sparse_indices"]
    chosen = chosen[chosen >= 0]
    caches = ("ckv_cache", "kpe_cache")
    read = np.unique(chosen).size * sum(facts.row(cache, 2) for cache in caches)
    q = facts.slot("q_nope")
    width = 2 * q.shape[-1] + facts.slot("q_pe").shape[-1]
    return Work(facts.reads(*caches) + read, facts.writes(), 2.0 * chosen.size * q.shape[-2] * width, q.dtype)


def _indexer(facts: Facts) -> Work:
    """Scores of all tokens of the sequences that have more than are chosen; of the others every token is."""
    cache, q = facts.slot("k_index_cache_fp8"), facts.slot("q_index_fp8")
    lengths, table = facts.content["seq_lens"], facts.content["block_table"]
    page_size, wanted = cache.shape[1], facts.slot("topk_indices").shape[-1]
    pages: set[int] = set()
    for sequence in np.flatnonzero(lengths > wanted).tolist():
        pages.update(table[sequence, : -(-int(lengths[sequence]) // page_size)].tolist())
    scored = int(lengths[lengths > wanted].sum())
    read = min(len(pages) * page_size, scored) * facts.row(cache.name, 2)
    operations = 2.0 * scored * q.shape[-2] * q.shape[-1]
    return Work(facts.reads(cache.name, "block_table") + read, facts.writes(), operations, q.dtype)


def _states(pool: str, indices: str) -> Callable[[Facts], tuple[float, float]]:
    """Return a count of the bytes of a pool of states that are read, and of those that are written in place."""

    def count(facts: Facts) -> tuple[float, float]:
        if not facts.has(indices) or not facts.has(pool):
            return (facts.slot(pool).nbytes if facts.has(pool) else 0.0), 0.0
        named = facts.content.get(indices)
        rows = 1 if named is None else np.unique(named[named >= 0]).size
        touched = rows * facts.row(pool)
        return touched, touched if pool in facts.plan.in_place else 0.0

    return count


def _recurrent(pool: str, indices: str, *ignored: str) -> Callable[[Facts], Work]:
    states = _states(pool, indices)

    def count(facts: Facts) -> Work:
        read, written = states(facts)
        # Buffers that are handed in to be written to need not be read, nor be written outside of the rows in use.
        aside = (pool, *ignored)
        return Work(facts.reads(*aside) + read, facts.writes(*aside) + written, *_state_operations(facts))

    return count


def _state_operations(facts: Facts) -> tuple[float, str]:
    """A product of query and state and an update of rank one, for every token and head."""
    if not facts.has("v"):
        return 0.0, ""
    v, q = facts.slot("v"), facts.slot("q")
    return 4.0 * float(np.prod(v.shape)) * q.shape[-1], q.dtype


def _moe(facts: Facts) -> Work:
    """The experts that somebody is sent to, and no dense product; where only logits are given, evenly spread."""
    weights = tuple(name for name in ("gemm1_weights", "gemm2_weights") if facts.has(name))
    per_expert = tuple(
        slot.name
        for slot in facts.plan.inputs.slots
        if slot.name.startswith(("gemm1_", "gemm2_", "output1_", "output2_"))
    )
    here, hidden = facts.slot(weights[0]).shape[0], facts.slot("hidden_states")
    tokens = hidden.shape[0]
    if "topk_ids" in facts.content:
        ids = facts.content["topk_ids"]
        ids = ids[(ids >= 0) & (ids < here)]
        hit, pairs = float(np.unique(ids).size), float(ids.size)
    else:
        hit, pairs = spread(tokens, _top_k(facts), facts.slot("routing_logits").shape[1], here)
    read = sum(facts.row(name) for name in per_expert) * hit
    width = facts.slot("gemm1_weights").shape[1] + facts.slot("gemm2_weights").shape[2]
    operations = 2.0 * pairs * facts.axes.get("hidden_size", hidden.shape[1]) * width
    return Work(facts.reads(*per_expert) + read, facts.writes(), operations, hidden.dtype)


def _top_k(facts: Facts) -> int:
    named = re.search(r"topk(\d+)", facts.definition)
    return facts.axes.get("top_k") or (int(named.group(1)) if named else 1)


def spread(tokens: int, top_k: int, experts: int, here: int) -> tuple[float, float]:
    """Return the experts that are hit, and the pairs of token and expert, of those ``here``, if chance decides."""
    share = min(1.0, top_k / experts) if experts else 0.0
    return here * (1 - (1 - share) ** tokens), tokens * share * here


_OFFSETS = ("qo_indptr", "kv_indptr", "kv_indices", "kv_last_page_len")

DECLARED: Mapping[str, Declaration] = {
    "rmsnorm": Declaration(_everything, certain=True),
    "gemm": Declaration(_gemm, certain=True),
    "rope": Declaration(_rope, ("positions",)),
    "sampling": Declaration(_everything),
    "gqa_paged": Declaration(_paged("q", ("k_cache", "v_cache")), _OFFSETS),
    "gqa_ragged": Declaration(_ragged, _OFFSETS),
    "mla_paged": Declaration(_paged("q_nope", ("ckv_cache", "kpe_cache")), _OFFSETS),
    "mla_ragged": Declaration(_ragged, _OFFSETS),
    "dsa_paged": Declaration(_sparse, ("sparse_indices", "seq_lens", "block_table")),
    "gdn": Declaration(
        _recurrent("initial_state", "initial_state_indices", "intermediate_states_buffer"),
        ("initial_state_indices",),
    ),
    "mamba_ssu": Declaration(_recurrent("state", "state_batch_indices"), ("state_batch_indices",)),
    "moe": Declaration(_moe, ("topk_ids",)),
}
