"""Paged grouped-query decode attention: one program per sequence and key-value head, with a running softmax."""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl

TOKENS = 128  # per step


@triton.jit
def _decode_kernel(
    q_ptr,
    k_ptr,
    v_ptr,
    indptr_ptr,
    indices_ptr,
    last_page_ptr,
    output_ptr,
    lse_ptr,
    scale,
    page_size,
    kv_heads,
    GROUP: tl.constexpr,
    ROWS: tl.constexpr,
    DIM: tl.constexpr,
    TOKENS: tl.constexpr,
    PART_FILLED: tl.constexpr,
):
    sequence = tl.program_id(0)
    head = tl.program_id(1)
    first = tl.load(indptr_ptr + sequence)
    pages = tl.load(indptr_ptr + sequence + 1) - first
    length = pages * page_size
    if PART_FILLED:
        length = tl.where(pages > 0, length - page_size + tl.load(last_page_ptr + sequence), 0)

    member = tl.arange(0, ROWS)  # query heads of the group; tensor cores want 16 rows
    d = tl.arange(0, DIM)
    query = (sequence * kv_heads + head) * GROUP + member
    real = member < GROUP
    q = tl.load(q_ptr + query[:, None] * DIM + d[None, :], mask=real[:, None], other=0.0)
    largest = tl.full((ROWS,), -float("inf"), dtype=tl.float32)
    total = tl.full((ROWS,), 0.0, dtype=tl.float32)
    weighted = tl.full((ROWS, DIM), 0.0, dtype=tl.float32)
    for start in range(0, length, TOKENS):
        token = start + tl.arange(0, TOKENS)
        exists = token < length
        page = tl.load(indices_ptr + first + token // page_size, mask=exists, other=0).to(tl.int64)
        row = ((page * page_size + token % page_size) * kv_heads + head) * DIM
        k = tl.load(k_ptr + row[:, None] + d[None, :], mask=exists[:, None], other=0.0)
        logits = tl.where(exists[None, :], tl.dot(q, tl.trans(k)) * scale, -float("inf"))
        larger = tl.maximum(largest, tl.max(logits, axis=1))
        shrink = tl.exp2(largest - larger)
        weights = tl.exp2(logits - larger[:, None])
        v = tl.load(v_ptr + row[:, None] + d[None, :], mask=exists[:, None], other=0.0)
        total = total * shrink + tl.sum(weights, axis=1)
        weighted = weighted * shrink[:, None] + tl.dot(weights.to(v.dtype), v)
        largest = larger

    total = tl.where(total > 0, total, 1.0)  # without tokens: output 0 and lse -inf
    tl.store(output_ptr + query[:, None] * DIM + d[None, :], weighted / total[:, None], mask=real[:, None])
    tl.store(lse_ptr + query, largest + tl.log2(total), mask=real)


def decode_tokens(
    q: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    kv_indptr: torch.Tensor,
    kv_indices: torch.Tensor,
    sm_scale: float,
    output: torch.Tensor,
    lse: torch.Tensor,
) -> None:
    """Pages of one token."""
    _decode(q, k_cache, v_cache, kv_indptr, kv_indices, None, sm_scale, output, lse)


def decode_pages(
    q: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    kv_indptr: torch.Tensor,
    kv_indices: torch.Tensor,
    kv_last_page_len: torch.Tensor,
    sm_scale: float,
    output: torch.Tensor,
    lse: torch.Tensor,
) -> None:
    """Pages of several tokens, the last one of a sequence part-filled."""
    _decode(q, k_cache, v_cache, kv_indptr, kv_indices, kv_last_page_len, sm_scale, output, lse)


def _decode(
    q: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    kv_indptr: torch.Tensor,
    kv_indices: torch.Tensor,
    last_page_len: torch.Tensor | None,
    sm_scale: float,
    output: torch.Tensor,
    lse: torch.Tensor,
) -> None:
    _, page_size, kv_heads, dim = k_cache.shape
    group = q.shape[1] // kv_heads
    _decode_kernel[(q.shape[0], kv_heads)](
        q,
        k_cache,
        v_cache,
        kv_indptr,
        kv_indices,
        kv_indptr if last_page_len is None else last_page_len,
        output,
        lse,
        sm_scale / math.log(2),
        page_size,
        kv_heads,
        GROUP=group,
        ROWS=max(16, triton.next_power_of_2(group)),
        DIM=dim,
        TOKENS=TOKENS,
        PART_FILLED=last_page_len is not None,
    )
