"""Sparse latent attention: the rows of all tokens are gathered and attended to in two batched products."""

from __future__ import annotations

import math

import torch


def sparse_attention(
    q_nope: torch.Tensor,
    q_pe: torch.Tensor,
    ckv_cache: torch.Tensor,
    kpe_cache: torch.Tensor,
    sparse_indices: torch.Tensor,
    sm_scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    if ckv_cache.shape[0] == 0:
        return torch.zeros_like(q_nope), q_nope.new_full(q_nope.shape[:2], -math.inf, dtype=torch.float32)
    slots = sparse_indices.clamp(min=0).long()
    latents = ckv_cache.flatten(0, 1)[slots].float()  # [tokens, topk, c]
    positions = kpe_cache.flatten(0, 1)[slots].float()
    logits = torch.einsum("thc,tjc->thj", q_nope.float(), latents)
    logits += torch.einsum("thp,tjp->thj", q_pe.float(), positions)
    logits = (logits * sm_scale).masked_fill((sparse_indices < 0).unsqueeze(1), -math.inf)
    sums = logits.logsumexp(-1)
    weights = (logits - sums.unsqueeze(-1)).exp().nan_to_num(0.0)  # a token without slots has no weights
    return torch.einsum("thj,tjc->thc", weights, latents).to(q_nope.dtype), sums / math.log(2)
