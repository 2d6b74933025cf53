"""Mixtures of experts that differ in routing and in scales: tokens sorted by expert, one expert at a time."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch.nn.functional import silu

from .float8 import widened

BLOCK = 128
DEEPSEEK_TOP_K = 8
RENORM_TOP_K = 4  # of the small definitions; the official ones choose 8 or 10

Expert = Callable[[int, torch.Tensor], torch.Tensor]


def ungrouped(
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
    scores = routing_logits.sigmoid()
    experts = (scores + routing_bias.float()).topk(DEEPSEEK_TOP_K, dim=-1, sorted=False).indices
    weights = scores.gather(1, experts)
    weights *= routed_scaling_factor / (weights.sum(dim=-1, keepdim=True) + 1e-20)
    expert = _block_scaled(
        hidden_states,
        hidden_states_scale,
        gemm1_weights,
        gemm1_weights_scale,
        gemm2_weights,
        gemm2_weights_scale,
    )
    return _mixture(hidden_states, weights, experts - local_expert_offset, gemm1_weights.shape[0], expert)


def renorm_block_scaled(
    routing_logits: torch.Tensor,
    hidden_states: torch.Tensor,
    hidden_states_scale: torch.Tensor,
    gemm1_weights: torch.Tensor,
    gemm1_weights_scale: torch.Tensor,
    gemm2_weights: torch.Tensor,
    gemm2_weights_scale: torch.Tensor,
) -> torch.Tensor:
    expert = _block_scaled(
        hidden_states,
        hidden_states_scale,
        gemm1_weights,
        gemm1_weights_scale,
        gemm2_weights,
        gemm2_weights_scale,
    )
    return _mixture(hidden_states, *_renorm(routing_logits), gemm1_weights.shape[0], expert)


def renorm(
    routing_logits: torch.Tensor,
    hidden_states: torch.Tensor,
    gemm1_weights: torch.Tensor,
    gemm2_weights: torch.Tensor,
) -> torch.Tensor:
    expert = _scaled(hidden_states, gemm1_weights, gemm2_weights)
    return _mixture(hidden_states, *_renorm(routing_logits), gemm1_weights.shape[0], expert)


def routed(
    topk_ids: torch.Tensor,
    hidden_states: torch.Tensor,
    gemm1_weights: torch.Tensor,
    gemm2_weights: torch.Tensor,
) -> torch.Tensor:
    weights = (topk_ids << 16).view(torch.float32)  # bfloat16 is the upper half of a float32
    expert = _scaled(hidden_states, gemm1_weights, gemm2_weights)
    return _mixture(hidden_states, weights, topk_ids >> 16, gemm1_weights.shape[0], expert)


def llama4(
    routing_logits: torch.Tensor,
    hidden_states: torch.Tensor,
    gemm1_weights: torch.Tensor,
    gemm2_weights: torch.Tensor,
    routing_bias: torch.Tensor,
) -> torch.Tensor:
    logits, experts = routing_logits.float().max(dim=-1, keepdim=True)
    expert = _scaled(hidden_states * logits.sigmoid(), gemm1_weights, gemm2_weights)
    return _mixture(hidden_states, torch.ones_like(logits), experts, gemm1_weights.shape[0], expert)


def renorm_per_tensor(
    routing_logits: torch.Tensor,
    hidden_states: torch.Tensor,
    gemm1_weights: torch.Tensor,
    output1_scales_scalar: torch.Tensor,
    output1_scales_gate_scalar: torch.Tensor,
    gemm2_weights: torch.Tensor,
    output2_scales_scalar: torch.Tensor,
) -> torch.Tensor:
    scales = torch.stack((output1_scales_scalar, output1_scales_gate_scalar, output2_scales_scalar), dim=1)
    expert = _scaled(widened(hidden_states), gemm1_weights, gemm2_weights, scales)
    return _mixture(hidden_states, *_renorm(routing_logits), gemm1_weights.shape[0], expert)


def llama4_per_tensor(
    routing_logits: torch.Tensor,
    hidden_states: torch.Tensor,
    gemm1_weights: torch.Tensor,
    output1_scales_scalar: torch.Tensor,
    output1_scales_gate_scalar: torch.Tensor,
    gemm2_weights: torch.Tensor,
    output2_scales_scalar: torch.Tensor,
    routing_bias: torch.Tensor,
) -> torch.Tensor:
    logits, experts = routing_logits.float().max(dim=-1, keepdim=True)
    scales = torch.stack((output1_scales_scalar, output1_scales_gate_scalar, output2_scales_scalar), dim=1)
    expert = _scaled(widened(hidden_states) * logits.sigmoid(), gemm1_weights, gemm2_weights, scales)
    return _mixture(hidden_states, torch.ones_like(logits), experts, gemm1_weights.shape[0], expert)


def _renorm(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    chosen, experts = logits.float().topk(RENORM_TOP_K, dim=-1, sorted=False)
    return chosen.softmax(dim=-1), experts


def _scaled(
    x: torch.Tensor, first: torch.Tensor, second: torch.Tensor, scales: torch.Tensor | None = None
) -> Expert:
    """Experts with float32 matrices, or float8 ones that have a scale each for up, gate and result.

    Those are ``scales`` [experts, 3], and ``x`` is float32 then.
    """

    def expert(e: int, tokens: torch.Tensor) -> torch.Tensor:
        if scales is None:
            up, gate = (x[tokens].float() @ first[e].t()).chunk(2, dim=-1)
            return (silu(gate) * up) @ second[e].t()
        up_scale, gate_scale, scale = scales[e]
        up, gate = (x[tokens] @ widened(first[e]).t()).chunk(2, dim=-1)
        return (silu(gate * gate_scale) * up) @ widened(second[e]).t() * (up_scale * scale)

    return expert


def _block_scaled(
    x: torch.Tensor,
    x_scale: torch.Tensor,
    first: torch.Tensor,
    first_scale: torch.Tensor,
    second: torch.Tensor,
    second_scale: torch.Tensor,
) -> Expert:
    def expert(e: int, tokens: torch.Tensor) -> torch.Tensor:
        rows = widened(x[tokens]) * x_scale.t()[tokens].repeat_interleave(BLOCK, 1)
        up, gate = (rows @ _dequantised(first[e], first_scale[e]).t()).chunk(2, dim=-1)
        return (silu(gate) * up) @ _dequantised(second[e], second_scale[e]).t()

    return expert


def _dequantised(codes: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return widened(codes) * scale.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)


def _mixture(
    hidden_states: torch.Tensor, weights: torch.Tensor, experts: torch.Tensor, count: int, expert: Expert
) -> torch.Tensor:
    local = experts.flatten()
    order = local.argsort()
    bounds = torch.arange(count + 1, device=local.device, dtype=local.dtype)
    ends = torch.searchsorted(local[order], bounds).tolist()
    output = torch.zeros(hidden_states.shape, dtype=torch.float32, device=hidden_states.device)
    for e, (first, last) in enumerate(pairwise(ends)):
        if first < last:
            pairs = order[first:last]
            tokens = pairs // experts.shape[1]
            output.index_add_(0, tokens, expert(e, tokens) * weights.flatten()[pairs].unsqueeze(-1))
    return output.bfloat16()
