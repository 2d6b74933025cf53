"""Paged latent decode attention: a program takes a part of one sequence, all heads; a second kernel merges parts."""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl

from .latent_attention import load_query, merge, parts_for, step, store_part

MOST_SPLITS = 16
TOKENS_PER_SPLIT = 256  # of a sequence of average length
STEP = 64


@triton.jit
def _decode_kernel(
    q_nope_ptr,
    q_pe_ptr,
    ckv_ptr,
    kpe_ptr,
    indptr_ptr,
    indices_ptr,
    last_page_ptr,
    parts_ptr,
    sums_ptr,
    scale,
    page_size,
    SPLITS: tl.constexpr,
    HEADS: tl.constexpr,
    ROWS: tl.constexpr,
    CKV: tl.constexpr,
    KPE: tl.constexpr,
    STEP: tl.constexpr,
    PART_FILLED: tl.constexpr,
):
    sequence = tl.program_id(0)
    split = tl.program_id(1)
    first = tl.load(indptr_ptr + sequence)
    pages = tl.load(indptr_ptr + sequence + 1) - first
    tokens = pages * page_size
    if PART_FILLED:
        tokens = tl.where(pages > 0, tokens - page_size + tl.load(last_page_ptr + sequence), 0)

    q_nope = load_query(q_nope_ptr, sequence, HEADS, ROWS, CKV)
    q_pe = load_query(q_pe_ptr, sequence, HEADS, ROWS, KPE)
    largest = tl.full((ROWS,), -float("inf"), dtype=tl.float32)
    total = tl.full((ROWS,), 0.0, dtype=tl.float32)
    weighted = tl.full((ROWS, CKV), 0.0, dtype=tl.float32)
    length = tl.cdiv(tokens, SPLITS)
    for start in range(0, length, STEP):
        place = start + tl.arange(0, STEP)
        token = split * length + place
        mine = (place < length) & (token < tokens)
        page = tl.load(indices_ptr + first + token // page_size, mask=mine, other=0).to(tl.int64)
        largest, total, weighted = step(
            q_nope,
            q_pe,
            ckv_ptr,
            kpe_ptr,
            page * page_size + token % page_size,
            mine,
            scale,
            largest,
            total,
            weighted,
            CKV,
            KPE,
        )
    store_part(parts_ptr, sums_ptr, sequence * SPLITS + split, largest, total, weighted, HEADS, ROWS, CKV)


def decode_tokens(
    q_nope: torch.Tensor,
    q_pe: torch.Tensor,
    ckv_cache: torch.Tensor,
    kpe_cache: torch.Tensor,
    kv_indptr: torch.Tensor,
    kv_indices: torch.Tensor,
    sm_scale: float,
    output: torch.Tensor,
    lse: torch.Tensor,
) -> None:
    """Pages of one token."""
    _decode(q_nope, q_pe, ckv_cache, kpe_cache, kv_indptr, kv_indices, None, sm_scale, output, lse)


def decode_pages(
    q_nope: torch.Tensor,
    q_pe: torch.Tensor,
    ckv_cache: torch.Tensor,
    kpe_cache: torch.Tensor,
    kv_indptr: torch.Tensor,
    kv_indices: torch.Tensor,
    kv_last_page_len: torch.Tensor,
    sm_scale: float,
    output: torch.Tensor,
    lse: torch.Tensor,
) -> None:
    """Pages of several tokens, the last one of a sequence part-filled."""
    _decode(
        q_nope, q_pe, ckv_cache, kpe_cache, kv_indptr, kv_indices, kv_last_page_len, sm_scale, output, lse
    )


def _decode(
    q_nope: torch.Tensor,
    q_pe: torch.Tensor,
    ckv_cache: torch.Tensor,
    kpe_cache: torch.Tensor,
    kv_indptr: torch.Tensor,
    kv_indices: torch.Tensor,
    last_page_len: torch.Tensor | None,
    sm_scale: float,
    output: torch.Tensor,
    lse: torch.Tensor,
) -> None:
    batch, heads, dim = q_nope.shape
    page_size = ckv_cache.shape[1]
    average = kv_indices.numel() * page_size // max(1, batch)  # lengths themselves are known to the GPU only
    splits = max(1, min(MOST_SPLITS, average // TOKENS_PER_SPLIT))
    parts, sums = parts_for(q_nope, splits)
    _decode_kernel[(batch, splits)](
        q_nope,
        q_pe,
        ckv_cache,
        kpe_cache,
        kv_indptr,
        kv_indices,
        kv_indptr if last_page_len is None else last_page_len,
        parts,
        sums,
        sm_scale / math.log(2),
        page_size,
        SPLITS=splits,
        HEADS=heads,
        ROWS=max(16, triton.next_power_of_2(heads)),
        CKV=dim,
        KPE=q_pe.shape[2],
        STEP=STEP,
        PART_FILLED=last_page_len is not None,
    )
    merge(parts, sums, output, lse)
