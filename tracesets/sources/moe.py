"""Mixture-of-experts layers."""

from __future__ import annotations

import torch


def route(logits: torch.Tensor, bias: torch.Tensor, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose 8 of the experts of 4 of 8 groups for each token; return (weights, experts), both [tokens, 8].

    ``s = sigmoid(logits)``. Groups are ranked by the sum of their two largest ``s + bias``, the experts of
    the 4 best groups by ``s + bias``. Weights are ``s`` of the chosen, normalised to sum 1, times ``scale``.
    """
    scores = torch.sigmoid(logits.to(torch.float32))
    biased = scores + bias.to(torch.float32)
    grouped = biased.unflatten(1, (8, -1))
    groups = grouped.topk(2, dim=-1).values.sum(dim=-1).topk(4, dim=-1).indices
    excluded = torch.ones_like(grouped[..., 0], dtype=torch.bool).scatter_(1, groups, False)
    allowed = grouped.masked_fill(excluded.unsqueeze(-1), float("-inf")).flatten(1)
    experts = allowed.topk(8, dim=-1).indices
    weights = scores.gather(1, experts)
    return weights * (scale / (weights.sum(dim=-1, keepdim=True) + 1e-20)), experts


def dequantise(blocks: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Multiply each 128 by 128 block of an fp8 matrix by its scale [m / 128, n / 128]; float32 [m, n]."""
    tiles = blocks.to(torch.float32).unflatten(1, (-1, 128)).unflatten(0, (-1, 128))
    return (tiles * scale[:, None, :, None]).flatten(0, 1).flatten(1, 2)


def moe_fp8_block_scale_ds_routing(
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
    """Sum over experts: ``y_t = sum_e w_te * W2_e (silu(gate) * up)`` with ``[up; gate] = W1_e x_t``.

    Routing is DeepSeek-V3's (see ``route``) over all experts; of these, the experts from
    ``local_expert_offset`` on, as many as ``gemm1_weights`` [experts, 2 * intermediate, hidden] holds, are
    computed. Its first half is up, its second gate. ``hidden_states`` [tokens, hidden] has a scale per token
    and 128 channels, stored transposed as [hidden / 128, tokens]; weights have one per 128 by 128 block.
    float32 inside; the output [tokens, hidden] is bfloat16, and zero where no local expert was chosen.
    Source: DeepSeek-AI, DeepSeek-V3 Technical Report, sections 2.1.2 (equations 12 to 16) and 3.3.
    """
    weights, experts = route(routing_logits, routing_bias, routed_scaling_factor)
    local = experts - local_expert_offset
    output = torch.zeros(hidden_states.shape, dtype=torch.float32, device=hidden_states.device)
    for e in range(gemm1_weights.shape[0]):
        tokens, slots = torch.where(local == e)
        if tokens.numel() == 0:
            continue
        blocks = hidden_states[tokens].to(torch.float32).unflatten(1, (-1, 128))
        x = (blocks * hidden_states_scale[:, tokens].T.unsqueeze(-1)).flatten(1)
        up, gate = (x @ dequantise(gemm1_weights[e], gemm1_weights_scale[e]).T).chunk(2, dim=-1)
        activated = torch.nn.functional.silu(gate) * up
        y = activated @ dequantise(gemm2_weights[e], gemm2_weights_scale[e]).T
        output.index_add_(0, tokens, y * weights[tokens, slots].unsqueeze(-1))
    return output.to(torch.bfloat16)


FAMILIES = {
    "moe_fp8_block_scale_ds_routing_topk8_ng8_kg4_e32_h{hidden_size}_i{intermediate_size}": {
        "description": "DeepSeek-V3 mixture of experts, block-scaled fp8: routing and 32 local experts.",
        "reference": [route, dequantise, moe_fp8_block_scale_ds_routing],
        "axes": "seq_len num_experts num_local_experts hidden_size intermediate_size gemm1_out_size "
        "num_hidden_blocks num_intermediate_blocks num_gemm1_out_blocks",
        "inputs": {
            "routing_logits": ("float32", "seq_len num_experts"),
            "routing_bias": ("bfloat16", "num_experts"),
            "hidden_states": ("float8_e4m3fn", "seq_len hidden_size"),
            "hidden_states_scale": ("float32", "num_hidden_blocks seq_len"),
            "gemm1_weights": ("float8_e4m3fn", "num_local_experts gemm1_out_size hidden_size"),
            "gemm1_weights_scale": ("float32", "num_local_experts num_gemm1_out_blocks num_hidden_blocks"),
            "gemm2_weights": ("float8_e4m3fn", "num_local_experts hidden_size intermediate_size"),
            "gemm2_weights_scale": ("float32", "num_local_experts num_hidden_blocks num_intermediate_blocks"),
            "local_expert_offset": ("int32", None),
            "routed_scaling_factor": ("float32", None),
        },
        "outputs": {"output": ("bfloat16", "seq_len hidden_size")},
        "tags": ["quantization:float8_e4m3fn"],
    },
}


def _sizes(hidden: int, intermediate: int) -> dict[str, int]:
    return {
        "num_experts": 256,
        "num_local_experts": 32,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "gemm1_out_size": 2 * intermediate,
        "num_hidden_blocks": hidden // 128,
        "num_intermediate_blocks": intermediate // 128,
        "num_gemm1_out_blocks": 2 * intermediate // 128,
    }


def _tokens(*lengths: int) -> list[dict[str, float]]:
    """Turn numbers of tokens into workloads whose local experts begin at 0, 32, ... 224 in turn."""
    return [
        {"seq_len": length, "local_expert_offset": 32 * (i % 8), "routed_scaling_factor": 2.5}
        for i, length in enumerate(lengths)
    ]


DEEPSEEK = "moe_fp8_block_scale_ds_routing_topk8_ng8_kg4_e32_h{hidden_size}_i{intermediate_size}"

TABLE = [
    # trace set, family, sizes of the constant axes, workloads
    ("mini", DEEPSEEK, _sizes(256, 128), _tokens(1, 7, 16, 33, 64)),
    (
        "mlsys26",
        DEEPSEEK,
        _sizes(7168, 2048),
        _tokens(1, 7, 14, 15, 16, 32, *range(52, 60), 62, 80, 901, 11948, 14107),
    ),
]
