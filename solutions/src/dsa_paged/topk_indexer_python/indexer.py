"""Top-k indexer: scores of whole block tables in one batched product."""

from __future__ import annotations

import math

import torch


def topk_indexer(
    q_index_fp8: torch.Tensor,
    k_index_cache_fp8: torch.Tensor,
    weights: torch.Tensor,
    seq_lens: torch.Tensor,
    block_table: torch.Tensor,
    topk_indices: torch.Tensor,
) -> None:
    topk_indices.fill_(-1)
    num_pages, page_size = k_index_cache_fp8.shape[:2]
    if num_pages == 0:
        return
    pages = block_table.clamp(0, num_pages - 1).long()  # entries behind those that are needed may be anything
    keys = _keys(k_index_cache_fp8, pages, q_index_fp8.shape[-1])
    products = torch.einsum("bhd,bnd->bhn", q_index_fp8.float(), keys).relu_()
    scores = torch.einsum("bh,bhn->bn", weights, products)
    places = torch.arange(scores.shape[1], device=scores.device)
    scores.masked_fill_(places >= seq_lens.unsqueeze(1), -math.inf)
    best = scores.topk(min(topk_indices.shape[1], scores.shape[1]), dim=1).indices
    slots = pages.gather(1, best // page_size) * page_size + best % page_size
    topk_indices[:, : best.shape[1]] = torch.where(best < seq_lens.unsqueeze(1), slots, -1)


def _keys(cache: torch.Tensor, pages: torch.Tensor, dim: int) -> torch.Tensor:
    """The keys [sequences, tokens, dim] of block tables: a page holds its rows of float8, then their scales."""
    numbers_end = cache.shape[1] * dim
    runs = cache.flatten(1)[pages]
    numbers = runs[..., :numbers_end].contiguous().view(torch.float8_e4m3fn)
    scales = runs[..., numbers_end:].contiguous().view(torch.float32)
    return (numbers.float().unflatten(-1, (-1, dim)) * scales.unsqueeze(-1)).flatten(1, 2)
