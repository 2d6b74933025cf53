"""Causal grouped-query attention over packed sequences of different lengths (prefill)."""

from __future__ import annotations

import math

import torch

from .shared.attention import attend_causal


def prefill_causal(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    qo_indptr: torch.Tensor,
    kv_indptr: torch.Tensor,
    sm_scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Causal attention per sequence: ``out_i = softmax over j <= i + nk - nq of (sm_scale * q_i . k_j) v_j``.

    Sequence b holds the nq queries ``qo_indptr[b]:qo_indptr[b + 1]`` of q [total_q, heads, d] and the nk keys
    and values ``kv_indptr[b]:kv_indptr[b + 1]`` of k and v [total_kv, kv_heads, d]; the last query sees all
    keys. Query head h uses key-value head h // (heads / kv_heads). float32 inside. A query that sees no key
    has output 0 and lse -inf. Returns output [total_q, heads, d] and lse (base 2) [total_q, heads] float32.
    Sources: Vaswani et al., Attention Is All You Need, equation 1 and section 3.2.3; Ainslie et al., GQA.
    """
    output = torch.zeros_like(q)
    lse = torch.full(q.shape[:2], -math.inf, dtype=torch.float32, device=q.device)
    q_bounds, kv_bounds = qo_indptr.tolist(), kv_indptr.tolist()
    for b in range(len(q_bounds) - 1):
        rows = slice(q_bounds[b], q_bounds[b + 1])
        seen = slice(kv_bounds[b], kv_bounds[b + 1])
        output[rows], lse[rows] = attend_causal(q[rows], k[seen], v[seen], sm_scale)
    return output, lse


QUERY = ("bfloat16", "total_q num_qo_heads head_dim")
KEY = ("bfloat16", "total_kv num_kv_heads head_dim")
INDPTR = ("int32", "len_indptr")

FAMILIES = {
    "gqa_ragged_prefill_causal_h{num_qo_heads}_kv{num_kv_heads}_d{head_dim}": {
        "description": "Causal grouped-query attention over packed sequences of different lengths.",
        "reference": [attend_causal, prefill_causal],
        "axes": "num_qo_heads num_kv_heads head_dim len_indptr total_q total_kv",
        "inputs": {
            "q": QUERY,
            "k": KEY,
            "v": KEY,
            "qo_indptr": INDPTR,
            "kv_indptr": INDPTR,
            "sm_scale": ("float32", None),
        },
        "outputs": {"output": QUERY, "lse": ("float32", "total_q num_qo_heads")},
        "constraints": ["total_q == qo_indptr[-1].item()", "total_kv == kv_indptr[-1].item()"],
        "tags": ["stage:prefill"],
    },
}


def _prefill(head_dim: int, *cases: tuple[int, int, int]) -> list[dict[str, float]]:
    """Turn (number of sequences, total_q, total_kv) into workloads."""
    return [
        {"len_indptr": n + 1, "total_q": queries, "total_kv": keys, "sm_scale": 1 / math.sqrt(head_dim)}
        for n, queries, keys in cases
    ]


PATTERN = "gqa_ragged_prefill_causal_h{num_qo_heads}_kv{num_kv_heads}_d{head_dim}"

TABLE = [
    # trace set, family, sizes of the constant axes, workloads. Fewer keys than queries: the first queries see
    # none; more: every sequence has a prefix that is already in the cache.
    (
        "mini",
        PATTERN,
        {"num_qo_heads": 4, "num_kv_heads": 2, "head_dim": 64},
        _prefill(64, (1, 7, 7), (1, 1, 33), (3, 30, 30), (2, 9, 40), (4, 3, 5)),
    ),
    (
        "flashinfer",
        PATTERN,
        {"num_qo_heads": 32, "num_kv_heads": 8, "head_dim": 128},
        _prefill(
            128,
            (1, 1, 1),
            (1, 127, 127),
            (3, 600, 600),
            (8, 2048, 4096),
            (16, 8192, 8192),
            (34, 13557, 13557),
        ),
    ),
]
