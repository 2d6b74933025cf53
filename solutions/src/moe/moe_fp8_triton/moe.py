"""DeepSeek-V3 mixture of experts with block-scaled float8 weights: routing in torch, the expert products in Triton.

Nothing is read back to the host: the number of tiles is a bound, and tiles without an expert return at once.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton

from . import kernels
from .routing import CHOSEN, route


class Tiles(NamedTuple):
    """Which pairs of token and expert each tile computes; ``pairs`` are sorted by expert."""

    pairs: torch.Tensor  # [tokens * CHOSEN] int64, token * CHOSEN + rank
    expert: torch.Tensor  # [tiles] int64; the number of experts where a tile has nothing to do
    first: torch.Tensor  # [tiles] int64, where its pairs begin
    ends: torch.Tensor  # [experts] int64, where the pairs of each expert end


def plan(local: torch.Tensor, count: int, tile: int) -> Tiles:
    """Cut the pairs of each of ``count`` experts into tiles; ``local`` [tokens * CHOSEN] are the experts."""
    mine = torch.where((local >= 0) & (local < count), local, count)
    ordered, pairs = mine.sort(stable=True)
    ends = torch.searchsorted(ordered, torch.arange(count, device=local.device), right=True)
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    tile_counts = (ends - starts + tile - 1) // tile
    tile_ends = tile_counts.cumsum(0)
    tiles = torch.arange(min(local.numel() // tile + count, local.numel()), device=local.device)
    expert = torch.searchsorted(tile_ends, tiles, right=True)
    owner = expert.clamp(max=count - 1)
    first = starts[owner] + (tiles - tile_ends[owner] + tile_counts[owner]) * tile
    return Tiles(pairs, expert, first, ends)


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
    output: torch.Tensor,
) -> None:
    tokens, hidden = hidden_states.shape
    count, inner = gemm1_weights.shape[0], gemm1_weights.shape[1] // 2
    tile_m = 16 if tokens <= 512 else 64
    experts, weights = route(routing_logits, routing_bias, routed_scaling_factor)
    tiles = plan((experts - local_expert_offset).flatten(), count, tile_m)
    activated = torch.empty(tokens * CHOSEN, inner, dtype=torch.float32, device=output.device)
    total = torch.zeros(tokens, hidden, dtype=torch.float32, device=output.device)
    sizes = {"EXPERTS": count, "CHOSEN": CHOSEN, "TILE_M": tile_m, "TILE_N": 128}
    kernels.up_and_gate[(tiles.expert.numel(), triton.cdiv(inner, 128))](
        hidden_states,
        hidden_states_scale,
        gemm1_weights,
        gemm1_weights_scale,
        tiles.pairs,
        tiles.expert,
        tiles.first,
        tiles.ends,
        activated,
        tokens,
        hidden,
        inner,
        **sizes,
    )
    kernels.down[(tiles.expert.numel(), triton.cdiv(hidden, 128))](
        activated,
        gemm2_weights,
        gemm2_weights_scale,
        tiles.pairs,
        weights,
        tiles.expert,
        tiles.first,
        tiles.ends,
        total,
        hidden,
        inner,
        **sizes,
    )
    output.copy_(total)
