"""Triton solutions: compiled for a GPU where there is one, run by Triton's own interpreter elsewhere.

The interpreter gets bfloat16 and float8 wrong as it comes; ``triton_interpreter`` repairs it and checks the repair.
Where the check fails (a Triton version that it does not know), such a solution is refused: a wrong number must
never become a verdict.
"""

from __future__ import annotations

import os
from typing import Any

import torch
import triton

from pytest_fib.border.order import Order
from pytest_fib.build import UnsupportedError
from pytest_fib.build.sources import import_entry
from pytest_fib.build.triton_interpreter import ensure_correct


def prepare() -> None:
    """Repair and check the interpreter once, in the zygote, so that no candidate has to."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        ensure_correct()


def build(order: Order) -> None:
    """Nothing to build ahead: kernels are compiled at their first call."""


def load(order: Order) -> Any:
    """Import the entry file and return the entry point.

    Raises
    ------
    UnsupportedError
        If Triton's interpreter would give wrong results for this solution's dtypes.
    """
    if order.device == "cpu":
        wrong = ensure_correct()
        if wrong and order.low_precision:
            raise UnsupportedError(
                f"the interpreter of Triton {triton.__version__} computes {', '.join(wrong)} wrongly: "
                "use a Triton version listed in docs/solutions.md, or a GPU"
            )
    return import_entry(order)


def argument(tensor: torch.Tensor) -> torch.Tensor:
    """Triton entry points take torch tensors."""
    return tensor
