"""What a safetensors file holds, from its header alone: no tensor is loaded, no torch imported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeGuard

from pytest_fib.data import files
from pytest_fib.data.files import naming
from pytest_fib.data.text import show
from pytest_fib.errors import DataError

DTYPES: Mapping[str, str] = MappingProxyType(
    {
        "F64": "float64",
        "F32": "float32",
        "F16": "float16",
        "BF16": "bfloat16",
        "F8_E4M3": "float8_e4m3fn",
        "F8_E5M2": "float8_e5m2",
        "I64": "int64",
        "I32": "int32",
        "I16": "int16",
        "I8": "int8",
        "U8": "uint8",
        "BOOL": "bool",
    }
)
"""Canonical dtypes by their name in safetensors files."""

_FILE_LIMIT = 1 << 50
_HEADER_LIMIT = 100_000_000


@dataclass(frozen=True)
class TensorHeader:
    """Element type (canonical where it has such a name) and shape of one tensor in a file."""

    dtype: str
    shape: tuple[int, ...]


def read_header(path: Path) -> dict[str, TensorHeader]:
    """Return the tensors of a safetensors file by name.

    Raises
    ------
    DataError
        The file cannot be read, is cut off, or is no safetensors file.
    """
    with naming(path), files.open_regular(path, _FILE_LIMIT) as handle:
        size = os.fstat(handle.fileno()).st_size
        length = int.from_bytes(handle.read(8), "little")
        if not 2 <= length <= min(size - 8, _HEADER_LIMIT):
            raise DataError("is no safetensors file, or cut off; fetch it again")
        table = files.parse_json(files.decode(handle.read(length)))
        if not isinstance(table, dict):
            raise DataError(f"has {show(table)} as its header; fetch it again")
        entries = {name: entry for name, entry in table.items() if name != "__metadata__"}
        return {name: _tensor(name, entry, size - 8 - length) for name, entry in entries.items()}


def _tensor(name: str, entry: Any, room: int) -> TensorHeader:
    found = entry if isinstance(entry, dict) else {}
    dtype, shape, place = found.get("dtype"), found.get("shape"), found.get("data_offsets")
    if not (isinstance(dtype, str) and _are_sizes(shape) and _are_sizes(place) and len(place) == 2):
        raise DataError(f"describes tensor {show(name)} as {show(entry)}; fetch it again")
    if not place[0] <= place[1] <= room:
        raise DataError(f"is cut off before the end of tensor {show(name)}; fetch it again")
    return TensorHeader(DTYPES.get(dtype, dtype), tuple(shape))


def _are_sizes(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)
