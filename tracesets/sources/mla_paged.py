"""Multi-head latent attention, absorbed, over a paged cache: one query per sequence (decode), or many (prefill)."""

from __future__ import annotations

import math

import torch

from .shared.attention import attend_causal
from .shared.latent import attend_latent
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
    q_nope: torch.Tensor,
    q_pe: torch.Tensor,
    ckv_cache: torch.Tensor,
    kpe_cache: torch.Tensor,
    kv_indptr: torch.Tensor,
    kv_indices: torch.Tensor,
    sm_scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Latent attention, pages of one token: ``out = softmax over j of (s (q_nope . ckv_j + q_pe . kpe_j)) ckv_j``.

    Sequence b has one query and reads the cache at ``kv_indices[kv_indptr[b]:kv_indptr[b + 1]]``; s is
    ``sm_scale``. A sequence without tokens has output 0 and lse -inf. float32 inside. Returns output
    [batch_size, heads, c] and lse (base 2) [batch_size, heads] float32.
    Sources: DeepSeek-AI, DeepSeek-V2, section 2.1.2 (W_UK absorbed into the query, W_UV left to the caller);
    Kwon et al., Efficient Memory Management for Large Language Model Serving with PagedAttention, section 4.1.
    """
    output = torch.zeros_like(q_nope)
    lse = torch.full(q_nope.shape[:2], -math.inf, dtype=torch.float32, device=q_nope.device)
    bounds = kv_indptr.tolist()
    for b in range(len(bounds) - 1):
        query = slice(b, b + 1)
        pages = kv_indices[bounds[b] : bounds[b + 1]].long()
        ckv = ckv_cache[pages].flatten(0, 1)
        kpe = kpe_cache[pages].flatten(0, 1)
        output[query], lse[query] = attend_latent(q_nope[query], q_pe[query], ckv, kpe, sm_scale)
    return output, lse


def decode_pages(
    q_nope: torch.Tensor,
    q_pe: torch.Tensor,
    ckv_cache: torch.Tensor,
    kpe_cache: torch.Tensor,
    kv_indptr: torch.Tensor,
    kv_indices: torch.Tensor,
    kv_last_page_len: torch.Tensor,
    sm_scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Latent attention, paged: ``out = softmax over j of (s (q_nope . ckv_j + q_pe . kpe_j)) ckv_j``.

    Sequence b has one query and reads the pages ``kv_indices[kv_indptr[b]:kv_indptr[b + 1]]``: all are full but
    its last one, of which the first ``kv_last_page_len[b]`` tokens count; s is ``sm_scale``. A sequence without
    pages has output 0 and lse -inf. float32 inside. Returns output [batch_size, heads, c] and lse (base 2)
    [batch_size, heads] float32.
    Sources: DeepSeek-AI, DeepSeek-V2, section 2.1.2 (W_UK absorbed into the query, W_UV left to the caller);
    Kwon et al., Efficient Memory Management for Large Language Model Serving with PagedAttention, section 4.1.
    """
    output = torch.zeros_like(q_nope)
    lse = torch.full(q_nope.shape[:2], -math.inf, dtype=torch.float32, device=q_nope.device)
    page_size = ckv_cache.shape[1]
    bounds = kv_indptr.tolist()
    last_page_len = kv_last_page_len.tolist()
    for b in range(len(bounds) - 1):
        query = slice(b, b + 1)
        pages = kv_indices[bounds[b] : bounds[b + 1]].long()
        tokens = max(0, (len(pages) - 1) * page_size + last_page_len[b])
        ckv = ckv_cache[pages].flatten(0, 1)[:tokens]
        kpe = kpe_cache[pages].flatten(0, 1)[:tokens]
        output[query], lse[query] = attend_latent(q_nope[query], q_pe[query], ckv, kpe, sm_scale)
    return output, lse


def prefill_single_token_pages(
    q_nope: torch.Tensor,
    q_pe: torch.Tensor,
    ckv_cache: torch.Tensor,
    kpe_cache: torch.Tensor,
    qo_indptr: torch.Tensor,
    kv_indptr: torch.Tensor,
    kv_indices: torch.Tensor,
    sm_scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Causal latent attention, pages of one token: query i of nq attends to the tokens j <= i + nk - nq.

    ``out_i = softmax over j of (sm_scale (q_nope_i . ckv_j + q_pe_i . kpe_j)) ckv_j``. Sequence b has the
    nq queries ``qo_indptr[b]:qo_indptr[b + 1]`` and the nk tokens that lie in the cache at
    ``kv_indices[kv_indptr[b]:kv_indptr[b + 1]]``. A query that sees none has output 0 and lse -inf. float32
    inside. Returns output [total_q, heads, c] and lse (base 2) [total_q, heads] float32.
    Sources: DeepSeek-AI, DeepSeek-V2, section 2.1.2 (W_UK absorbed into the query, W_UV left to the caller);
    Vaswani et al., Attention Is All You Need, section 3.2.3.
    """
    output = torch.zeros_like(q_nope)
    lse = torch.full(q_nope.shape[:2], -math.inf, dtype=torch.float32, device=q_nope.device)
    q_bounds, kv_bounds = qo_indptr.tolist(), kv_indptr.tolist()
    for b in range(len(q_bounds) - 1):
        rows = slice(q_bounds[b], q_bounds[b + 1])
        pages = kv_indices[kv_bounds[b] : kv_bounds[b + 1]].long()
        ckv = ckv_cache[pages].flatten(0, 1)
        kpe = kpe_cache[pages].flatten(0, 1)
        output[rows], lse[rows] = attend_latent(q_nope[rows], q_pe[rows], ckv, kpe, sm_scale)
    return output, lse


def prefill_pages(
    q_nope: torch.Tensor,
    q_pe: torch.Tensor,
    ckv_cache: torch.Tensor,
    kpe_cache: torch.Tensor,
    qo_indptr: torch.Tensor,
    kv_indptr: torch.Tensor,
    kv_indices: torch.Tensor,
    kv_last_page_len: torch.Tensor,
    sm_scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Causal latent attention, paged: query i of nq attends to the tokens j <= i + nk - nq.

    ``out_i = softmax over j of (sm_scale (q_nope_i . ckv_j + q_pe_i . kpe_j)) ckv_j``. Sequence b has the
    nq queries ``qo_indptr[b]:qo_indptr[b + 1]`` and the nk tokens in the pages
    ``kv_indices[kv_indptr[b]:kv_indptr[b + 1]]``: all are full but its last one, of which the first
    ``kv_last_page_len[b]`` tokens count. A query that sees none has output 0 and lse -inf. float32 inside.
    Returns output [total_q, heads, c] and lse (base 2) [total_q, heads] float32.
    Sources: DeepSeek-AI, DeepSeek-V2, section 2.1.2 (W_UK absorbed into the query, W_UV left to the caller);
    Vaswani et al., Attention Is All You Need, section 3.2.3.
    """
    output = torch.zeros_like(q_nope)
    lse = torch.full(q_nope.shape[:2], -math.inf, dtype=torch.float32, device=q_nope.device)
    page_size = ckv_cache.shape[1]
    q_bounds, kv_bounds = qo_indptr.tolist(), kv_indptr.tolist()
    last_page_len = kv_last_page_len.tolist()
    for b in range(len(q_bounds) - 1):
        rows = slice(q_bounds[b], q_bounds[b + 1])
        pages = kv_indices[kv_bounds[b] : kv_bounds[b + 1]].long()
        tokens = max(0, (len(pages) - 1) * page_size + last_page_len[b])
        ckv = ckv_cache[pages].flatten(0, 1)[:tokens]
        kpe = kpe_cache[pages].flatten(0, 1)[:tokens]
        output[rows], lse[rows] = attend_latent(q_nope[rows], q_pe[rows], ckv, kpe, sm_scale)
    return output, lse


DECODE_AXES = (
    "batch_size num_qo_heads head_dim_ckv head_dim_kpe page_size num_pages len_indptr num_kv_indices"
)
PREFILL_AXES = "num_qo_heads head_dim_ckv head_dim_kpe page_size total_q num_pages len_indptr num_kv_indices"


def _queries(rows: str) -> dict[str, tuple[str, str]]:
    return {
        "q_nope": ("bfloat16", f"{rows} num_qo_heads head_dim_ckv"),
        "q_pe": ("bfloat16", f"{rows} num_qo_heads head_dim_kpe"),
        "ckv_cache": ("bfloat16", "num_pages page_size head_dim_ckv"),
        "kpe_cache": ("bfloat16", "num_pages page_size head_dim_kpe"),
    }


def _outputs(rows: str) -> dict[str, tuple[str, str]]:
    return {
        "output": ("bfloat16", f"{rows} num_qo_heads head_dim_ckv"),
        "lse": ("float32", f"{rows} num_qo_heads"),
    }


SIZES = "h{num_qo_heads}_ckv{head_dim_ckv}_kpe{head_dim_kpe}"
DECODE_TOKENS = f"mla_paged_decode_{SIZES}_ps1"
DECODE_PAGES = f"mla_paged_decode_{SIZES}_ps{{page_size}}"
PREFILL_TOKENS = f"mla_paged_prefill_causal_{SIZES}_ps1"
PREFILL_PAGES = f"mla_paged_prefill_causal_{SIZES}_ps{{page_size}}"

FAMILIES = {
    DECODE_TOKENS: {
        "description": "Absorbed latent attention, one query per sequence, paged cache, one token per page.",
        "reference": [attend_causal, attend_latent, decode_single_token_pages],
        "axes": DECODE_AXES,
        "inputs": {**_queries("batch_size"), **INDICES, **SCALE},
        "outputs": _outputs("batch_size"),
        **DECODE,
    },
    DECODE_PAGES: {
        "description": "Absorbed latent attention, one query per sequence, paged cache, last page part-filled.",
        "reference": [attend_causal, attend_latent, decode_pages],
        "axes": DECODE_AXES,
        "inputs": {**_queries("batch_size"), **INDICES, **LAST_PAGE, **SCALE},
        "outputs": _outputs("batch_size"),
        **DECODE,
    },
    PREFILL_TOKENS: {
        "description": "Causal absorbed latent attention, paged cache, one token per page.",
        "reference": [attend_causal, attend_latent, prefill_single_token_pages],
        "axes": PREFILL_AXES,
        "inputs": {**_queries("total_q"), "qo_indptr": INDPTR, **INDICES, **SCALE},
        "outputs": _outputs("total_q"),
        **PREFILL,
    },
    PREFILL_PAGES: {
        "description": "Causal absorbed latent attention, paged cache, last page part-filled.",
        "reference": [attend_causal, attend_latent, prefill_pages],
        "axes": f"{PREFILL_AXES} batch_size",
        "inputs": {**_queries("total_q"), "qo_indptr": INDPTR, **INDICES, **LAST_PAGE, **SCALE},
        "outputs": _outputs("total_q"),
        **PREFILL,
    },
}


DEEPSEEK_SCALE = 0.1352337788608801  # 1 / sqrt(128 + 64), times the square of YaRN's factor for long contexts
H4 = {"num_qo_heads": 4, "head_dim_ckv": 64, "head_dim_kpe": 16}
H16 = {"num_qo_heads": 16, "head_dim_ckv": 512, "head_dim_kpe": 64}
KINDS = Families(DECODE_TOKENS, DECODE_PAGES, PREFILL_TOKENS, PREFILL_PAGES)
SERVED = Cases(
    decode_tokens=((1, 128, 8), (4, 8192, 4000), (16, 65536, 20000), (64, 131072, 75145)),
    decode_pages=((1, 4, 1), (4, 128, 64), (16, 1024, 320), (64, 2048, 1200)),
    prefill_tokens=((1, 1, 128, 5), (1, 33, 128, 34), (8, 1000, 8192, 2000), (32, 8192, 32768, 17759)),
    prefill_pages=((1, 1, 4, 1), (1, 33, 8, 1), (8, 1000, 128, 40), (32, 8192, 512, 290)),
)

TABLE = [
    *rows("mini", KINDS, H4, 16, DEEPSEEK_SCALE, MINI),
    *rows("flashinfer", KINDS, H16, 64, DEEPSEEK_SCALE, SERVED),
]
