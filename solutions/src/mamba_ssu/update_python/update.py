"""Mamba's selective state update with torch: the states of the batch are gathered, updated and put back."""

from __future__ import annotations

import torch
from torch.nn.functional import softplus


def update(
    state: torch.Tensor,
    x: torch.Tensor,
    dt: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor,
    dt_bias: torch.Tensor,
    state_batch_indices: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences without a slot read and write nothing."""
    chosen = (state_batch_indices >= 0).nonzero().squeeze(1)
    slots = state_batch_indices[chosen].long()
    groups = B.shape[1]
    delta = softplus(dt[chosen].float() + dt_bias.float()).unflatten(
        1, (groups, -1)
    )  # [n, groups, heads each, dim]
    token = x[chosen].float().unflatten(1, (groups, -1))
    decay = torch.exp(delta.unsqueeze(-1) * A.unflatten(0, (groups, -1)))
    states = state[slots].float().unflatten(1, (groups, -1)) * decay
    states += torch.einsum("nghd,ngs->nghds", delta * token, B[chosen].float())
    read = (
        torch.einsum("nghds,ngs->nghd", states, C[chosen].float())
        + D.float().unflatten(0, (groups, -1)) * token
    )

    output, new_state = torch.zeros_like(x), state.clone()
    output[chosen] = read.flatten(1, 2).to(x.dtype)
    new_state[slots] = states.flatten(1, 2).to(state.dtype)
    return output, new_state
