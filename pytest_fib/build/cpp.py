"""C++ solutions through TVM-FFI: one shared library per solution, found by the symbol it exports."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from pytest_fib.border.order import Order
from pytest_fib.build import BuildError
from pytest_fib.build.loop import SOURCE, Loop
from pytest_fib.build.sources import own_file, write_sources

LIBRARY = "solution.so"
FLAGS = ("-O3", "-march=native", "-std=c++17")
SUFFIXES = {".cpp", ".cc", ".cxx", ".c++", ".c"}
_PLAIN = re.compile(r"[\w./+-]+")  # names in which neither ninja nor a shell finds anything to interpret


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
    # A source that is called like a header of the system is meant only where it is included in quotes.
    own = [f"-iquote{root}", f"-idirafter{root}"]
    compile_library(order, root, cpp_files=files, extra_cflags=[*FLAGS, *openmp, *own], extra_ldflags=openmp)


def files_with(suffixes: Collection[str], order: Order, root: Path) -> list[str]:
    """Return what to compile for the sources below ``root`` that end in one of ``suffixes``.

    That is a file of ours which includes the source where its name means something to ninja.

    Raises
    ------
    BuildError
        If one has a name that cannot be included.
    """
    found = []
    for number, name in enumerate(order.sources):
        path = root / name
        if path.suffix.lower() in suffixes:
            if not _PLAIN.fullmatch(name):
                path = _including(path, root.parent / f"unit_{number}{path.suffix}")
            found.append(str(path))
    return found


def _including(path: Path, unit: Path) -> Path:
    """Write ``unit``, which is compiled as ``path`` would be."""
    if '"' in str(path) and ">" in str(path):
        raise BuildError(f"{own_file(str(path))!r} cannot be included: give the file a name without quotes")
    opening, closing = "<>" if '"' in str(path) else '""'
    unit.write_text(f"#include {opening}{path}{closing}\n", encoding="utf-8")
    return unit


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
    options["extra_include_paths"] = [*order.include_paths, *options.get("extra_include_paths", ())]
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
