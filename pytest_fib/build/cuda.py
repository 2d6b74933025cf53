"""CUDA solutions through TVM-FFI: one shared library per solution, compiled by nvcc for the device, or for
``TVM_FFI_CUDA_ARCH_LIST`` where there is none."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from pytest_fib.border.order import Order
from pytest_fib.build import BuildError
from pytest_fib.build.cpp import FLAGS, SUFFIXES, argument, compile_library, files_with, load
from pytest_fib.build.sources import write_sources

__all__ = ["argument", "build", "load"]

CUDA_SUFFIXES = {".cu"}
CUDA_FLAGS = ("-O3", "-std=c++17", "--expt-relaxed-constexpr")
_LIBRARIES = {"cublas": ("cublas", "cublasLt"), "cudnn": ("cudnn",)}
_DEFAULT_HOME = "/usr/local/cuda"


def build(order: Order) -> None:
    """Compile all CUDA and C++ sources into ``solution.so`` in the artifact folder.

    Raises
    ------
    BuildError
        With the compiler's output, if the sources do not compile, there are none, or a library cannot be found.
    """
    use_default_toolkit()
    root = write_sources(order)
    files = files_with(CUDA_SUFFIXES, order, root)
    if not files:
        raise BuildError("no source ends in .cu: there is nothing to compile")
    libraries, includes = linked(order)
    compile_library(
        order,
        root,
        cuda_files=files,
        cpp_files=files_with(SUFFIXES, order, root),
        extra_cflags=list(FLAGS),
        extra_cuda_cflags=list(CUDA_FLAGS),
        extra_ldflags=libraries,
        extra_include_paths=[str(root), *includes],
    )


def use_default_toolkit() -> None:
    """Say where the toolkit is, unless the user does: the nvcc on PATH may be a link from elsewhere."""
    if Path(_DEFAULT_HOME, "bin", "nvcc").exists():
        os.environ.setdefault("CUDA_HOME", _DEFAULT_HOME)


def linked(order: Order) -> tuple[list[str], list[str]]:
    """Return the linker's flags and the include folders for the libraries that the solution depends on.

    Raises
    ------
    BuildError
        If one of them cannot be found.
    """
    found = [_found(name) for wanted in order.dependencies for name in _LIBRARIES.get(wanted.lower(), ())]
    flags = [flag for path in found for flag in (str(path), f"-Wl,-rpath,{path.parent}")]
    return flags, sorted({str(include) for path in found for include in _includes(path)})


def _found(name: str) -> Path:
    """Return the shared library ``name`` of the CUDA toolkit, or of NVIDIA's packages for Python."""
    for folder in _folders():
        for path in sorted(folder.glob(f"lib{name}.so*")):
            return path
    raise BuildError(
        f"the solution depends on {name}, which neither the CUDA toolkit nor an installed nvidia package holds"
    )


def _folders() -> Iterator[Path]:
    home = Path(os.environ.get("CUDA_HOME") or _DEFAULT_HOME)
    yield from (home / "lib64", home / "targets" / "x86_64-linux" / "lib")
    for entry in map(Path, sys.path):
        yield from sorted(entry.glob("nvidia/*/lib"))


def _includes(library: Path) -> Iterator[Path]:
    folder = library.parent.parent / "include"
    if folder.is_dir():
        yield folder
