"""Python solutions: imported as they are."""

from __future__ import annotations

from typing import Any

import torch

from pytest_fib.border.order import Order
from pytest_fib.build.sources import import_entry


def build(order: Order) -> None:
    """Nothing to build: errors show when the module is imported."""


def load(order: Order) -> Any:
    """Import the entry file and return the entry point."""
    return import_entry(order)


def argument(tensor: torch.Tensor) -> torch.Tensor:
    """Python entry points take torch tensors."""
    return tensor
