"""Root-mean-square normalisation, alone and fused with the residual addition before it."""

from __future__ import annotations

import torch


def rmsnorm(hidden_states: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Normalise each row by its root mean square: ``y = x * rsqrt(mean(x^2) + eps) * w``, eps = 1e-6.

    Computed in float32, returned in the dtype of ``hidden_states`` [batch_size, hidden_size].
    Source: Zhang and Sennrich, Root Mean Square Layer Normalization, NeurIPS 2019, equation 4.
    """
    x = hidden_states.to(torch.float32)
    scale = torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + 1e-6)
    return (x * scale * weight.to(torch.float32)).to(hidden_states.dtype)


def fused_add_rmsnorm(
    hidden_states: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """Normalise ``x = hidden_states + residual``: ``y = x * rsqrt(mean(x^2) + eps) * w``, eps = 1e-6.

    The sum is taken in float32 and not rounded before the norm; the new residual is not an output.
    Source: Zhang and Sennrich, Root Mean Square Layer Normalization, NeurIPS 2019, equation 4.
    """
    x = hidden_states.to(torch.float32) + residual.to(torch.float32)
    scale = torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + 1e-6)
    return (x * scale * weight.to(torch.float32)).to(hidden_states.dtype)


ROWS = ("bfloat16", "batch_size hidden_size")
WEIGHT = ("bfloat16", "hidden_size")

FAMILIES = {
    "rmsnorm_h{hidden_size}": {
        "description": "Root-mean-square normalisation of each row, epsilon 1e-6.",
        "reference": [rmsnorm],
        "axes": "batch_size hidden_size",
        "inputs": {"hidden_states": ROWS, "weight": WEIGHT},
        "outputs": {"output": ROWS},
    },
    "fused_add_rmsnorm_h{hidden_size}": {
        "description": "Root-mean-square normalisation of the sum of two tensors, epsilon 1e-6.",
        "reference": [fused_add_rmsnorm],
        "axes": "batch_size hidden_size",
        "inputs": {"hidden_states": ROWS, "residual": ROWS, "weight": WEIGHT},
        "outputs": {"output": ROWS},
        "tags": ["fused"],
    },
}


def _batches(*sizes: int) -> list[dict[str, int]]:
    return [{"batch_size": size} for size in sizes]


TABLE = [
    # trace set, family, sizes of the constant axes, workloads
    ("mini", "rmsnorm_h{hidden_size}", {"hidden_size": 128}, _batches(1, 7, 16, 33, 64, 250)),
    ("mini", "fused_add_rmsnorm_h{hidden_size}", {"hidden_size": 256}, _batches(1, 7, 16, 33, 128)),
]
