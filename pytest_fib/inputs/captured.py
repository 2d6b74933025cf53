"""Captured tensors in safetensors files.

A file is opened once per plan, checked by its header, and loaded when first drawn.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from pytest_fib.data.text import escape
from pytest_fib.data.workload import SafetensorsInput
from pytest_fib.errors import DataError
from pytest_fib.inputs.sources import Constant, TensorLayout

_NAMES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


class CapturedFiles:
    """The tensor files of one workload; several inputs usually share one."""

    def __init__(self) -> None:
        self._open: dict[Path, Any] = {}

    def source(self, path: Path, item: SafetensorsInput, name: str, layout: TensorLayout) -> Constant:
        """Return the source of a captured input.

        Raises
        ------
        DataError
            The file is unreadable, lacks the tensor, or the tensor has another shape or dtype.
        """
        place = f"'{escape(item.tensor_key, 60)}' in '{escape(item.path)}'"
        try:
            if path not in self._open:
                self._open[path] = safe_open(str(path), framework="pt")
            file = self._open[path]
            if item.tensor_key not in file.keys():  # noqa: SIM118 - the handle is no mapping
                raise DataError(
                    f"there is no tensor {place} for input '{escape(name, 60)}'; correct tensor_key"
                )
            header = file.get_slice(item.tensor_key)
            found = TensorLayout(tuple(header.get_shape()), _dtype(header.get_dtype()))
        except (SafetensorError, OSError) as error:
            raise DataError(
                f"tensor file '{escape(item.path)}' is unreadable ({escape(str(error))}); fetch it again"
            ) from None
        if found != layout:
            raise DataError(
                f"tensor {place} is {found}, but input '{escape(name, 60)}' should be {layout}; "
                "correct the file or the axes"
            )
        return Constant(lambda: file.get_tensor(item.tensor_key).clone(memory_format=torch.contiguous_format))


def _dtype(name: str) -> torch.dtype:
    if name not in _NAMES:
        raise SafetensorError(f"dtype {name} is not supported")
    return _NAMES[name]
