"""Grouped-query attention of one query per sequence over a paged key-value cache (decode)."""

from __future__ import annotations

import math

import torch


def attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, sm_scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attend from one query q [heads, d] to k and v [n, kv_heads, d], n > 0, in float32.

    Query head h uses key-value head h // (heads / kv_heads). Returns the output [heads, d] and the base-2
    logarithm of the sum of exponentials [heads]: ``lse = log2(sum over j of exp(sm_scale * q . k_j))``.
    """
    kv_heads = k.shape[1]
    grouped = q.to(torch.float32).view(kv_heads, -1, q.shape[-1])
    keys = k.to(torch.float32).permute(1, 2, 0)
    values = v.to(torch.float32).transpose(0, 1)
    logits = torch.bmm(grouped, keys) * sm_scale
    lse = torch.logsumexp(logits, dim=-1)
    output = torch.bmm(torch.exp(logits - lse.unsqueeze(-1)), values)
    return output.flatten(0, 1), lse.flatten() / math.log(2.0)


def decode_single_token_pages(
    q: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    kv_indptr: torch.Tensor,
    kv_indices: torch.Tensor,
    sm_scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Decode attention with pages of one token: ``out_b = softmax(sm_scale * q_b . K_b) V_b``.

    Sequence b reads the cache at ``kv_indices[kv_indptr[b]:kv_indptr[b + 1]]``. A sequence without tokens has
    output 0 and lse -inf. Returns output [batch_size, heads, d] and lse (base 2) [batch_size, heads] float32.
    Sources: Vaswani et al., Attention Is All You Need, equation 1; Ainslie et al., GQA; Kwon et al.,
    Efficient Memory Management for Large Language Model Serving with PagedAttention, section 4.1.
    """
    output = torch.zeros_like(q)
    lse = torch.full(q.shape[:2], -math.inf, dtype=torch.float32, device=q.device)
    bounds = kv_indptr.tolist()
    pages = kv_indices.long()
    for b in range(q.shape[0]):
        first, last = bounds[b], bounds[b + 1]
        if last > first:
            k = k_cache[pages[first:last]].flatten(0, 1)
            v = v_cache[pages[first:last]].flatten(0, 1)
            output[b], lse[b] = attend(q[b], k, v, sm_scale)
    return output, lse


def decode_pages(
    q: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    kv_indptr: torch.Tensor,
    kv_indices: torch.Tensor,
    kv_last_page_len: torch.Tensor,
    sm_scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Decode attention with pages of several tokens: ``out_b = softmax(sm_scale * q_b . K_b) V_b``.

    Sequence b reads the pages ``kv_indices[kv_indptr[b]:kv_indptr[b + 1]]``; all are full but its last one,
    of which the first ``kv_last_page_len[b]`` tokens count. A sequence without pages has output 0, lse -inf.
    Returns output [batch_size, heads, d] and lse (base 2) [batch_size, heads] float32.
    Sources: Vaswani et al., Attention Is All You Need, equation 1; Ainslie et al., GQA; Kwon et al.,
    Efficient Memory Management for Large Language Model Serving with PagedAttention, section 4.1.
    """
    output = torch.zeros_like(q)
    lse = torch.full(q.shape[:2], -math.inf, dtype=torch.float32, device=q.device)
    page_size = k_cache.shape[1]
    bounds = kv_indptr.tolist()
    last_page_len = kv_last_page_len.tolist()
    pages = kv_indices.long()
    for b in range(q.shape[0]):
        first, last = bounds[b], bounds[b + 1]
        if last > first:
            tokens = (last - first - 1) * page_size + last_page_len[b]
            k = k_cache[pages[first:last]].flatten(0, 1)[:tokens]
            v = v_cache[pages[first:last]].flatten(0, 1)[:tokens]
            output[b], lse[b] = attend(q[b], k, v, sm_scale)
    return output, lse


AXES = "batch_size num_qo_heads num_kv_heads head_dim num_pages page_size len_indptr num_kv_indices"
QUERY = ("bfloat16", "batch_size num_qo_heads head_dim")
CACHE = ("bfloat16", "num_pages page_size num_kv_heads head_dim")
PAGES = {
    "q": QUERY,
    "k_cache": CACHE,
    "v_cache": CACHE,
    "kv_indptr": ("int32", "len_indptr"),
    "kv_indices": ("int32", "num_kv_indices"),
}
LAST_PAGE = {"kv_last_page_len": ("int32", "batch_size")}
SCALE = {"sm_scale": ("float32", None)}
COMMON = {
    "axes": AXES,
    "outputs": {"output": QUERY, "lse": ("float32", "batch_size num_qo_heads")},
    "constraints": ["len_indptr == batch_size + 1", "num_kv_indices == kv_indptr[-1].item()"],
    "tags": ["stage:decode"],
}

FAMILIES = {
    "gqa_paged_decode_h{num_qo_heads}_kv{num_kv_heads}_d{head_dim}_ps1": {
        "description": "Grouped-query attention, one query per sequence, paged cache, one token per page.",
        "reference": [attend, decode_single_token_pages],
        "inputs": {**PAGES, **SCALE},
        **COMMON,
    },
    "gqa_paged_decode_h{num_qo_heads}_kv{num_kv_heads}_d{head_dim}_ps{page_size}": {
        "description": "Grouped-query attention, one query per sequence, paged cache, last page part-filled.",
        "reference": [attend, decode_pages],
        "inputs": {**PAGES, **LAST_PAGE, **SCALE},
        **COMMON,
    },
}


def _decode(head_dim: int, *cases: tuple[int, int, int]) -> list[dict[str, float]]:
    """Turn (batch_size, num_pages, num_kv_indices) into workloads."""
    return [
        {
            "batch_size": batch,
            "num_pages": pages,
            "len_indptr": batch + 1,
            "num_kv_indices": indices,
            "sm_scale": 1 / math.sqrt(head_dim),
        }
        for batch, pages, indices in cases
    ]


H4_KV2_D64 = {"num_qo_heads": 4, "num_kv_heads": 2, "head_dim": 64}

TABLE = [
    # trace set, family, sizes of the constant axes, workloads. With more indices than pages sequences share
    # pages; with fewer indices than sequences some sequences are empty.
    (
        "mini",
        "gqa_paged_decode_h{num_qo_heads}_kv{num_kv_heads}_d{head_dim}_ps1",
        {**H4_KV2_D64, "page_size": 1},
        _decode(64, (1, 16, 9), (3, 64, 40), (5, 8, 3), (7, 512, 500), (16, 512, 700), (4, 1024, 1024)),
    ),
    (
        "mini",
        "gqa_paged_decode_h{num_qo_heads}_kv{num_kv_heads}_d{head_dim}_ps{page_size}",
        {**H4_KV2_D64, "page_size": 16},
        _decode(64, (1, 4, 1), (3, 16, 9), (5, 8, 3), (8, 64, 60), (16, 32, 48)),
    ),
]
