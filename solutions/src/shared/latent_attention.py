"""Latent attention over chosen slots of a cache, split among programs: steps of a running softmax, and merging."""

from __future__ import annotations

import torch
import triton
import triton.language as tl


@triton.jit
def load_query(q_ptr, row, HEADS: tl.constexpr, ROWS: tl.constexpr, DIM: tl.constexpr):
    """All heads of one query [ROWS, DIM]; rows that are no heads are zero."""
    head = tl.arange(0, ROWS)
    at = q_ptr + (row * HEADS + head)[:, None] * DIM + tl.arange(0, DIM)[None, :]
    return tl.load(at, mask=(head < HEADS)[:, None], other=0.0)


@triton.jit
def step(
    q_nope,
    q_pe,
    ckv_ptr,
    kpe_ptr,
    slots,
    exists,
    scale,
    largest,
    total,
    weighted,
    CKV: tl.constexpr,
    KPE: tl.constexpr,
):
    """Attend to the rows ``slots`` of the cache, where they exist; logits are in base 2 by ``scale``."""
    at = slots.to(tl.int64)[:, None]
    ckv = tl.load(ckv_ptr + at * CKV + tl.arange(0, CKV)[None, :], mask=exists[:, None], other=0.0)
    kpe = tl.load(kpe_ptr + at * KPE + tl.arange(0, KPE)[None, :], mask=exists[:, None], other=0.0)
    products = tl.dot(q_nope, tl.trans(ckv)) + tl.dot(q_pe, tl.trans(kpe))
    logits = tl.where(exists[None, :], products * scale, -float("inf"))
    larger = tl.maximum(largest, tl.max(logits, axis=1))
    base = tl.where(larger == -float("inf"), 0.0, larger)  # nothing seen so far
    shrink = tl.exp2(largest - base)
    weights = tl.exp2(logits - base[:, None])
    total = total * shrink + tl.sum(weights, axis=1)
    weighted = weighted * shrink[:, None] + tl.dot(weights.to(ckv.dtype), ckv)
    return larger, total, weighted


@triton.jit
def store_part(
    parts_ptr,
    sums_ptr,
    part,
    largest,
    total,
    weighted,
    HEADS: tl.constexpr,
    ROWS: tl.constexpr,
    CKV: tl.constexpr,
):
    """Write one split's output and log-sum; a split that saw nothing has 0 and -inf."""
    head = tl.arange(0, ROWS)
    row = part * HEADS + head
    total = tl.where(total > 0, total, 1.0)
    at = parts_ptr + row[:, None] * CKV + tl.arange(0, CKV)[None, :]
    tl.store(at, weighted / total[:, None], mask=(head < HEADS)[:, None])
    tl.store(sums_ptr + row, largest + tl.log2(total), mask=head < HEADS)


@triton.jit
def _merge_kernel(
    parts_ptr,
    sums_ptr,
    output_ptr,
    lse_ptr,
    heads,
    SPLITS: tl.constexpr,
    PLACES: tl.constexpr,
    CKV: tl.constexpr,
):
    query = tl.program_id(0)
    head = tl.program_id(1)
    split = tl.arange(0, PLACES)
    row = (query * SPLITS + split) * heads + head
    sums = tl.load(sums_ptr + row, mask=split < SPLITS, other=-float("inf"))
    largest = tl.max(sums, axis=0)
    weights = tl.exp2(sums - tl.where(largest == -float("inf"), 0.0, largest))
    total = tl.sum(weights, axis=0)
    c = tl.arange(0, CKV)
    parts = tl.load(parts_ptr + row[:, None] * CKV + c[None, :], mask=(split < SPLITS)[:, None], other=0.0)
    total = tl.where(total > 0, total, 1.0)
    merged = tl.sum(parts * weights[:, None], axis=0) / total
    tl.store(output_ptr + (query * heads + head) * CKV + c, merged)
    tl.store(lse_ptr + query * heads + head, largest + tl.log2(total))


def parts_for(q_nope: torch.Tensor, splits: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Room for the outputs [queries, splits, heads, c] and log-sums [queries, splits, heads] of all splits."""
    queries, heads, dim = q_nope.shape
    parts = torch.empty((queries, splits, heads, dim), dtype=torch.float32, device=q_nope.device)
    return parts, torch.empty((queries, splits, heads), dtype=torch.float32, device=q_nope.device)


def merge(parts: torch.Tensor, sums: torch.Tensor, output: torch.Tensor, lse: torch.Tensor) -> None:
    """Combine the splits of each query."""
    queries, splits, heads, dim = parts.shape
    _merge_kernel[(queries, heads)](
        parts,
        sums,
        output,
        lse,
        heads,
        SPLITS=splits,
        PLACES=triton.next_power_of_2(splits),
        CKV=dim,
    )
