"""Mixture-of-experts layers: one computation of experts, several ways of routing and of storing weights."""

from __future__ import annotations

from typing import Any

import torch

GROUPS, KEPT_GROUPS, TOP_K = 8, 4, 8


def route(logits: torch.Tensor, bias: torch.Tensor, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose TOP_K experts, of KEPT_GROUPS out of GROUPS groups, for each token: (weights, experts).

    ``s = sigmoid(logits)``. Groups are ranked by the sum of their two largest ``s + bias``, the experts of
    the best groups by ``s + bias``. Weights are ``s`` of the chosen, normalised to sum 1, times ``scale``.
    Both results are [tokens, TOP_K].
    """
    scores = torch.sigmoid(logits.to(torch.float32))
    biased = scores + bias.to(torch.float32)
    grouped = biased.unflatten(1, (GROUPS, -1))
    groups = grouped.topk(2, dim=-1).values.sum(dim=-1).topk(KEPT_GROUPS, dim=-1).indices
    excluded = torch.ones_like(grouped[..., 0], dtype=torch.bool).scatter_(1, groups, False)
    allowed = grouped.masked_fill(excluded.unsqueeze(-1), float("-inf")).flatten(1)
    experts = allowed.topk(TOP_K, dim=-1).indices
    weights = scores.gather(1, experts)
    return weights * (scale / (weights.sum(dim=-1, keepdim=True) + 1e-20)), experts


def route_renormalised(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose the TOP_K experts of the largest logits for each token: (weights, experts), [tokens, TOP_K].

    Weights are the softmax over the chosen logits alone, so that they sum to 1.
    """
    chosen, experts = logits.to(torch.float32).topk(TOP_K, dim=-1)
    return torch.softmax(chosen, dim=-1), experts


def unpack_routing(packed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Split int32 values into (weights, experts): bfloat16 in the low 16 bits, expert number above them."""
    weights = (packed & 0xFFFF).to(torch.int16).view(torch.bfloat16)
    return weights.to(torch.float32), packed >> 16


def assign(
    weights: torch.Tensor, experts: torch.Tensor, count: int
) -> list[tuple[int, torch.Tensor, torch.Tensor]]:
    """List the experts in [0, count) that any token chose, with these tokens [n] and their weights [n, 1]."""
    chosen = []
    for e in range(count):
        tokens, slots = torch.where(experts == e)
        if tokens.numel() > 0:
            chosen.append((e, tokens, weights[tokens, slots].unsqueeze(-1)))
    return chosen


def expert(x: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Compute ``second (silu(gate) * up)`` with ``[up; gate] = first x`` for each row x, in float32."""
    up, gate = (x @ first.to(torch.float32).T).chunk(2, dim=-1)
    return (torch.nn.functional.silu(gate) * up) @ second.to(torch.float32).T


def dequantise(blocks: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Multiply each 128 by 128 block of an fp8 matrix by its scale [m / 128, n / 128]; float32 [m, n]."""
    tiles = blocks.to(torch.float32).unflatten(1, (-1, 128)).unflatten(0, (-1, 128))
    return (tiles * scale[:, None, :, None]).flatten(0, 1).flatten(1, 2)


def dequantise_tokens(tokens: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Multiply each 128 channels of fp8 tokens [n, hidden] by their scale [hidden / 128, n]; float32."""
    blocks = tokens.to(torch.float32).unflatten(1, (-1, 128))
    return (blocks * scale.T.unsqueeze(-1)).flatten(1)


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
    output = torch.zeros(hidden_states.shape, dtype=torch.float32, device=hidden_states.device)
    for e, tokens, weight in assign(weights, experts - local_expert_offset, gemm1_weights.shape[0]):
        x = dequantise_tokens(hidden_states[tokens], hidden_states_scale[:, tokens])
        first = dequantise(gemm1_weights[e], gemm1_weights_scale[e])
        second = dequantise(gemm2_weights[e], gemm2_weights_scale[e])
        output.index_add_(0, tokens, expert(x, first, second) * weight)
    return output.to(torch.bfloat16)


def moe_fp8_block_scale_renorm(
    routing_logits: torch.Tensor,
    hidden_states: torch.Tensor,
    hidden_states_scale: torch.Tensor,
    gemm1_weights: torch.Tensor,
    gemm1_weights_scale: torch.Tensor,
    gemm2_weights: torch.Tensor,
    gemm2_weights_scale: torch.Tensor,
) -> torch.Tensor:
    """Sum over experts: ``y_t = sum_e w_te * W2_e (silu(gate) * up)`` with ``[up; gate] = W1_e x_t``.

    Weights are the softmax over the TOP_K largest logits of a token. ``gemm1_weights`` is [experts, 2 *
    intermediate, hidden], up before gate. ``hidden_states`` [tokens, hidden] has a scale per token and 128
    channels, stored transposed as [hidden / 128, tokens]; weights have one per 128 by 128 block. float32
    inside, bfloat16 out. Sources: Jiang et al., Mixtral of Experts, section 2.1, for the routing and the sum;
    DeepSeek-AI, DeepSeek-V3 Technical Report, section 3.3, for the scales.
    """
    weights, experts = route_renormalised(routing_logits)
    output = torch.zeros(hidden_states.shape, dtype=torch.float32, device=hidden_states.device)
    for e, tokens, weight in assign(weights, experts, gemm1_weights.shape[0]):
        x = dequantise_tokens(hidden_states[tokens], hidden_states_scale[:, tokens])
        first = dequantise(gemm1_weights[e], gemm1_weights_scale[e])
        second = dequantise(gemm2_weights[e], gemm2_weights_scale[e])
        output.index_add_(0, tokens, expert(x, first, second) * weight)
    return output.to(torch.bfloat16)


def moe_renorm(
    routing_logits: torch.Tensor,
    hidden_states: torch.Tensor,
    gemm1_weights: torch.Tensor,
    gemm2_weights: torch.Tensor,
) -> torch.Tensor:
    """Sum over experts: ``y_t = sum_e w_te * W2_e (silu(gate) * up)`` with ``[up; gate] = W1_e x_t``.

    Weights w are the softmax over the TOP_K largest logits of a token. ``gemm1_weights`` is [experts, 2 *
    intermediate, hidden], up before gate; the weights of experts are float32 and carry the values that a
    4-bit kernel would store. float32 inside, bfloat16 out.
    Source: Jiang et al., Mixtral of Experts, section 2.1.
    """
    weights, experts = route_renormalised(routing_logits)
    output = torch.zeros(hidden_states.shape, dtype=torch.float32, device=hidden_states.device)
    for e, tokens, weight in assign(weights, experts, gemm1_weights.shape[0]):
        x = hidden_states[tokens].to(torch.float32)
        output.index_add_(0, tokens, expert(x, gemm1_weights[e], gemm2_weights[e]) * weight)
    return output.to(torch.bfloat16)


def moe_llama4(
    routing_logits: torch.Tensor,
    hidden_states: torch.Tensor,
    gemm1_weights: torch.Tensor,
    gemm2_weights: torch.Tensor,
    routing_bias: torch.Tensor,
) -> torch.Tensor:
    """One expert per token: ``y_t = W2_e (silu(gate) * up)`` with ``[up; gate] = W1_e (w_t x_t)``.

    e is the expert of the largest logit and ``w_t = sigmoid`` of that logit, which scales the expert's input
    and not its output; ``routing_bias`` has no effect. ``gemm1_weights`` is [experts, 2 * intermediate,
    hidden], up before gate; the weights of experts are float32 and carry the values that a 4-bit kernel would
    store. float32 inside, bfloat16 out. Source: Meta AI, reference implementation of Llama 4.
    """
    logits, experts = routing_logits.to(torch.float32).max(dim=-1, keepdim=True)
    output = torch.zeros(hidden_states.shape, dtype=torch.float32, device=hidden_states.device)
    for e, tokens, weight in assign(torch.sigmoid(logits), experts, gemm1_weights.shape[0]):
        x = hidden_states[tokens].to(torch.float32) * weight
        output[tokens] = expert(x, gemm1_weights[e], gemm2_weights[e])
    return output.to(torch.bfloat16)


def moe_routed(
    topk_ids: torch.Tensor,
    hidden_states: torch.Tensor,
    gemm1_weights: torch.Tensor,
    gemm2_weights: torch.Tensor,
) -> torch.Tensor:
    """Sum over experts: ``y_t = sum_e w_te * W2_e (silu(gate) * up)`` with ``[up; gate] = W1_e x_t``.

    The routing is given: ``topk_ids`` [tokens, top_k] holds the expert's number in its upper 16 bits and the
    weight, a bfloat16, in the lower ones. ``gemm1_weights`` is [experts, 2 * intermediate, hidden], up before
    gate; the weights of experts are float32 and carry the values that a 4-bit kernel would store. float32
    inside, bfloat16 out. Source: Jiang et al., Mixtral of Experts, section 2.1.
    """
    weights, experts = unpack_routing(topk_ids)
    output = torch.zeros(hidden_states.shape, dtype=torch.float32, device=hidden_states.device)
    for e, tokens, weight in assign(weights, experts, gemm1_weights.shape[0]):
        x = hidden_states[tokens].to(torch.float32)
        output.index_add_(0, tokens, expert(x, gemm1_weights[e], gemm2_weights[e]) * weight)
    return output.to(torch.bfloat16)


def scaled_expert(
    x: torch.Tensor,
    first: torch.Tensor,
    up_scale: torch.Tensor,
    gate_scale: torch.Tensor,
    second: torch.Tensor,
    scale: torch.Tensor,
) -> torch.Tensor:
    """Compute an fp8 expert with one scale per product: ``scale * second (silu(gate_scale * g) * up_scale * u)``.

    ``[u; g] = first x`` for each row x, in float32.
    """
    up, gate = (x @ first.to(torch.float32).T).chunk(2, dim=-1)
    activated = torch.nn.functional.silu(gate * gate_scale) * (up * up_scale)
    return (activated @ second.to(torch.float32).T) * scale


def moe_fp8_per_tensor_renorm(
    routing_logits: torch.Tensor,
    hidden_states: torch.Tensor,
    gemm1_weights: torch.Tensor,
    output1_scales_scalar: torch.Tensor,
    output1_scales_gate_scalar: torch.Tensor,
    gemm2_weights: torch.Tensor,
    output2_scales_scalar: torch.Tensor,
) -> torch.Tensor:
    """Sum over experts: ``y_t = sum_e w_te * s2_e * W2_e (silu(sg_e * g) * s1_e * u)``, ``[u; g] = W1_e x_t``.

    Weights w are the softmax over the TOP_K largest logits of a token. Each expert has the scales s1, sg and
    s2: ``output1_scales_scalar``, ``output1_scales_gate_scalar`` and ``output2_scales_scalar`` [experts].
    float32 inside, bfloat16 out. Source: Jiang et al., Mixtral of Experts, section 2.1.
    """
    weights, experts = route_renormalised(routing_logits)
    output = torch.zeros(hidden_states.shape, dtype=torch.float32, device=hidden_states.device)
    for e, tokens, weight in assign(weights, experts, gemm1_weights.shape[0]):
        y = scaled_expert(
            hidden_states[tokens].to(torch.float32),
            gemm1_weights[e],
            output1_scales_scalar[e],
            output1_scales_gate_scalar[e],
            gemm2_weights[e],
            output2_scales_scalar[e],
        )
        output.index_add_(0, tokens, y * weight)
    return output.to(torch.bfloat16)


def moe_fp8_per_tensor_llama4(
    routing_logits: torch.Tensor,
    hidden_states: torch.Tensor,
    gemm1_weights: torch.Tensor,
    output1_scales_scalar: torch.Tensor,
    output1_scales_gate_scalar: torch.Tensor,
    gemm2_weights: torch.Tensor,
    output2_scales_scalar: torch.Tensor,
    routing_bias: torch.Tensor,
) -> torch.Tensor:
    """One expert per token: ``y_t = s2_e * W2_e (silu(sg_e * g) * s1_e * u)`` with ``[u; g] = W1_e (w_t x_t)``.

    e is the expert of the largest logit and ``w_t = sigmoid`` of that logit, which scales the expert's input
    and not its output; ``routing_bias`` has no effect. Each expert has the scales s1, sg and s2:
    ``output1_scales_scalar``, ``output1_scales_gate_scalar`` and ``output2_scales_scalar`` [experts].
    float32 inside, bfloat16 out. Source: Meta AI, reference implementation of Llama 4.
    """
    logits, experts = routing_logits.to(torch.float32).max(dim=-1, keepdim=True)
    output = torch.zeros(hidden_states.shape, dtype=torch.float32, device=hidden_states.device)
    for e, tokens, weight in assign(torch.sigmoid(logits), experts, gemm1_weights.shape[0]):
        output[tokens] = scaled_expert(
            hidden_states[tokens].to(torch.float32) * weight,
            gemm1_weights[e],
            output1_scales_scalar[e],
            output1_scales_gate_scalar[e],
            gemm2_weights[e],
            output2_scales_scalar[e],
        )
    return output.to(torch.bfloat16)


FP8_TOKENS = {"hidden_states": ("float8_e4m3fn", "seq_len hidden_size")}
BF16_TOKENS = {"hidden_states": ("bfloat16", "seq_len hidden_size")}
BLOCK_SCALED = {
    **FP8_TOKENS,
    "hidden_states_scale": ("float32", "num_hidden_blocks seq_len"),
    "gemm1_weights": ("float8_e4m3fn", "num_local_experts gemm1_out_size hidden_size"),
    "gemm1_weights_scale": ("float32", "num_local_experts num_gemm1_out_blocks num_hidden_blocks"),
    "gemm2_weights": ("float8_e4m3fn", "num_local_experts hidden_size intermediate_size"),
    "gemm2_weights_scale": ("float32", "num_local_experts num_hidden_blocks num_intermediate_blocks"),
}
DEEPSEEK_INPUTS = {
    "routing_logits": ("float32", "seq_len num_experts"),
    "routing_bias": ("bfloat16", "num_experts"),
    **BLOCK_SCALED,
    "local_expert_offset": ("int32", None),
    "routed_scaling_factor": ("float32", None),
}
LOGITS = {"routing_logits": ("bfloat16", "seq_len num_experts")}
BIAS = {"routing_bias": ("bfloat16", "num_experts")}
UNSCALED = {
    **BF16_TOKENS,
    "gemm1_weights": ("float32", "num_experts gemm1_out_size hidden_size"),
    "gemm2_weights": ("float32", "num_experts hidden_size intermediate_size"),
}
PER_TENSOR = {
    **FP8_TOKENS,
    "gemm1_weights": ("float8_e4m3fn", "num_experts gemm1_out_size hidden_size"),
    "output1_scales_scalar": ("float32", "num_experts"),
    "output1_scales_gate_scalar": ("float32", "num_experts"),
    "gemm2_weights": ("float8_e4m3fn", "num_experts hidden_size intermediate_size"),
    "output2_scales_scalar": ("float32", "num_experts"),
}
OUTPUT = {"output": ("bfloat16", "seq_len hidden_size")}
BLOCKS = "num_hidden_blocks num_intermediate_blocks num_gemm1_out_blocks"
MATRICES = "hidden_size intermediate_size gemm1_out_size"
CONSTRAINTS = [
    "gemm1_weights.shape[1] == 2 * intermediate_size",
    "gemm2_weights.shape[1] == hidden_size",
    "gemm2_weights.shape[2] == intermediate_size",
]
FP8 = ["quantization:float8_e4m3fn"]
FP4 = ["quantization:float4_e2m1fn_mxfp4"]
DEEPSEEK_REFERENCE = [
    route,
    assign,
    expert,
    dequantise,
    dequantise_tokens,
    moe_fp8_block_scale_ds_routing,
]
SIZES = "h{hidden_size}_i{intermediate_size}"
DEEPSEEK = "moe_fp8_block_scale_ds_routing_topk8_ng8_kg4_e32_" + SIZES
KIMI = "moe_fp8_block_scale_ds_routing_topk8_ng1_kg1_e{num_local_experts}_" + SIZES
RENORM = "moe_fp8_block_scale_renorm_topk{top_k}_e{num_local_experts}_" + SIZES
FP4_LLAMA4 = "trtllm_fp4_block_scale_moe_topk1_e{num_experts}_" + SIZES
FP4_RENORM = "trtllm_fp4_block_scale_moe_topk{top_k}_e{num_experts}_" + SIZES
FP4_ROUTED = "trtllm_fp4_block_scale_routed_moe_topk{top_k}_e{num_experts}_" + SIZES
FP8_LLAMA4 = "trtllm_fp8_per_tensor_scale_moe_topk1_e{num_experts}_" + SIZES
FP8_RENORM = "trtllm_fp8_per_tensor_scale_moe_topk{top_k}_e{num_experts}_" + SIZES


def _family(
    description: str, reference: list[Any], inputs: dict[str, Any], tags: list[str]
) -> dict[str, Any]:
    """Describe a family whose experts are all there and whose number chosen per token is the axis top_k."""
    return {
        "description": description,
        "reference": reference,
        "constants": {"TOP_K": "top_k"} if route_renormalised in reference else {},
        "axes": f"seq_len num_experts {MATRICES} top_k",
        "inputs": inputs,
        "outputs": OUTPUT,
        "constraints": CONSTRAINTS,
        "tags": tags,
    }


FAMILIES = {
    DEEPSEEK: {
        "description": "DeepSeek-V3 mixture of experts, block-scaled fp8: routing and 32 local experts.",
        "reference": DEEPSEEK_REFERENCE,
        "constants": {"GROUPS": 8, "KEPT_GROUPS": 4, "TOP_K": 8},
        "axes": f"seq_len num_experts num_local_experts {MATRICES} {BLOCKS}",
        "inputs": DEEPSEEK_INPUTS,
        "outputs": OUTPUT,
        "tags": FP8,
    },
    KIMI: {
        "description": "Mixture of experts routed as in DeepSeek-V3 without groups, block-scaled fp8.",
        "reference": DEEPSEEK_REFERENCE,
        "constants": {"GROUPS": 1, "KEPT_GROUPS": 1, "TOP_K": "top_k"},
        "axes": f"seq_len num_experts num_local_experts {MATRICES} top_k {BLOCKS}",
        "inputs": DEEPSEEK_INPUTS,
        "outputs": OUTPUT,
        "constraints": CONSTRAINTS,
        "tags": FP8,
    },
    RENORM: {
        "description": "Mixture of experts weighted by the softmax of the largest logits, block-scaled fp8.",
        "reference": [
            route_renormalised,
            assign,
            expert,
            dequantise,
            dequantise_tokens,
            moe_fp8_block_scale_renorm,
        ],
        "constants": {"TOP_K": "top_k"},
        "axes": f"seq_len num_local_experts {MATRICES} top_k {BLOCKS}",
        "inputs": {"routing_logits": ("bfloat16", "seq_len num_local_experts"), **BLOCK_SCALED},
        "outputs": OUTPUT,
        "constraints": CONSTRAINTS,
        "tags": FP8,
    },
    FP4_LLAMA4: _family(
        "Mixture of experts with one expert per token whose input the router scales, as in Llama 4.",
        [assign, expert, moe_llama4],
        {**LOGITS, **UNSCALED, **BIAS},
        FP4,
    ),
    FP4_RENORM: _family(
        "Mixture of experts weighted by the softmax of the largest logits.",
        [route_renormalised, assign, expert, moe_renorm],
        {**LOGITS, **UNSCALED},
        FP4,
    ),
    FP4_ROUTED: _family(
        "Mixture of experts whose routing is given, packed into integers.",
        [unpack_routing, assign, expert, moe_routed],
        {"topk_ids": ("int32", "seq_len top_k"), **UNSCALED},
        FP4,
    ),
    FP8_LLAMA4: _family(
        "Mixture of experts with one expert per token as in Llama 4, fp8 with scales per expert.",
        [assign, scaled_expert, moe_fp8_per_tensor_llama4],
        {**LOGITS, **PER_TENSOR, **BIAS},
        FP8,
    ),
    FP8_RENORM: _family(
        "Mixture of experts weighted by the softmax of the largest logits, fp8 with scales per expert.",
        [route_renormalised, assign, scaled_expert, moe_fp8_per_tensor_renorm],
        {**LOGITS, **PER_TENSOR},
        FP8,
    ),
}


def _sizes(hidden: int, intermediate: int, top_k: int, experts: int, local: int = 0) -> dict[str, int]:
    return {
        "num_experts": experts,
        "num_local_experts": local or experts,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "gemm1_out_size": 2 * intermediate,
        "top_k": top_k,
        "num_hidden_blocks": hidden // 128,
        "num_intermediate_blocks": intermediate // 128,
        "num_gemm1_out_blocks": 2 * intermediate // 128,
    }


def _offsets(shard: int, shards: int, *lengths: int) -> list[dict[str, float]]:
    """Turn numbers of tokens into workloads whose local experts begin at 0, shard, 2 * shard ... in turn."""
    return [
        {"seq_len": length, "local_expert_offset": shard * (i % shards), "routed_scaling_factor": 2.5}
        for i, length in enumerate(lengths)
    ]


def _tokens(*lengths: int) -> list[dict[str, float]]:
    return [{"seq_len": length} for length in lengths]


CONTEST = (1, 7, 14, 15, 16, 32, *range(52, 60), 62, 80, 901, 11948, 14107)
FEW, MANY = (1, 7, 16, 33), (1, 16, 64, 901, 4096)
SMALL, SERVED = _tokens(*FEW), _tokens(*MANY)

TABLE = [
    # trace set, family, sizes of the constant axes, workloads
    ("mini", DEEPSEEK, _sizes(256, 128, 8, 256, 32), _offsets(32, 8, *FEW)),
    ("mini", KIMI, _sizes(256, 128, 8, 16), _offsets(16, 1, *FEW[:3])),
    ("mini", KIMI, _sizes(256, 128, 8, 48, 12), _offsets(12, 4, 2, 7, 16, 33)),
    ("mini", RENORM, _sizes(128, 256, 4, 8), SMALL),
    ("mini", FP4_RENORM, _sizes(128, 64, 4, 16), SMALL),
    ("mini", FP4_LLAMA4, _sizes(128, 64, 1, 8), SMALL),
    ("mini", FP4_ROUTED, _sizes(128, 64, 4, 16), SMALL),
    ("mini", FP8_RENORM, _sizes(128, 64, 4, 16), SMALL),
    ("mini", FP8_LLAMA4, _sizes(128, 64, 1, 8), SMALL),
    ("flashinfer", KIMI, _sizes(7168, 2048, 8, 384, 48), _offsets(48, 8, *MANY)),
    ("flashinfer", KIMI, _sizes(7168, 2048, 8, 384), _offsets(384, 1, *MANY)),
    ("flashinfer", RENORM, _sizes(2048, 768, 8, 128), SERVED),
    ("flashinfer", RENORM, _sizes(2048, 512, 10, 128), SERVED),
    ("flashinfer", FP4_RENORM, _sizes(2048, 768, 8, 128), SERVED),
    ("flashinfer", FP4_LLAMA4, _sizes(5120, 8192, 1, 16), SERVED),
    ("flashinfer", FP4_ROUTED, _sizes(2048, 768, 8, 128), SERVED),
    ("flashinfer", FP8_RENORM, _sizes(2048, 768, 8, 128), SERVED),
    ("flashinfer", FP8_LLAMA4, _sizes(5120, 8192, 1, 16), SERVED),
    ("mlsys26", DEEPSEEK, _sizes(7168, 2048, 8, 256, 32), _offsets(32, 8, *CONTEST)),
]
