"""The two grouped matrix products of a mixture of experts with block-scaled float8 weights.

A tile is up to TILE_M (token, expert) pairs of one expert; pairs are sorted by expert. Scales belong to blocks of
128 by 128 weights and of 128 channels of one token, so every product over 128 channels is scaled by itself.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def up_and_gate(
    x_ptr,
    x_scale_ptr,
    w_ptr,
    w_scale_ptr,
    pairs_ptr,
    tile_expert_ptr,
    tile_first_ptr,
    ends_ptr,
    activated_ptr,
    tokens,
    hidden,
    inner,
    EXPERTS: tl.constexpr,
    CHOSEN: tl.constexpr,
    TILE_M: tl.constexpr,
    TILE_N: tl.constexpr,
):
    """activated[pair, n] = silu(gate . x) * (up . x), float32."""
    expert = tl.load(tile_expert_ptr + tl.program_id(0))
    if expert < EXPERTS:
        place = tl.load(tile_first_ptr + tl.program_id(0)) + tl.arange(0, TILE_M)
        real = place < tl.load(ends_ptr + expert)
        token = tl.load(pairs_ptr + place, mask=real, other=0) // CHOSEN
        n = tl.program_id(1) * TILE_N + tl.arange(0, TILE_N)
        k = tl.arange(0, 128)
        up = tl.full((TILE_M, TILE_N), 0.0, dtype=tl.float32)
        gate = tl.full((TILE_M, TILE_N), 0.0, dtype=tl.float32)
        x_at = x_ptr + token[:, None] * hidden + k[None, :]
        up_at = w_ptr + expert * 2 * inner * hidden + n[:, None] * hidden + k[None, :]
        gate_at = up_at + inner * hidden
        up_scale_at = w_scale_ptr + (expert * 2 * inner + n) // 128 * (hidden // 128)
        gate_scale_at = up_scale_at + inner // 128 * (hidden // 128)
        for block in range(hidden // 128):
            x = tl.load(x_at + block * 128, mask=real[:, None], other=0.0)
            x_scale = tl.load(x_scale_ptr + block * tokens + token, mask=real, other=0.0)
            up_product = tl.dot(x, tl.trans(tl.load(up_at + block * 128)))
            gate_product = tl.dot(x, tl.trans(tl.load(gate_at + block * 128)))
            up += up_product * (x_scale[:, None] * tl.load(up_scale_at + block)[None, :])
            gate += gate_product * (x_scale[:, None] * tl.load(gate_scale_at + block)[None, :])
        activated = up * gate / (1.0 + tl.exp(-gate))
        tl.store(activated_ptr + place[:, None] * inner + n[None, :], activated, mask=real[:, None])


@triton.jit
def down(
    activated_ptr,
    w_ptr,
    w_scale_ptr,
    pairs_ptr,
    weights_ptr,
    tile_expert_ptr,
    tile_first_ptr,
    ends_ptr,
    total_ptr,
    hidden,
    inner,
    EXPERTS: tl.constexpr,
    CHOSEN: tl.constexpr,
    TILE_M: tl.constexpr,
    TILE_N: tl.constexpr,
):
    """total[token, n] += weight of the pair * (w . activated), float32."""
    expert = tl.load(tile_expert_ptr + tl.program_id(0))
    if expert < EXPERTS:
        place = tl.load(tile_first_ptr + tl.program_id(0)) + tl.arange(0, TILE_M)
        real = place < tl.load(ends_ptr + expert)
        pair = tl.load(pairs_ptr + place, mask=real, other=0)
        n = tl.program_id(1) * TILE_N + tl.arange(0, TILE_N)
        k = tl.arange(0, 128)
        total = tl.full((TILE_M, TILE_N), 0.0, dtype=tl.float32)
        activated_at = activated_ptr + place[:, None] * inner + k[None, :]
        w_at = w_ptr + expert * hidden * inner + n[:, None] * inner + k[None, :]
        w_scale_at = w_scale_ptr + (expert * hidden + n) // 128 * (inner // 128)
        for block in range(inner // 128):
            activated = tl.load(activated_at + block * 128, mask=real[:, None], other=0.0)
            w = tl.load(w_at + block * 128).to(tl.float32)
            total += tl.dot(activated, tl.trans(w)) * tl.load(w_scale_at + block)[None, :]
        weight = tl.load(weights_ptr + pair, mask=real, other=0.0)
        total_at = total_ptr + (pair // CHOSEN)[:, None] * hidden + n[None, :]
        tl.atomic_add(total_at, total * weight[:, None], mask=real[:, None])
