"""C++ solutions through TVM-FFI: one shared library per solution, found by the symbol it exports."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from pytest_fib.border.order import Order
from pytest_fib.build import BuildError
from pytest_fib.build.sources import write_sources

LIBRARY = "solution.so"
FLAGS = ("-O3", "-march=native", "-std=c++17")
_SUFFIXES = {".cpp", ".cc", ".cxx", ".c++", ".c"}


def build(order: Order) -> None:
    """Compile all C++ sources into ``solution.so`` in the artifact folder.

    Raises
    ------
    BuildError
        With the compiler's output, if the sources do not compile or there are none.
    """
    import tvm_ffi.cpp

    root = write_sources(order)
    files = [str(root / name) for name in order.sources if Path(name).suffix.lower() in _SUFFIXES]
    if not files:
        raise BuildError(
            f"no source ends in one of {', '.join(sorted(_SUFFIXES))}: there is nothing to compile"
        )
    openmp = ["-fopenmp"] if any("omp" in content for content in order.sources.values()) else []
    build_dir = root.parent / "objects"
    build_dir.mkdir()
    try:
        library = tvm_ffi.cpp.build(
            "fib_solution",
            cpp_files=files,
            extra_cflags=[*FLAGS, *openmp],
            extra_ldflags=openmp,
            extra_include_paths=[str(root)],
            build_directory=str(build_dir),
        )
    except RuntimeError as error:
        raise BuildError(str(error)) from None
    shutil.copyfile(library, Path(order.artifact_dir) / LIBRARY)


def load(order: Order) -> Any:
    """Load ``solution.so`` and return the exported function."""
    import tvm_ffi

    module = tvm_ffi.load_module(str(Path(order.artifact_dir) / LIBRARY))
    try:
        return module[order.entry_symbol]
    except (AttributeError, KeyError):
        raise BuildError(
            f"the library exports no {order.entry_symbol!r}: add TVM_FFI_DLL_EXPORT_TYPED_FUNC"
            f"({order.entry_symbol}, …) or correct entry_point"
        ) from None


def argument(tensor: torch.Tensor) -> Any:
    """Convert once, before any call: a converted tensor is passed in half the time of a torch tensor."""
    import tvm_ffi

    return tvm_ffi.from_dlpack(tensor)
