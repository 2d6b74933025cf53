"""Captured tensors in safetensors files: checked by header, loaded when first drawn, kept for other workloads."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from pytest_fib.data.tensors import TensorHeader, read_header
from pytest_fib.data.text import escape
from pytest_fib.data.workload import SafetensorsInput
from pytest_fib.errors import DataError
from pytest_fib.inputs.dtypes import TORCH
from pytest_fib.inputs.sources import Constant, TensorLayout

KEPT_BYTES = 2 << 30
"""So much of captured tensors is kept in memory between workloads."""


@dataclass(frozen=True)
class _Version:
    """A file as it was: one that changed is read again."""

    path: Path
    modified_ns: int
    size: int

    @classmethod
    def of(cls, path: Path) -> _Version:
        status = path.stat()
        return cls(path, status.st_mtime_ns, status.st_size)


class CapturedFiles:
    """The tensor files of a session; several inputs, workloads and solutions usually share one.

    Parameters
    ----------
    kept_bytes
        Tensors beyond it are forgotten, those first that were not asked for lately.
    """

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._headers: dict[_Version, dict[str, TensorHeader]] = {}
        self._constants: OrderedDict[tuple[_Version, str], tuple[Constant, int]] = OrderedDict()

    def source(self, path: Path, item: SafetensorsInput, name: str, layout: TensorLayout) -> Constant:
        """Return the source of a captured input, the same for whoever asks for the same tensor.

        Raises
        ------
        DataError
            The file is unreadable, lacks the tensor, or the tensor has another shape or dtype.
        """
        place = f"'{escape(item.tensor_key, 60)}' in '{escape(item.path)}'"
        try:
            version = _Version.of(path)
            header = self._header(version).get(item.tensor_key)
        except (DataError, OSError) as error:
            raise _unreadable(item, error) from None
        if header is None:
            raise DataError(f"there is no tensor {place} for input '{escape(name, 60)}'; correct tensor_key")
        if header.shape != layout.shape or TORCH.get(header.dtype) is not layout.dtype:
            raise DataError(
                f"tensor {place} is {escape(header.dtype, 40)} {list(header.shape)}, but input "
                f"'{escape(name, 60)}' should be {layout}; correct the file or the axes"
            )
        return self._constant(version, item, layout.nbytes)

    def _header(self, version: _Version) -> dict[str, TensorHeader]:
        if version not in self._headers:
            self._headers[version] = read_header(version.path)
        return self._headers[version]

    def _constant(self, version: _Version, item: SafetensorsInput, nbytes: int) -> Constant:
        key = version, item.tensor_key
        if key not in self._constants:
            self._constants[key] = Constant(lambda: _loaded(version.path, item)), nbytes
        self._constants.move_to_end(key)
        found, _ = self._constants[key]
        while (
            len(self._constants) > 1 and sum(size for _, size in self._constants.values()) > self._kept_bytes
        ):
            self._constants.popitem(last=False)
        return found


def _loaded(path: Path, item: SafetensorsInput) -> torch.Tensor:
    try:
        with safe_open(str(path), framework="pt") as file:
            tensor: torch.Tensor = file.get_tensor(item.tensor_key)
            # A copy: the file may change under what is mapped.
            return tensor.clone(memory_format=torch.contiguous_format)
    except (SafetensorError, OSError) as error:
        raise _unreadable(item, error) from None


def _unreadable(item: SafetensorsInput, error: Exception) -> DataError:
    reason = error.sentences[0] if isinstance(error, DataError) else str(error)
    return DataError(
        f"tensor file '{escape(item.path)}' is unreadable ({escape(reason.partition(';')[0])}); fetch it again"
    )
