"""Sparse latent attention: a program takes a part of one token's slots and all heads; a second kernel merges parts.

Where to go from here: skip parts that hold no slot, load rows asynchronously while the last ones are multiplied.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl

from .latent_attention import load_query, merge, parts_for, step, store_part

MOST_SPLITS = 16
LEAST_SLOTS = 32  # per split
MOST_STEP = 64  # slots per step


@triton.jit
def _attention_kernel(
    q_nope_ptr,
    q_pe_ptr,
    ckv_ptr,
    kpe_ptr,
    indices_ptr,
    parts_ptr,
    sums_ptr,
    scale,
    topk,
    length,
    SPLITS: tl.constexpr,
    HEADS: tl.constexpr,
    ROWS: tl.constexpr,
    CKV: tl.constexpr,
    KPE: tl.constexpr,
    STEP: tl.constexpr,
):
    token = tl.program_id(0)
    split = tl.program_id(1)
    q_nope = load_query(q_nope_ptr, token, HEADS, ROWS, CKV)
    q_pe = load_query(q_pe_ptr, token, HEADS, ROWS, KPE)
    largest = tl.full((ROWS,), -float("inf"), dtype=tl.float32)
    total = tl.full((ROWS,), 0.0, dtype=tl.float32)
    weighted = tl.full((ROWS, CKV), 0.0, dtype=tl.float32)
    for start in range(0, length, STEP):
        place = start + tl.arange(0, STEP)
        mine = (place < length) & (split * length + place < topk)
        slots = tl.load(indices_ptr + token * topk + split * length + place, mask=mine, other=-1)
        largest, total, weighted = step(
            q_nope, q_pe, ckv_ptr, kpe_ptr, slots, slots >= 0, scale, largest, total, weighted, CKV, KPE
        )
    store_part(parts_ptr, sums_ptr, token * SPLITS + split, largest, total, weighted, HEADS, ROWS, CKV)


def sparse_attention(
    q_nope: torch.Tensor,
    q_pe: torch.Tensor,
    ckv_cache: torch.Tensor,
    kpe_cache: torch.Tensor,
    sparse_indices: torch.Tensor,
    sm_scale: float,
    output: torch.Tensor,
    lse: torch.Tensor,
) -> None:
    tokens, heads, dim = q_nope.shape
    topk = sparse_indices.shape[1]
    splits = max(1, min(MOST_SPLITS, topk // LEAST_SLOTS))
    length = triton.cdiv(topk, splits)
    parts, sums = parts_for(q_nope, splits)
    _attention_kernel[(tokens, splits)](
        q_nope,
        q_pe,
        ckv_cache,
        kpe_cache,
        sparse_indices,
        parts,
        sums,
        sm_scale / math.log(2),
        topk,
        length,
        SPLITS=splits,
        HEADS=heads,
        ROWS=max(16, triton.next_power_of_2(heads)),
        CKV=dim,
        KPE=q_pe.shape[2],
        STEP=max(16, min(MOST_STEP, triton.next_power_of_2(length))),
    )
    merge(parts, sums, output, lse)
