"""Paged causal grouped-query attention, one sequence at a time."""

from __future__ import annotations

from itertools import pairwise

import torch

from .causal import attend_causal
from .pages import token_slots


def prefill_tokens(
    q: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    qo_indptr: torch.Tensor,
    kv_indptr: torch.Tensor,
    kv_indices: torch.Tensor,
    sm_scale: float,
    output: torch.Tensor,
    lse: torch.Tensor,
) -> None:
    """Pages of one token."""
    _prefill(q, k_cache, v_cache, qo_indptr, kv_indptr, kv_indices, None, sm_scale, output, lse)


def prefill_pages(
    q: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    qo_indptr: torch.Tensor,
    kv_indptr: torch.Tensor,
    kv_indices: torch.Tensor,
    kv_last_page_len: torch.Tensor,
    sm_scale: float,
    output: torch.Tensor,
    lse: torch.Tensor,
) -> None:
    """Pages of several tokens, the last one of a sequence part-filled."""
    _prefill(q, k_cache, v_cache, qo_indptr, kv_indptr, kv_indices, kv_last_page_len, sm_scale, output, lse)


def _prefill(
    q: torch.Tensor,
    k_cache: torch.Tensor,
    v_cache: torch.Tensor,
    qo_indptr: torch.Tensor,
    kv_indptr: torch.Tensor,
    kv_indices: torch.Tensor,
    last_page_len: torch.Tensor | None,
    sm_scale: float,
    output: torch.Tensor,
    lse: torch.Tensor,
) -> None:
    keys, values = k_cache.flatten(0, 1), v_cache.flatten(0, 1)
    slots_of = token_slots(kv_indptr, kv_indices, last_page_len, k_cache.shape[1])
    for bounds, slots in zip(pairwise(qo_indptr.tolist()), slots_of, strict=True):
        rows = slice(*bounds)
        attend_causal(q[rows], keys[slots], values[slots], sm_scale, output[rows], lse[rows])
