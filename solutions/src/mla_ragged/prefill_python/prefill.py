"""Causal multi-head latent attention over packed sequences, one sequence at a time."""

from __future__ import annotations

from itertools import pairwise

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
    bounds = zip(pairwise(qo_indptr.tolist()), pairwise(kv_indptr.tolist()), strict=True)
    for queries, keys in bounds:
        rows, seen = slice(*queries), slice(*keys)
        attend_causal(q[rows], k[seen], v[seen], sm_scale, output[rows], lse[rows])
