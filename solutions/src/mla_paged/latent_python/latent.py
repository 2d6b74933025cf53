"""Paged multi-head latent attention, decode and causal prefill, one sequence at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch

from .causal import attend_causal
from .pages import token_slots


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
    """One query per sequence, pages of one token."""
    slots = token_slots(kv_indptr, kv_indices, None, 1)
    _attend(q_nope, q_pe, ckv_cache, kpe_cache, _one_each(q_nope), slots, sm_scale, output, lse)


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
    """One query per sequence, pages of several tokens."""
    slots = token_slots(kv_indptr, kv_indices, kv_last_page_len, ckv_cache.shape[1])
    _attend(q_nope, q_pe, ckv_cache, kpe_cache, _one_each(q_nope), slots, sm_scale, output, lse)


def prefill_tokens(
    q_nope: torch.Tensor,
    q_pe: torch.Tensor,
    ckv_cache: torch.Tensor,
    kpe_cache: torch.Tensor,
    qo_indptr: torch.Tensor,
    kv_indptr: torch.Tensor,
    kv_indices: torch.Tensor,
    sm_scale: float,
    output: torch.Tensor,
    lse: torch.Tensor,
) -> None:
    """Several queries per sequence, pages of one token."""
    slots = token_slots(kv_indptr, kv_indices, None, 1)
    _attend(q_nope, q_pe, ckv_cache, kpe_cache, qo_indptr.tolist(), slots, sm_scale, output, lse)


def prefill_pages(
    q_nope: torch.Tensor,
    q_pe: torch.Tensor,
    ckv_cache: torch.Tensor,
    kpe_cache: torch.Tensor,
    qo_indptr: torch.Tensor,
    kv_indptr: torch.Tensor,
    kv_indices: torch.Tensor,
    kv_last_page_len: torch.Tensor,
    sm_scale: float,
    output: torch.Tensor,
    lse: torch.Tensor,
) -> None:
    """Several queries per sequence, pages of several tokens."""
    slots = token_slots(kv_indptr, kv_indices, kv_last_page_len, ckv_cache.shape[1])
    _attend(q_nope, q_pe, ckv_cache, kpe_cache, qo_indptr.tolist(), slots, sm_scale, output, lse)


def _one_each(q: torch.Tensor) -> list[int]:
    return list(range(q.shape[0] + 1))


def _attend(
    q_nope: torch.Tensor,
    q_pe: torch.Tensor,
    ckv_cache: torch.Tensor,
    kpe_cache: torch.Tensor,
    query_bounds: list[int],
    slots_of: Iterator[torch.Tensor],
    sm_scale: float,
    output: torch.Tensor,
    lse: torch.Tensor,
) -> None:
    q = torch.cat([q_nope, q_pe], dim=-1)
    latents, positions = ckv_cache.flatten(0, 1), kpe_cache.flatten(0, 1)
    for bounds, slots in zip(pairwise(query_bounds), slots_of, strict=True):
        rows = slice(*bounds)
        values = latents[slots].unsqueeze(1)  # one key-value head for all
        keys = torch.cat([values, positions[slots].unsqueeze(1)], dim=-1)
        attend_causal(q[rows], keys, values, sm_scale, output[rows], lse[rows])
