"""DeepSeek-V3 mixture of experts with block-scaled float8 weights: tokens sorted by expert, one expert at a time."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch.nn.functional import silu

from .float8 import widened
from .routing import route

BLOCK = 128


def moe(
    routing_logits: torch.Tensor,
    routing_bias: torch.Tensor,
    hidden_states: torch.Tensor,
    hidden_states_scale: torch.Tensor,
    gemm1_weights: torch.Tensor,
    gemm1_weights_scale: torch.Tensor,
    gemm2_weights: torch.Tensor,
    gemm2_weights_scale: torch.Tensor,
    local_expert_offset: int,
    routed_scaling_factor: float,
) -> torch.Tensor:
    experts, weights = route(routing_logits, routing_bias, routed_scaling_factor)
    local = (experts - local_expert_offset).flatten()
    order = local.argsort()
    count = gemm1_weights.shape[0]
    ends = torch.searchsorted(local[order], torch.arange(count + 1, device=local.device)).tolist()
    output = torch.zeros(hidden_states.shape, dtype=torch.float32, device=hidden_states.device)
    for expert, (first, last) in enumerate(pairwise(ends)):
        if first == last:
            continue
        pairs = order[first:last]
        tokens = pairs // experts.shape[1]
        x = widened(hidden_states[tokens]) * hidden_states_scale.t()[tokens].repeat_interleave(BLOCK, 1)
        up, gate = (x @ _dequantised(gemm1_weights[expert], gemm1_weights_scale[expert]).t()).chunk(2, dim=-1)
        y = (silu(gate) * up) @ _dequantised(gemm2_weights[expert], gemm2_weights_scale[expert]).t()
        output.index_add_(0, tokens, y * weights.flatten()[pairs].unsqueeze(-1))
    return output.bfloat16()


def _dequantised(codes: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return widened(codes) * scale.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)
