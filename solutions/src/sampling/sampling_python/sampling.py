"""Sampling from probabilities cut off by top-k, top-p or both: rows sorted together, one draw for each."""

from __future__ import annotations

import torch


def top_k_sampling(probs: torch.Tensor, top_k: torch.Tensor) -> torch.Tensor:
    ranked, order = probs.sort(dim=-1, descending=True)
    return _drawn(_top_k(ranked, top_k), order)


def top_p_sampling(probs: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    ranked, order = probs.sort(dim=-1, descending=True)
    return _drawn(_top_p(ranked, top_p), order)


def top_k_top_p_sampling(probs: torch.Tensor, top_k: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    ranked, order = probs.sort(dim=-1, descending=True)
    kept = _top_k(ranked, top_k)
    return _drawn(_top_p(kept / kept.sum(dim=-1, keepdim=True), top_p), order)


def _top_k(ranked: torch.Tensor, top_k: torch.Tensor) -> torch.Tensor:
    rank = torch.arange(ranked.shape[-1], device=ranked.device)
    limit = torch.where(top_k > 0, top_k, ranked.shape[-1])
    return torch.where(rank < limit.unsqueeze(-1), ranked, 0.0)


def _top_p(ranked: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    limit = top_p.unsqueeze(-1)
    total = ranked.cumsum(dim=-1)
    stays = torch.ones_like(ranked, dtype=torch.bool)
    stays[:, 1:] = (total[:, :-1] <= limit) | (limit >= 1)
    return torch.where(stays, ranked, 0.0)


def _drawn(weights: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    if weights.shape[0] == 0:
        return order.new_empty(0)
    return order.gather(1, torch.multinomial(weights, 1)).squeeze(1)
