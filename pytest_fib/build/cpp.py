"""C++ solutions through TVM-FFI: one shared library per solution, found by the symbol it exports."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from pytest_fib.border.order import Order
from pytest_fib.build import BuildError
from pytest_fib.build.loop import SOURCE, Loop
from pytest_fib.build.sources import write_sources

LIBRARY = "solution.so"
FLAGS = ("-O3", "-march=native", "-std=c++17")
SUFFIXES = {".cpp", ".cc", ".cxx", ".c++", ".c"}


def build(order: Order) -> None:
    """Compile all C++ sources into ``solution.so`` in the artifact folder.

    Raises
    ------
    BuildError
        With the compiler's output, if the sources do not compile or there are none.
    """
    root = write_sources(order)
    files = files_with(SUFFIXES, order, root)
    if not files:
        raise BuildError(
            f"no source ends in one of {', '.join(sorted(SUFFIXES))}: there is nothing to compile"
        )
    openmp = ["-fopenmp"] if any("omp" in content for content in order.sources.values()) else []
    files.append(str(SOURCE))
    compile_library(order, root, cpp_files=files, extra_cflags=[*FLAGS, *openmp], extra_ldflags=openmp)


def files_with(suffixes: Collection[str], order: Order, root: Path) -> list[str]:
    """Return the paths of the sources below ``root`` that end in one of ``suffixes``."""
    return [str(root / name) for name in order.sources if Path(name).suffix.lower() in suffixes]


def compile_library(order: Order, root: Path, **options: Any) -> None:
    """Have TVM-FFI compile what ``options`` say, arguments of its own, into ``solution.so`` in the artifact folder.

    Raises
    ------
    BuildError
        With the compiler's output, if the sources do not compile.
    """
    import tvm_ffi.cpp

    build_dir = root.parent / "objects"
    build_dir.mkdir()
    options["extra_include_paths"] = [
        str(root),
        *order.include_paths,
        *options.get("extra_include_paths", ()),
    ]
    try:
        library = tvm_ffi.cpp.build("fib_solution", build_directory=str(build_dir), **options)
    except RuntimeError as error:
        raise BuildError(str(error)) from None
    shutil.copyfile(library, Path(order.artifact_dir) / LIBRARY)


def load(order: Order) -> Any:
    """Load ``solution.so`` and return the exported function.

    Raises
    ------
    BuildError
        If it exports no function of that name.
    """
    module = library(order)
    try:
        return module[order.entry_symbol]
    except (AttributeError, KeyError):
        raise BuildError(
            f"the library exports no {order.entry_symbol!r}: add TVM_FFI_DLL_EXPORT_TYPED_FUNC"
            f"({order.entry_symbol}, …) or correct entry_point"
        ) from None


def loop(order: Order, entry: Any) -> Loop:
    """Return what makes the calls of ``entry`` in compiled code."""
    return Loop(library(order), entry)


def library(order: Order) -> Any:
    """Load ``solution.so``; the same one again if it is loaded already."""
    import tvm_ffi

    return tvm_ffi.load_module(str(Path(order.artifact_dir) / LIBRARY))


def argument(tensor: torch.Tensor) -> Any:
    """Convert once, before any call: a converted tensor is passed in half the time of a torch tensor."""
    import tvm_ffi

    return tvm_ffi.from_dlpack(tensor)
