"""Grouped-query attention over a paged key-value cache: one query per sequence (decode), or many (prefill)."""

from __future__ import annotations

import math

import torch

from .shared.attention import attend, attend_causal
from .shared.paging import (
    DECODE,
    INDICES,
    INDPTR,
    LAST_PAGE,
    MINI,
    PREFILL,
    SCALE,
    Cases,
    Families,
    rows,
)


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


def prefill_single_token_pages(
    q: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    qo_indptr: torch.Tensor,
    kv_indptr: torch.Tensor,
    kv_indices: torch.Tensor,
    sm_scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Causal attention with pages of one token: ``out_i = softmax over j <= i + nk - nq of (s q_i . k_j) v_j``.

    Sequence b has the nq queries ``qo_indptr[b]:qo_indptr[b + 1]`` and the nk tokens that lie in the cache at
    ``kv_indices[kv_indptr[b]:kv_indptr[b + 1]]``; s is ``sm_scale``. The last query sees all tokens; one that
    sees none has output 0 and lse -inf. Returns output [total_q, heads, d] and lse (base 2) [total_q, heads].
    Sources: Vaswani et al., Attention Is All You Need, equation 1 and section 3.2.3; Ainslie et al., GQA;
    Kwon et al., Efficient Memory Management for Large Language Model Serving with PagedAttention, section 4.1.
    """
    output = torch.zeros_like(q)
    lse = torch.full(q.shape[:2], -math.inf, dtype=torch.float32, device=q.device)
    q_bounds, kv_bounds = qo_indptr.tolist(), kv_indptr.tolist()
    for b in range(len(q_bounds) - 1):
        rows = slice(q_bounds[b], q_bounds[b + 1])
        pages = kv_indices[kv_bounds[b] : kv_bounds[b + 1]].long()
        k = k_cache[pages].flatten(0, 1)
        v = v_cache[pages].flatten(0, 1)
        output[rows], lse[rows] = attend_causal(q[rows], k, v, sm_scale)
    return output, lse


def prefill_pages(
    q: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    qo_indptr: torch.Tensor,
    kv_indptr: torch.Tensor,
    kv_indices: torch.Tensor,
    kv_last_page_len: torch.Tensor,
    sm_scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Causal attention with pages of several tokens: ``out_i = softmax over j <= i + nk - nq of (s q_i . k_j) v_j``.

    Sequence b has the nq queries ``qo_indptr[b]:qo_indptr[b + 1]`` and the nk tokens in the pages
    ``kv_indices[kv_indptr[b]:kv_indptr[b + 1]]``: all are full but its last one, of which the first
    ``kv_last_page_len[b]`` tokens count; s is ``sm_scale``. The last query sees all tokens; one that sees none
    has output 0 and lse -inf. Returns output [total_q, heads, d] and lse (base 2) [total_q, heads] float32.
    Sources: Vaswani et al., Attention Is All You Need, equation 1 and section 3.2.3; Ainslie et al., GQA;
    Kwon et al., Efficient Memory Management for Large Language Model Serving with PagedAttention, section 4.1.
    """
    output = torch.zeros_like(q)
    lse = torch.full(q.shape[:2], -math.inf, dtype=torch.float32, device=q.device)
    page_size = k_cache.shape[1]
    q_bounds, kv_bounds = qo_indptr.tolist(), kv_indptr.tolist()
    last_page_len = kv_last_page_len.tolist()
    for b in range(len(q_bounds) - 1):
        rows = slice(q_bounds[b], q_bounds[b + 1])
        pages = kv_indices[kv_bounds[b] : kv_bounds[b + 1]].long()
        tokens = max(0, (len(pages) - 1) * page_size + last_page_len[b])
        k = k_cache[pages].flatten(0, 1)[:tokens]
        v = v_cache[pages].flatten(0, 1)[:tokens]
        output[rows], lse[rows] = attend_causal(q[rows], k, v, sm_scale)
    return output, lse


DECODE_AXES = "batch_size num_qo_heads num_kv_heads head_dim num_pages page_size len_indptr num_kv_indices"
PREFILL_AXES = "num_qo_heads num_kv_heads head_dim page_size len_indptr total_q num_kv_indices num_pages"
CACHE = ("bfloat16", "num_pages page_size num_kv_heads head_dim")


def _queries(rows: str) -> dict[str, tuple[str, str]]:
    return {"q": ("bfloat16", f"{rows} num_qo_heads head_dim"), "k_cache": CACHE, "v_cache": CACHE}


def _outputs(rows: str) -> dict[str, tuple[str, str]]:
    return {
        "output": ("bfloat16", f"{rows} num_qo_heads head_dim"),
        "lse": ("float32", f"{rows} num_qo_heads"),
    }


SIZES = "h{num_qo_heads}_kv{num_kv_heads}_d{head_dim}"
DECODE_TOKENS = f"gqa_paged_decode_{SIZES}_ps1"
DECODE_PAGES = f"gqa_paged_decode_{SIZES}_ps{{page_size}}"
PREFILL_TOKENS = f"gqa_paged_prefill_causal_{SIZES}_ps1"
PREFILL_PAGES = f"gqa_paged_prefill_causal_{SIZES}_ps{{page_size}}"

FAMILIES = {
    DECODE_TOKENS: {
        "description": "Grouped-query attention, one query per sequence, paged cache, one token per page.",
        "reference": [attend, decode_single_token_pages],
        "axes": DECODE_AXES,
        "inputs": {**_queries("batch_size"), **INDICES, **SCALE},
        "outputs": _outputs("batch_size"),
        **DECODE,
    },
    DECODE_PAGES: {
        "description": "Grouped-query attention, one query per sequence, paged cache, last page part-filled.",
        "reference": [attend, decode_pages],
        "axes": DECODE_AXES,
        "inputs": {**_queries("batch_size"), **INDICES, **LAST_PAGE, **SCALE},
        "outputs": _outputs("batch_size"),
        **DECODE,
    },
    PREFILL_TOKENS: {
        "description": "Causal grouped-query attention, paged cache, one token per page.",
        "reference": [attend_causal, prefill_single_token_pages],
        "axes": PREFILL_AXES,
        "inputs": {**_queries("total_q"), "qo_indptr": INDPTR, **INDICES, **SCALE},
        "outputs": _outputs("total_q"),
        **PREFILL,
    },
    PREFILL_PAGES: {
        "description": "Causal grouped-query attention, paged cache, last page part-filled.",
        "reference": [attend_causal, prefill_pages],
        "axes": f"{PREFILL_AXES} batch_size",
        "inputs": {**_queries("total_q"), "qo_indptr": INDPTR, **INDICES, **LAST_PAGE, **SCALE},
        "outputs": _outputs("total_q"),
        **PREFILL,
    },
}


H4_KV2_D64 = {"num_qo_heads": 4, "num_kv_heads": 2, "head_dim": 64}
H32_KV8_D128 = {"num_qo_heads": 32, "num_kv_heads": 8, "head_dim": 128}
KINDS = Families(DECODE_TOKENS, DECODE_PAGES, PREFILL_TOKENS, PREFILL_PAGES)
SERVED = Cases(
    decode_tokens=((1, 128, 11), (4, 4096, 2000), (16, 16384, 9000), (64, 65536, 58966)),
    decode_pages=((1, 4, 1), (4, 64, 40), (16, 256, 200), (64, 1024, 960)),
    prefill_tokens=((1, 1, 128, 17), (1, 127, 256, 127), (8, 1000, 4096, 2000), (32, 8192, 16384, 12000)),
    prefill_pages=((1, 1, 4, 1), (1, 127, 8, 2), (8, 1000, 64, 40), (32, 8192, 256, 200)),
)

TABLE = [
    *rows("mini", KINDS, H4_KV2_D64, 16, 1 / math.sqrt(64), MINI),
    *rows("flashinfer", KINDS, H32_KV8_D128, 64, 1 / math.sqrt(128), SERVED),
]
