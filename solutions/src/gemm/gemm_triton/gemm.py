"""C = A B^T in float16 with float32 accumulation, tiled; the tile is tuned on a GPU."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

TILES = [
    triton.Config({"TILE_M": 64, "TILE_N": 128, "TILE_K": 64}, num_warps=4, num_stages=3),
    triton.Config({"TILE_M": 16, "TILE_N": 64, "TILE_K": 128}, num_warps=4, num_stages=4),
    triton.Config({"TILE_M": 128, "TILE_N": 128, "TILE_K": 64}, num_warps=8, num_stages=3),
]


@triton.autotune(configs=TILES, key=["m", "n", "k"])
@triton.jit
def _gemm_kernel(
    a_ptr, b_ptr, c_ptr, m, n, k, TILE_M: tl.constexpr, TILE_N: tl.constexpr, TILE_K: tl.constexpr
):
    row = tl.program_id(0) * TILE_M + tl.arange(0, TILE_M)
    column = tl.program_id(1) * TILE_N + tl.arange(0, TILE_N)
    inner = tl.arange(0, TILE_K)
    total = tl.zeros((TILE_M, TILE_N), dtype=tl.float32)
    for start in range(0, k, TILE_K):
        at = start + inner
        a = tl.load(
            a_ptr + row[:, None] * k + at[None, :], mask=(row[:, None] < m) & (at[None, :] < k), other=0.0
        )
        b = tl.load(
            b_ptr + column[:, None] * k + at[None, :],
            mask=(column[:, None] < n) & (at[None, :] < k),
            other=0.0,
        )
        total = tl.dot(a, tl.trans(b), total)
    inside = (row[:, None] < m) & (column[None, :] < n)
    tl.store(c_ptr + row[:, None] * n + column[None, :], total.to(tl.float16), mask=inside)


def gemm(A: torch.Tensor, B: torch.Tensor, C: torch.Tensor) -> None:
    (m, k), n = A.shape, B.shape[0]

    def grid(tile: dict[str, int]) -> tuple[int, int]:
        return triton.cdiv(m, tile["TILE_M"]), triton.cdiv(n, tile["TILE_N"])

    _gemm_kernel[grid](A, B, C, m, n, k)
