"""Root-mean-square normalisation, alone and fused with the residual addition before it."""

from __future__ import annotations

from typing import Any

import torch

EPSILON = 1e-6


def rmsnorm(hidden_states: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Normalise each row by its root mean square: ``y = x * rsqrt(mean(x^2) + EPSILON) * w``.

    Computed in float32, returned in the dtype of ``hidden_states`` [batch_size, hidden_size].
    Source: Zhang and Sennrich, Root Mean Square Layer Normalization, NeurIPS 2019, equation 4.
    """
    x = hidden_states.to(torch.float32)
    scale = torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + EPSILON)
    return (x * scale * weight.to(torch.float32)).to(hidden_states.dtype)


def fused_add_rmsnorm(
    hidden_states: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """Normalise ``x = hidden_states + residual``: ``y = x * rsqrt(mean(x^2) + EPSILON) * w``.

    The sum is taken in float32 and not rounded before the norm; the new residual is not an output.
    Source: Zhang and Sennrich, Root Mean Square Layer Normalization, NeurIPS 2019, equation 4.
    """
    x = hidden_states.to(torch.float32) + residual.to(torch.float32)
    scale = torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + EPSILON)
    return (x * scale * weight.to(torch.float32)).to(hidden_states.dtype)


ROWS = ("bfloat16", "batch_size hidden_size")
WEIGHT = ("bfloat16", "hidden_size")


def _rmsnorm(epsilon: float) -> dict[str, Any]:
    return {
        "description": f"Root-mean-square normalisation of each row, epsilon {epsilon:g}.",
        "reference": [rmsnorm],
        "constants": {"EPSILON": epsilon},
        "axes": "batch_size hidden_size",
        "inputs": {"hidden_states": ROWS, "weight": WEIGHT},
        "outputs": {"output": ROWS},
    }


def _fused(epsilon: float) -> dict[str, Any]:
    return {
        "description": f"Root-mean-square normalisation of the sum of two tensors, epsilon {epsilon:g}.",
        "reference": [fused_add_rmsnorm],
        "constants": {"EPSILON": epsilon},
        "axes": "batch_size hidden_size",
        "inputs": {"hidden_states": ROWS, "residual": ROWS, "weight": WEIGHT},
        "outputs": {"output": ROWS},
        "tags": ["fused"],
    }


FAMILIES = {
    # The official definitions of this size are those of Llama 3.1, whose epsilon is not that of the other models.
    "rmsnorm_h4096": _rmsnorm(1e-5),
    "fused_add_rmsnorm_h4096": _fused(1e-5),
    "rmsnorm_h{hidden_size}": _rmsnorm(1e-6),
    "fused_add_rmsnorm_h{hidden_size}": _fused(1e-6),
}


def _batches(*sizes: int) -> list[dict[str, int]]:
    return [{"batch_size": size} for size in sizes]


SERVED = _batches(1, 4, 14, 64, 1024, 8192)

TABLE = [
    # trace set, family, sizes of the constant axes, workloads
    ("mini", "rmsnorm_h{hidden_size}", {"hidden_size": 128}, _batches(1, 7, 16, 33, 100)),
    ("mini", "fused_add_rmsnorm_h{hidden_size}", {"hidden_size": 256}, _batches(1, 7, 33, 128)),
    ("flashinfer", "rmsnorm_h4096", {"hidden_size": 4096}, SERVED),
    ("flashinfer", "rmsnorm_h{hidden_size}", {"hidden_size": 7168}, SERVED),
    ("flashinfer", "fused_add_rmsnorm_h4096", {"hidden_size": 4096}, SERVED),
    ("flashinfer", "fused_add_rmsnorm_h{hidden_size}", {"hidden_size": 7168}, SERVED),
]
