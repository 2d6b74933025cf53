"""Causal grouped-query attention over packed sequences: a program takes a block of queries and one key-value head.

The query heads of a group are further rows of the same block, so that keys and values are read once for all.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl

ROWS = 128  # queries times heads of a group
KEYS = 64  # per step


@triton.jit
def _prefill_kernel(
    q_ptr,
    k_ptr,
    v_ptr,
    qo_indptr_ptr,
    kv_indptr_ptr,
    output_ptr,
    lse_ptr,
    scale,
    kv_heads,
    GROUP: tl.constexpr,
    QUERIES: tl.constexpr,
    ROWS: tl.constexpr,
    DIM: tl.constexpr,
    KEYS: tl.constexpr,
):
    sequence = tl.program_id(0)
    start = tl.program_id(1) * QUERIES
    head = tl.program_id(2)
    q_first = tl.load(qo_indptr_ptr + sequence)
    kv_first = tl.load(kv_indptr_ptr + sequence)
    nq = tl.load(qo_indptr_ptr + sequence + 1) - q_first
    nk = tl.load(kv_indptr_ptr + sequence + 1) - kv_first
    if start < nq:
        r = tl.arange(0, ROWS)
        i = start + r // GROUP
        real = (r < QUERIES * GROUP) & (i < nq)
        d = tl.arange(0, DIM)
        row = ((q_first + i) * kv_heads + head) * GROUP + r % GROUP
        q = tl.load(q_ptr + row[:, None] * DIM + d[None, :], mask=real[:, None], other=0.0)
        seen = i + 1 + nk - nq
        largest = tl.full((ROWS,), -float("inf"), dtype=tl.float32)
        total = tl.full((ROWS,), 0.0, dtype=tl.float32)
        weighted = tl.full((ROWS, DIM), 0.0, dtype=tl.float32)
        for first_key in range(0, tl.minimum(nk, start + QUERIES + nk - nq), KEYS):
            j = first_key + tl.arange(0, KEYS)
            at = ((kv_first + j) * kv_heads + head) * DIM
            k = tl.load(k_ptr + at[:, None] + d[None, :], mask=(j < nk)[:, None], other=0.0)
            visible = (j[None, :] < seen[:, None]) & (j[None, :] < nk)
            logits = tl.where(visible, tl.dot(q, tl.trans(k)) * scale, -float("inf"))
            larger = tl.maximum(largest, tl.max(logits, axis=1))
            base = tl.where(larger == -float("inf"), 0.0, larger)  # rows that see no key at all
            shrink = tl.exp2(largest - base)
            weights = tl.exp2(logits - base[:, None])
            v = tl.load(v_ptr + at[:, None] + d[None, :], mask=(j < nk)[:, None], other=0.0)
            total = total * shrink + tl.sum(weights, axis=1)
            weighted = weighted * shrink[:, None] + tl.dot(weights.to(v.dtype), v)
            largest = larger

        total = tl.where(total > 0, total, 1.0)
        tl.store(output_ptr + row[:, None] * DIM + d[None, :], weighted / total[:, None], mask=real[:, None])
        tl.store(lse_ptr + row, largest + tl.log2(total), mask=real)


def prefill_causal(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    qo_indptr: torch.Tensor,
    kv_indptr: torch.Tensor,
    sm_scale: float,
    output: torch.Tensor,
    lse: torch.Tensor,
) -> None:
    total_q, q_heads, dim = q.shape
    kv_heads = k.shape[1]
    queries = ROWS // (q_heads // kv_heads)
    # The longest sequence is known to the GPU only; programs beyond the end of their sequence return at once.
    grid = (qo_indptr.numel() - 1, triton.cdiv(total_q, queries), kv_heads)
    _prefill_kernel[grid](
        q,
        k,
        v,
        qo_indptr,
        kv_indptr,
        output,
        lse,
        sm_scale / math.log(2),
        kv_heads,
        GROUP=q_heads // kv_heads,
        QUERIES=queries,
        ROWS=ROWS,
        DIM=dim,
        KEYS=KEYS,
    )
