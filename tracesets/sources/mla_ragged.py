"""Causal multi-head latent attention over packed sequences, before absorption (prefill)."""

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

    Sequence b holds the nq queries ``qo_indptr[b]:qo_indptr[b + 1]`` of q [total_q, heads, qk_dim] and the nk
    keys and values ``kv_indptr[b]:kv_indptr[b + 1]`` of k [total_kv, kv_heads, qk_dim] and v [total_kv,
    kv_heads, vo_dim]; the last query sees all keys. Rows of q and k are content and position, concatenated.
    float32 inside. A query that sees no key has output 0 and lse -inf. Returns output [total_q, heads, vo_dim]
    and lse (base 2) [total_q, heads] float32.
    Sources: DeepSeek-AI, DeepSeek-V2, section 2.1 (equations 14 to 19); Vaswani et al., Attention Is All You
    Need, section 3.2.3.
    """
    output = torch.zeros((*q.shape[:2], v.shape[-1]), dtype=q.dtype, device=q.device)
    lse = torch.full(q.shape[:2], -math.inf, dtype=torch.float32, device=q.device)
    q_bounds, kv_bounds = qo_indptr.tolist(), kv_indptr.tolist()
    for b in range(len(q_bounds) - 1):
        rows = slice(q_bounds[b], q_bounds[b + 1])
        seen = slice(kv_bounds[b], kv_bounds[b + 1])
        output[rows], lse[rows] = attend_causal(q[rows], k[seen], v[seen], sm_scale)
    return output, lse


PREFILL = "mla_ragged_prefill_causal_h{num_qo_heads}_qk{qk_dim}_vo{vo_dim}"
INDPTR = ("int32", "len_indptr")

FAMILIES = {
    PREFILL: {
        "description": "Causal multi-head latent attention over packed sequences; values narrower than keys.",
        "reference": [attend_causal, prefill_causal],
        "axes": "num_qo_heads num_kv_heads qk_dim vo_dim total_q total_kv len_indptr",
        "inputs": {
            "q": ("bfloat16", "total_q num_qo_heads qk_dim"),
            "k": ("bfloat16", "total_kv num_kv_heads qk_dim"),
            "v": ("bfloat16", "total_kv num_kv_heads vo_dim"),
            "qo_indptr": INDPTR,
            "kv_indptr": INDPTR,
            "sm_scale": ("float32", None),
        },
        "outputs": {
            "output": ("bfloat16", "total_q num_qo_heads vo_dim"),
            "lse": ("float32", "total_q num_qo_heads"),
        },
        "constraints": ["total_q == qo_indptr[-1].item()", "total_kv == kv_indptr[-1].item()"],
        "tags": ["stage:prefill"],
    },
}


def _prefill(sm_scale: float, *cases: tuple[int, int, int]) -> list[dict[str, float]]:
    """Turn (number of sequences, total_q, total_kv) into workloads."""
    return [
        {"len_indptr": n + 1, "total_q": queries, "total_kv": keys, "sm_scale": sm_scale}
        for n, queries, keys in cases
    ]


DEEPSEEK_SCALE = 0.1352337788608801  # 1 / sqrt(192), times the square of YaRN's factor for long contexts

TABLE = [
    # trace set, family, sizes of the constant axes, workloads. Fewer keys than queries: the first queries see
    # none; more: every sequence has a prefix that is already in the cache.
    (
        "mini",
        PREFILL,
        {"num_qo_heads": 4, "num_kv_heads": 4, "qk_dim": 48, "vo_dim": 32},
        _prefill(1 / math.sqrt(48), (1, 5, 5), (1, 1, 40), (3, 60, 60), (6, 50, 90), (4, 30, 12)),
    ),
    (
        "flashinfer",
        PREFILL,
        {"num_qo_heads": 16, "num_kv_heads": 16, "qk_dim": 192, "vo_dim": 128},
        _prefill(DEEPSEEK_SCALE, (1, 1, 1), (1, 127, 127), (3, 700, 700), (8, 2048, 4096), (16, 8192, 8192)),
    ),
]
