"""Causal attention of one sequence, all heads of a group in one product."""

from __future__ import annotations

import math

import torch


def attend_causal(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    sm_scale: float,
    output: torch.Tensor,
    lse: torch.Tensor,
) -> None:
    """Write output [queries, heads, e] and lse [queries, heads]; k is [keys, kv_heads, d], v [keys, kv_heads, e]."""
    if k.shape[0] == 0:
        output.zero_()
        lse.fill_(-math.inf)
        return
    grouped = q.float().unflatten(1, (k.shape[1], -1))
    logits = torch.einsum("ihgd,jhd->hgij", grouped, k.float()) * sm_scale
    # Row i of nq sees keys up to i + nk - nq: the causal mask, aligned to the lower right corner.
    hidden = torch.ones(logits.shape[-2:], dtype=torch.bool, device=q.device).triu(
        1 + k.shape[0] - q.shape[0]
    )
    logits.masked_fill_(hidden, -math.inf)
    sums = torch.logsumexp(logits, dim=-1)
    weights = torch.exp(logits - sums.unsqueeze(-1)).nan_to_num_(0.0)
    output.copy_(torch.einsum("hgij,jhd->ihgd", weights, v.float()).flatten(1, 2))
    lse.copy_(sums.permute(2, 0, 1).flatten(1) / math.log(2))
