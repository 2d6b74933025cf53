"""Matrix multiplication with the second operand transposed, as linear layers store their weight."""

from __future__ import annotations

import torch


def gemm(A: torch.Tensor, B: torch.Tensor) -> torch.Tensor:
    """Multiply: ``C[m, n] = sum over k of A[m, k] * B[n, k]``, a linear layer without bias.

    A [M, K], B [N, K] and C [M, N] are float16; the accumulation is left to ``torch.matmul``.
    Source: the definition of the matrix product.
    """
    return torch.matmul(A, B.T)


FAMILIES = {
    "gemm_n{N}_k{K}": {
        "description": "Matrix product C = A times B transposed, in float16.",
        "reference": [gemm],
        "axes": "M N K",
        "inputs": {"A": ("float16", "M K"), "B": ("float16", "N K")},
        "outputs": {"C": ("float16", "M N")},
    },
}


def _rows(*sizes: int) -> list[dict[str, int]]:
    return [{"M": size} for size in sizes]


SERVED = _rows(1, 4, 14, 64, 901, 4096)

TABLE = [
    # trace set, family, sizes of the constant axes, workloads
    ("mini", "gemm_n{N}_k{K}", {"N": 128, "K": 256}, _rows(1, 7, 16, 33)),
    ("flashinfer", "gemm_n{N}_k{K}", {"N": 4096, "K": 4096}, SERVED),
    ("flashinfer", "gemm_n{N}_k{K}", {"N": 28672, "K": 4096}, SERVED),
    ("flashinfer", "gemm_n{N}_k{K}", {"N": 256, "K": 7168}, SERVED),
]
