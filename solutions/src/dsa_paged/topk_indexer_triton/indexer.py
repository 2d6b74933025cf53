"""Top-k indexer: a program scores one page of one sequence; torch chooses the best and slots are looked up.

Where to go from here: torch.topk sorts all that it returns, while any order will do; choose by a threshold instead.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl


@triton.jit
def _score_kernel(
    q_ptr,
    numbers_ptr,
    scales_ptr,
    weights_ptr,
    lengths_ptr,
    table_ptr,
    scores_ptr,
    columns,
    HEADS: tl.constexpr,
    ROWS: tl.constexpr,
    DIM: tl.constexpr,
    PAGE: tl.constexpr,
    TOKENS: tl.constexpr,
):
    """scores[b, column * PAGE + t] = sum over heads of w relu(q . k), -inf behind the sequence's end."""
    sequence = tl.program_id(0)
    column = tl.program_id(1)
    token = tl.arange(0, TOKENS)
    left = tl.load(lengths_ptr + sequence) - column * PAGE
    exists = (token < PAGE) & (token < left)
    scores = tl.full((TOKENS,), -float("inf"), dtype=tl.float32)
    if left > 0:
        head = tl.arange(0, ROWS)
        d = tl.arange(0, DIM)
        row = sequence * HEADS + head
        # Numbers of float8 are exact in float16, and so are sums of their products in float32, nearly.
        q = tl.load(q_ptr + row[:, None] * DIM + d[None, :], mask=(head < HEADS)[:, None], other=0.0)
        weights = tl.load(weights_ptr + row, mask=head < HEADS, other=0.0)
        page = tl.load(table_ptr + sequence * columns + column).to(tl.int64)
        # A page is PAGE rows of DIM bytes, then PAGE float32.
        at = numbers_ptr + page * PAGE * (DIM + 4) + token[:, None] * DIM + d[None, :]
        k = tl.load(at, mask=exists[:, None], other=0.0)
        scales = tl.load(
            scales_ptr + page * PAGE * (DIM // 4 + 1) + PAGE * DIM // 4 + token, mask=exists, other=0.0
        )
        products = tl.dot(k.to(tl.float16), tl.trans(q.to(tl.float16))) * scales[:, None]
        summed = tl.sum(tl.maximum(products, 0.0) * weights[None, :], axis=1)
        scores = tl.where(exists, summed, scores)
    tl.store(scores_ptr + (sequence * columns + column) * PAGE + token, scores, mask=token < PAGE)


def topk_indexer(
    q_index_fp8: torch.Tensor,
    k_index_cache_fp8: torch.Tensor,
    weights: torch.Tensor,
    seq_lens: torch.Tensor,
    block_table: torch.Tensor,
    topk_indices: torch.Tensor,
) -> None:
    batch, heads, dim = q_index_fp8.shape
    page_size = k_index_cache_fp8.shape[1]
    columns = block_table.shape[1]
    runs = k_index_cache_fp8.flatten(1)
    scores = torch.empty((batch, columns * page_size), dtype=torch.float32, device=q_index_fp8.device)
    _score_kernel[(batch, columns)](
        q_index_fp8,
        runs.view(torch.float8_e4m3fn),
        runs.view(torch.float32),
        weights,
        seq_lens,
        block_table,
        scores,
        columns,
        HEADS=heads,
        ROWS=max(16, triton.next_power_of_2(heads)),
        DIM=dim,
        PAGE=page_size,
        TOKENS=max(16, triton.next_power_of_2(page_size)),
    )
    count = min(topk_indices.shape[1], scores.shape[1])
    best = scores.topk(count, dim=1).indices
    slots = block_table.gather(1, best // page_size) * page_size + best % page_size
    topk_indices[:, :count] = torch.where(best < seq_lens.unsqueeze(1), slots, -1)
    topk_indices[:, count:] = -1
