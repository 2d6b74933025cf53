"""Calls of the judge's own from Python: see ``border.idle``.

What a call does is one call of numpy's, as a kernel's is often one of a library's: a loop in Python would keep the
interpreter in the caches, which a kernel does not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided

from pytest_fib.border.idle import Work
from pytest_fib.border.order import Order

_LINE = 64
_TRIES = 5  # of one pass over the memory; the fastest shows how many make the time that is wanted


def build(order: Order) -> None:
    """Nothing to build."""


def load(order: Order) -> Callable[..., None]:
    """Return a function of any arguments."""
    return _idle if order.work.calls == 0 else _working(order.work)


def argument(tensor: torch.Tensor) -> torch.Tensor:
    """Python functions take torch tensors."""
    return tensor


def _idle(*arguments: Any) -> None:
    pass


def _working(work: Work) -> Callable[..., None]:
    clock, copy = time.perf_counter_ns, np.copyto
    nbytes = max(_LINE, work.nbytes)
    memory = np.zeros((work.places, nbytes), dtype=np.uint8)
    passes = max(1, round(work.ns / _fastest(memory)))
    views = [as_strided(line, (passes, nbytes), (0, 1), writeable=True) for line in memory]
    worked: list[int] = []

    def run(*arguments: Any) -> None:
        start = clock()
        copy(views[len(worked) % work.places], 1)
        worked.append(clock() - start)
        if len(worked) == work.calls:
            print(*worked, flush=True)
            worked.clear()

    return run


def _fastest(memory: np.ndarray[Any, Any]) -> int:
    """Return the nanoseconds of one of many passes over the last row."""
    row = memory[-1]
    passes = max(1, (1 << 16) // len(row))
    view = as_strided(row, (passes, len(row)), (0, 1), writeable=True)
    seen: list[int] = []
    for _ in range(_TRIES):
        start = time.perf_counter_ns()
        np.copyto(view, 1)
        seen.append(time.perf_counter_ns() - start)
    return max(1, min(seen) // passes)
