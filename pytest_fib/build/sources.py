"""Sources on disk: written into the candidate's private folder, importable as a package and as siblings."""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Iterable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from operator import attrgetter
from pathlib import Path
from types import FrameType, ModuleType

from pytest_fib.border.order import Order
from pytest_fib.build import BuildError

PACKAGE = "fib_solution"
# What a solution file may be called without hiding the real thing from the solution's own imports.
_NEVER_SIBLINGS = sys.stdlib_module_names | {"torch", "triton", "tvm_ffi", "numpy", "pytest_fib"}


def write_sources(order: Order) -> Path:
    """Write the sources into a new folder of this candidate's own and return it."""
    root = Path(tempfile.mkdtemp()) / PACKAGE
    root.mkdir()
    for name, content in order.sources.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return root


def own_file(path: str) -> str:
    """Return the name that the solution gives a file of its own at ``path``, empty if it is none of its own."""
    _, _, name = path.rpartition(f"/{PACKAGE}/")
    return name if name != path else ""


def place_in(frames: Iterable[tuple[FrameType, int]]) -> str:
    """Return file and line of the first of ``frames`` that is in the solution's own files, empty if none is."""
    for frame, line in frames:
        name = own_file(frame.f_code.co_filename)
        if name:
            return f"{name}, line {line}"
    return ""


class _SiblingFinder(MetaPathFinder):
    """Finds the solution's own files by their bare names, as if its folder were on ``sys.path``."""

    def __init__(self, folders: list[Path]) -> None:
        self._folders = [str(folder) for folder in folders]
        names = {
            entry.stem if entry.is_file() else entry.name for folder in folders for entry in folder.iterdir()
        }
        self._names = names - _NEVER_SIBLINGS

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None or fullname not in self._names:
            return None
        return PathFinder.find_spec(fullname, self._folders, target)


def import_entry(order: Order) -> object:
    """Import the entry file as a module of a package and return the entry symbol.

    Raises
    ------
    BuildError
        If the entry file defines no such name. Whatever the import itself raises passes through.
    """
    root = write_sources(order)
    entry = root / order.entry_file
    sys.path.insert(0, str(root.parent))  # first, because it holds nothing but this package
    sys.meta_path.insert(0, _SiblingFinder([entry.parent] if entry.parent == root else [entry.parent, root]))
    module_name = ".".join((PACKAGE, *Path(order.entry_file).with_suffix("").parts))
    module = importlib.import_module(module_name)
    try:
        return attrgetter(order.entry_symbol)(module)
    except AttributeError:
        raise BuildError(
            f"{order.entry_file} defines no {order.entry_symbol!r}: correct entry_point or define it"
        ) from None
