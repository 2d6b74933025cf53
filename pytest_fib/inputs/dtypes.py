"""Element types as torch and numpy know them, by their canonical name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

TORCH: Mapping[str, torch.dtype] = MappingProxyType(
    {
        "float64": torch.float64,
        "float32": torch.float32,
        "float16": torch.float16,
        "bfloat16": torch.bfloat16,
        "float8_e4m3fn": torch.float8_e4m3fn,
        "float8_e5m2": torch.float8_e5m2,
        "int64": torch.int64,
        "int32": torch.int32,
        "int16": torch.int16,
        "int8": torch.int8,
        "uint8": torch.uint8,
        "bool": torch.bool,
    }
)
"""Every dtype that torch can hold in a tensor; ``float4_e2m1`` is not among them."""

CARRIERS: Mapping[int, tuple[torch.dtype, np.dtype[Any]]] = MappingProxyType(
    {
        1: (torch.uint8, np.dtype(np.uint8)),
        2: (torch.int16, np.dtype(np.int16)),
        4: (torch.int32, np.dtype(np.int32)),
        8: (torch.int64, np.dtype(np.int64)),
    }
)
"""Integer types that carry the bits of any dtype between numpy and torch, by item size."""


def bits_of(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    """Return the memory of a contiguous CPU tensor as a flat numpy array of integers of its item size."""
    carrier, _ = CARRIERS[tensor.dtype.itemsize]
    return tensor.view(-1).view(carrier).numpy()


def empty_bits(numel: int, dtype: torch.dtype) -> np.ndarray[Any, Any]:
    """Return an uninitialised flat numpy array of integers of the item size of ``dtype``."""
    return np.empty(numel, CARRIERS[dtype.itemsize][1])


def from_bits(bits: np.ndarray[Any, Any], dtype: torch.dtype, shape: tuple[int, ...]) -> torch.Tensor:
    """Return the tensor of ``dtype`` and ``shape`` whose memory is ``bits`` (no copy)."""
    return torch.from_numpy(bits).view(dtype).view(shape)
