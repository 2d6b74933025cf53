"""A kernel that compiles: where Triton cannot compile it, it can compile none, and no solution is to blame."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator, unused-ignore]
def _copy(source, target, count, SIZE: tl.constexpr):  # type: ignore[no-untyped-def]
    place = tl.arange(0, SIZE)
    tl.store(target + place, tl.load(source + place, mask=place < count), mask=place < count)


def launch_known_kernel() -> Any:
    """Launch a kernel as solutions do, and return it."""
    tensor = torch.empty(16, dtype=torch.float32, device="cuda")
    _copy[(1,)](tensor, tensor, 15, SIZE=16)
    return _copy
