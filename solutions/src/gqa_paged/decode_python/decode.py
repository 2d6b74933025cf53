"""Paged grouped-query decode attention: all sequences as one padded batch."""

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
    return _decode(q, k_cache, v_cache, kv_indptr, kv_indices, kv_indptr.diff(), sm_scale)


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
    pages = kv_indptr.diff()
    lengths = torch.where(pages > 0, (pages - 1) * k_cache.shape[1] + kv_last_page_len, 0)
    return _decode(q, k_cache, v_cache, kv_indptr, kv_indices, lengths, sm_scale)


def _decode(
    q: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    kv_indptr: torch.Tensor,
    kv_indices: torch.Tensor,
    lengths: torch.Tensor,
    sm_scale: float,
) -> Pair:
    slots, exists = token_slots(kv_indptr, kv_indices, lengths, k_cache.shape[1])
    keys = k_cache.flatten(0, 1)[slots].float()  # [batch, tokens, kv_heads, dim]
    values = v_cache.flatten(0, 1)[slots].float()
    grouped = q.float().unflatten(1, (keys.shape[2], -1))  # [batch, kv_heads, group, dim]
    logits = torch.einsum("bhgd,bthd->bhgt", grouped, keys) * sm_scale
    logits = logits.masked_fill(~exists[:, None, None, :], -math.inf)
    lse = torch.logsumexp(logits, dim=-1)
    weights = torch.exp(logits - lse.unsqueeze(-1)).nan_to_num(
        0.0
    )  # -inf minus -inf: a sequence without tokens
    output = torch.einsum("bhgt,bthd->bhgd", weights, values)
    return output.flatten(1, 2).to(q.dtype), lse.flatten(1) / math.log(2)
