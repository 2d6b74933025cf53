"""Paged grouped-query decode attention, one sequence at a time, one batched product over the key-value heads."""

from __future__ import annotations

import math

import torch

from .pages import token_slots

Pair = tuple[torch.Tensor, torch.Tensor]


def decode_tokens(
    q: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    kv_indptr: torch.Tensor,
    kv_indices: torch.Tensor,
    sm_scale: float,
) -> Pair:
    """Pages of one token."""
    return _decode(q, k_cache, v_cache, kv_indptr, kv_indices, None, sm_scale)


def decode_pages(
    q: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    kv_indptr: torch.Tensor,
    kv_indices: torch.Tensor,
    kv_last_page_len: torch.Tensor,
    sm_scale: float,
) -> Pair:
    """Pages of several tokens, the last one of a sequence part-filled."""
    return _decode(q, k_cache, v_cache, kv_indptr, kv_indices, kv_last_page_len, sm_scale)


def _decode(
    q: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    kv_indptr: torch.Tensor,
    kv_indices: torch.Tensor,
    last_page_len: torch.Tensor | None,
    sm_scale: float,
) -> Pair:
    output = torch.zeros_like(q)
    lse = q.new_full(q.shape[:2], -math.inf, dtype=torch.float32)
    keys, values = k_cache.flatten(0, 1), v_cache.flatten(0, 1)
    queries = (q.float() * sm_scale).unflatten(1, (k_cache.shape[2], -1))  # [batch, kv_heads, group, dim]
    for b, slots in enumerate(token_slots(kv_indptr, kv_indices, last_page_len, k_cache.shape[1])):
        if slots.numel() == 0:
            continue
        logits = torch.einsum("hgd,thd->hgt", queries[b], keys[slots].float())
        sums = logits.logsumexp(-1)
        attended = torch.einsum("hgt,thd->hgd", (logits - sums.unsqueeze(-1)).exp(), values[slots].float())
        output[b] = attended.flatten(0, 1)
        lse[b] = sums.flatten() / math.log(2)
    return output, lse
