"""The least time that a workload can take on this machine, for op types that declare what has to be done.

A latency below it is impossible, however it came about. Only few op types can declare it: a dense reference counts
work that a good kernel skips, a paged cache is mostly unread. So the table is short, and peaks are generous.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from pytest_fib.border.arena import Plan

# What the best kernel can beat our own quick measurement by: wider loads than memcpy's, matrix units.
_BANDWIDTH_MARGIN = 4.0
_COMPUTE_MARGIN = 8.0
_CACHED_BYTES = 16 << 10
_SQUARE = 128
_REPEATS = 50


@dataclass(frozen=True)
class Work:
    """What cannot be avoided: bytes that are read or written at least once, and floating-point operations."""

    nbytes: int
    operations: int = 0


def _everything(plan: Plan) -> int:
    """Every input is read and every output written."""
    return sum(slot.nbytes for region in (plan.inputs, plan.outputs) for slot in region.slots)


def _rmsnorm(plan: Plan) -> Work:
    return Work(_everything(plan))


def _gemm(plan: Plan) -> Work:
    """``C[M, N] = A[M, K] B[N, K]^T``: 2 M N K operations (fast matrix multiplication is not used in practice)."""
    a, b = plan.inputs.slots[:2]
    return Work(_everything(plan), 2 * a.shape[0] * a.shape[1] * b.shape[0])


DECLARED: Mapping[str, Callable[[Plan], Work]] = {"rmsnorm": _rmsnorm, "gemm": _gemm}


@dataclass
class Peaks:
    """Upper bounds of what one core of this machine does, measured when first needed (a few milliseconds)."""

    _known: list[float] = field(default_factory=list)

    @property
    def bytes_per_ns(self) -> float:
        """Bytes read and written per nanosecond, from the nearest cache."""
        return self._measured()[0]

    @property
    def operations_per_ns(self) -> float:
        """Floating-point operations per nanosecond, of any precision."""
        return self._measured()[1]

    def _measured(self) -> list[float]:
        if not self._known:
            source = np.ones(_CACHED_BYTES, dtype=np.uint8)
            target = np.empty_like(source)
            square = torch.ones(_SQUARE, _SQUARE)
            product = torch.empty_like(square)
            copying = _best_ns(lambda: np.copyto(target, source))
            threads = torch.get_num_threads()
            multiplying = _best_ns(lambda: torch.mm(square, square, out=product))
            self._known = [
                _BANDWIDTH_MARGIN * 2 * _CACHED_BYTES / copying,
                _COMPUTE_MARGIN * 2 * _SQUARE**3 / multiplying / threads,
            ]
        return self._known


def floor_ns(op_type: str, plan: Plan, peaks: Peaks, threads: int) -> float | None:
    """Return the nanoseconds below which no call of this workload can be, or None where nothing is declared."""
    declare = DECLARED.get(op_type)
    if declare is None:
        return None
    work = declare(plan)
    return max(work.nbytes / peaks.bytes_per_ns, work.operations / peaks.operations_per_ns) / max(1, threads)


def _best_ns(action: Callable[[], object]) -> float:
    best = math.inf
    for _ in range(_REPEATS):
        start = time.perf_counter_ns()
        action()
        best = min(best, time.perf_counter_ns() - start)
    return max(best, 1.0)
