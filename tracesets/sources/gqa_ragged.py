"""Causal grouped-query attention over packed sequences of different lengths (prefill)."""

from __future__ import annotations

import math

import torch


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
    rows_at_once = 256  # bounds the logits in memory and skips keys that none of these rows sees
    output = torch.zeros_like(q)
    lse = torch.full(q.shape[:2], -math.inf, dtype=torch.float32, device=q.device)
    kv_heads = k.shape[1]
    q_bounds, kv_bounds = qo_indptr.tolist(), kv_indptr.tolist()
    for b in range(len(q_bounds) - 1):
        q_first, q_last = q_bounds[b], q_bounds[b + 1]
        kv_first, kv_last = kv_bounds[b], kv_bounds[b + 1]
        shift = (kv_last - kv_first) - (q_last - q_first)
        keys = k[kv_first:kv_last].to(torch.float32).permute(1, 2, 0)
        values = v[kv_first:kv_last].to(torch.float32).transpose(0, 1)
        first_seeing = q_first + max(0, -shift)
        for start in range(first_seeing, q_last, rows_at_once):
            stop = min(start + rows_at_once, q_last)
            seen = stop - q_first + shift
            rows = torch.arange(start - q_first, stop - q_first, device=q.device)
            hidden = torch.arange(seen, device=q.device) > (rows + shift).unsqueeze(-1)
            block = q[start:stop].to(torch.float32).unflatten(1, (kv_heads, -1)).permute(1, 2, 0, 3)
            logits = torch.matmul(block, keys[:, None, :, :seen]) * sm_scale
            logits.masked_fill_(hidden, -math.inf)
            sums = torch.logsumexp(logits, dim=-1)
            weights = torch.exp(logits - sums.unsqueeze(-1))
            attended = torch.matmul(weights, values[:, None, :seen])
            output[start:stop] = attended.permute(2, 0, 1, 3).flatten(1, 2).to(q.dtype)
            lse[start:stop] = sums.permute(2, 0, 1).flatten(1, 2) / math.log(2.0)
    return output, lse


QUERY = ("bfloat16", "total_q num_qo_heads head_dim")
KEY = ("bfloat16", "total_kv num_kv_heads head_dim")
INDPTR = ("int32", "len_indptr")

FAMILIES = {
    "gqa_ragged_prefill_causal_h{num_qo_heads}_kv{num_kv_heads}_d{head_dim}": {
        "description": "Causal grouped-query attention over packed sequences of different lengths.",
        "reference": [prefill_causal],
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


TABLE = [
    # trace set, family, sizes of the constant axes, workloads. Fewer keys than queries: the first queries see
    # none; more: every sequence has a prefix that is already in the cache.
    (
        "mini",
        "gqa_ragged_prefill_causal_h{num_qo_heads}_kv{num_kv_heads}_d{head_dim}",
        {"num_qo_heads": 4, "num_kv_heads": 2, "head_dim": 64},
        _prefill(64, (1, 7, 7), (1, 1, 33), (3, 50, 50), (5, 96, 160), (4, 3, 5), (8, 300, 300)),
    ),
]
