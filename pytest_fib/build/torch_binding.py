"""C++ and CUDA solutions with ``binding: "torch"``: an extension of torch, compiled by torch's own builder.

The sources define ``PYBIND11_MODULE(TORCH_EXTENSION_NAME, m)`` or register operators with ``TORCH_LIBRARY``; the
entry point is a function of the one or an operator of the other.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from typing import Any

import torch

from pytest_fib.border.order import Order
from pytest_fib.build import BuildError
from pytest_fib.build.cpp import FLAGS, LIBRARY, SUFFIXES, files_with
from pytest_fib.build.cuda import CUDA_FLAGS, CUDA_SUFFIXES, linked, use_default_toolkit
from pytest_fib.build.sources import write_sources

EXTENSION = "fib_extension"
"""What ``TORCH_EXTENSION_NAME`` stands for."""

_MODULE = re.compile(r"\bPYBIND11_MODULE\s*\(\s*(\w+)\s*,")
_NAMESPACE = re.compile(r"\bTORCH_LIBRARY(?:_FRAGMENT)?\s*\(\s*(\w+)\s*,")
_CPP_FLAGS = tuple(flag for flag in FLAGS if not flag.startswith("-std"))  # torch knows what its headers need
_CUDA_CPP_FLAGS = tuple(flag for flag in CUDA_FLAGS if not flag.startswith("-std"))


def build(order: Order) -> None:
    """Compile all C++ and CUDA sources into ``solution.so`` in the artifact folder.

    Raises
    ------
    BuildError
        With the compiler's output, if the sources do not compile or there are none.
    """
    from torch.utils import cpp_extension

    cuda = order.language == "cuda"
    if cuda:
        use_default_toolkit()
        os.environ.setdefault("TORCH_CUDA_ARCH_LIST", os.environ.get("TVM_FFI_CUDA_ARCH_LIST", ""))
    root = write_sources(order)
    files = files_with(SUFFIXES | (CUDA_SUFFIXES if cuda else set()), order, root)
    if not files:
        raise BuildError("no source is C++ or CUDA: there is nothing to compile")
    libraries, includes = linked(order) if cuda else ([], [])
    openmp = ["-fopenmp"] if any("omp" in content for content in order.sources.values()) else []
    objects = root.parent / "objects"
    objects.mkdir()
    os.environ.setdefault("MAX_JOBS", str(max(1, order.threads)))
    try:
        cpp_extension.load(
            EXTENSION,
            files,
            extra_cflags=[*_CPP_FLAGS, *openmp],
            extra_cuda_cflags=list(_CUDA_CPP_FLAGS),
            extra_ldflags=[*libraries, *openmp],
            extra_include_paths=[str(root), *order.include_paths, *includes],
            build_directory=str(objects),
            with_cuda=cuda,
            is_python_module=False,
        )
    except (RuntimeError, OSError) as error:
        raise BuildError(str(error)) from None
    shutil.copyfile(objects / f"{EXTENSION}.so", Path(order.artifact_dir) / LIBRARY)


def load(order: Order) -> Any:
    """Load ``solution.so`` and return the function of its module, or the operator, that is the entry point."""
    path = str(Path(order.artifact_dir) / LIBRARY)
    text = "\n".join(order.sources.values())
    for name in _names(_MODULE, text):
        entry = getattr(_module(name, path), order.entry_symbol, None)
        if entry is not None:
            return entry
    torch.ops.load_library(path)  # type: ignore[no-untyped-call]
    for name in _names(_NAMESPACE, text):
        operator = getattr(getattr(torch.ops, name), order.entry_symbol, None)
        if operator is not None:
            return getattr(operator, "default", operator)
    raise BuildError(
        f"the library has no {order.entry_symbol!r}: define it in PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) or in a "
        "TORCH_LIBRARY, or correct entry_point"
    )


def argument(tensor: torch.Tensor) -> torch.Tensor:
    """Return ``tensor``: such an entry point takes tensors of torch."""
    return tensor


def _names(pattern: re.Pattern[str], text: str) -> list[str]:
    return [EXTENSION if name == "TORCH_EXTENSION_NAME" else name for name in pattern.findall(text)]


def _module(name: str, path: str) -> Any:
    """Import the extension module; its name is part of the function that makes it."""
    spec = importlib.util.spec_from_loader(name, ExtensionFileLoader(name, path))
    if spec is None or spec.loader is None:
        raise BuildError(f"{name} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
