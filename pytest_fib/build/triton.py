"""Triton solutions: compiled for a GPU where there is one, run by Triton's own interpreter elsewhere.

The interpreter gets bfloat16 and float8 wrong as it comes; ``triton_interpreter`` repairs it and checks the repair.
Where the check fails (a Triton version that it does not know), the judge refuses such solutions: a wrong number must
never become a verdict.
"""

from __future__ import annotations

import importlib
import os
from contextlib import suppress
from typing import Any

import torch

from pytest_fib.border.order import Order
from pytest_fib.build.sources import import_entry
from pytest_fib.build.triton_interpreter import ensure_correct


def prepare() -> tuple[str, ...]:
    """Repair and check the interpreter, in the zygote, where nothing untrusted has run yet.

    Returns
    -------
    tuple of str
        What it still computes wrongly; empty if it is right, or not in use.
    """
    if os.environ.get("TRITON_INTERPRET") == "1":
        return ensure_correct()
    _warm_up()
    return ()


def _warm_up() -> None:
    """Do, once for all candidates, what a process's first launch does: half a second of hashing and importing."""
    for module, name in (("triton.runtime.cache", "triton_key"), ("triton.compiler.compiler", "triton_key")):
        with suppress(ImportError, AttributeError):
            getattr(importlib.import_module(module), name)()
            break
    with suppress(ImportError):
        importlib.import_module("triton.experimental.gluon")


def build(order: Order) -> None:
    """Nothing to build ahead: kernels are compiled at their first call."""


def load(order: Order) -> Any:
    """Import the entry file and return the entry point."""
    return import_entry(order)


def argument(tensor: torch.Tensor) -> torch.Tensor:
    """Triton entry points take torch tensors."""
    return tensor
