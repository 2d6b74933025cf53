"""Causal grouped-query attention over packed sequences, one sequence at a time."""

from __future__ import annotations

import torch

from .causal import attend_causal


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
    queries = qo_indptr.diff().tolist()
    keys = kv_indptr.diff().tolist()
    parts = zip(
        q.split(queries), k.split(keys), v.split(keys), output.split(queries), lse.split(queries), strict=True
    )
    for q_part, k_part, v_part, output_part, lse_part in parts:
        attend_causal(q_part, k_part, v_part, sm_scale, output_part, lse_part)
