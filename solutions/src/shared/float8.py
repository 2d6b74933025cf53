"""float8_e4m3fn to float32, several times faster than torch converts on a CPU."""

from __future__ import annotations

import torch


def widened(codes: torch.Tensor) -> torch.Tensor:
    """Return ``codes`` as float32; none of them is NaN.

    Read as a float16, whose exponents are biased by 15 instead of 7, the same bits are a number 2^8 times smaller.
    """
    if codes.is_cuda:
        return codes.float()
    # Widening an int8 repeats the sign: it lands in bits 14 and 15, of which 15 is the sign of a float16.
    halves = (codes.view(torch.int8).short() << 7) & ~(1 << 14)
    return halves.view(torch.float16).float() * 256
