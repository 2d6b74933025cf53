"""Causal grouped-query attention over packed sequences, one sequence at a time."""

from __future__ import annotations

import math

import torch


def prefill_causal(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    qo_indptr: torch.Tensor,
    kv_indptr: torch.Tensor,
    sm_scale: float,
    output: torch.Tensor,
    lse: torch.Tensor,
) -> None:
    output.zero_()
    lse.fill_(-math.inf)
    queries = qo_indptr.diff().tolist()
    keys = kv_indptr.diff().tolist()
    parts = zip(
        q.split(queries), k.split(keys), v.split(keys), output.split(queries), lse.split(queries), strict=True
    )
    for q_part, k_part, v_part, output_part, lse_part in parts:
        if q_part.shape[0] and k_part.shape[0]:
            _attend(q_part, k_part, v_part, sm_scale, output_part, lse_part)


def _attend(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    sm_scale: float,
    output: torch.Tensor,
    lse: torch.Tensor,
) -> None:
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
