"""DeepSeek-V3 routing with torch."""

from __future__ import annotations

import torch

GROUPS, KEPT_GROUPS, CHOSEN = 8, 4, 8


def route(logits: torch.Tensor, bias: torch.Tensor, factor: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Experts [tokens, 8] of each token and their weights, which sum to ``factor``.

    Groups are ranked by the sum of their two largest biased scores, the experts of the kept groups by the biased
    score; the weights are the scores without bias.
    """
    scores = torch.sigmoid(logits.float())
    biased = (scores + bias.float()).unflatten(1, (GROUPS, -1))
    group_scores = biased.topk(2, dim=-1).values.sum(-1)
    kept = torch.zeros_like(group_scores, dtype=torch.bool)
    kept.scatter_(1, group_scores.topk(KEPT_GROUPS, dim=-1).indices, True)
    candidates = torch.where(kept.unsqueeze(-1), biased, -torch.inf).flatten(1)
    experts = candidates.topk(CHOSEN, dim=-1).indices
    weights = scores.gather(1, experts)
    return experts, weights / (weights.sum(-1, keepdim=True) + 1e-20) * factor
