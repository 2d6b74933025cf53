"""Root-mean-square normalisation of a sum, into the tensor that the caller gives."""

from __future__ import annotations

import torch


def fused_add_rmsnorm(
    hidden_states: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor, output: torch.Tensor
) -> None:
    x = torch.add(hidden_states.float(), residual)
    x *= torch.rsqrt(torch.linalg.vecdot(x, x).div_(x.shape[-1]).add_(1e-6)).unsqueeze(-1)
    torch.mul(x, weight, out=x)
    output.copy_(x)
