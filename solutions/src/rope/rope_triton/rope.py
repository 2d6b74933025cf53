"""Rotary position embedding, NeoX pairing: a program takes 32 rows, each one head of one token."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

ROWS = 32


@triton.jit
def _rope_kernel(
    x_ptr, cache_ptr, positions_ptr, y_ptr, rows, heads, width, half, ROWS: tl.constexpr, WIDTH: tl.constexpr
):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    channel = tl.arange(0, WIDTH)
    inside = (row[:, None] < rows) & (channel[None, :] < width)
    # Each rotated channel meets its partner, half a turn away: in the first half with a minus sign.
    is_first, rotated = channel < half, channel < 2 * half
    partner = tl.where(is_first, channel + half, channel - half)
    angle = tl.where(is_first, channel, channel - half)
    at = x_ptr + row[:, None] * width
    x = tl.load(at + channel[None, :], mask=inside, other=0.0).to(tl.float32)
    turning = inside & rotated[None, :]
    other = tl.load(at + partner[None, :], mask=turning, other=0.0).to(tl.float32)
    position = tl.load(positions_ptr + row // heads, mask=row < rows, other=0)
    angle_at = cache_ptr + position[:, None] * 2 * half + angle[None, :]
    cos = tl.load(angle_at, mask=turning, other=1.0)
    sin = tl.load(angle_at + half, mask=turning, other=0.0)
    y = x * cos + other * tl.where(is_first[None, :], -sin, sin)
    tl.store(y_ptr + row[:, None] * width + channel[None, :], y, mask=inside)


def rope(
    q: torch.Tensor,
    k: torch.Tensor,
    cos_sin_cache: torch.Tensor,
    positions: torch.Tensor,
    q_out: torch.Tensor,
    k_out: torch.Tensor,
) -> None:
    half = cos_sin_cache.shape[1] // 2
    for x, y in ((q, q_out), (k, k_out)):
        tokens, heads, width = x.shape
        rows = tokens * heads
        grid = (triton.cdiv(rows, ROWS),)
        if rows > 0:
            sizes = {"ROWS": ROWS, "WIDTH": triton.next_power_of_2(width)}
            _rope_kernel[grid](x, cos_sin_cache, positions, y, rows, heads, width, half, **sizes)
