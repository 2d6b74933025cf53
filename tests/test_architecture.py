"""The trust boundary is a wall of the house: who may import whom, read off the sources."""

from __future__ import annotations

import ast
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

import pytest_fib

ROOT = Path(pytest_fib.__file__).parent
# Room -> rooms that it may import besides itself, `errors` and the standard library.
MAY_IMPORT = {
    "data": set(),
    "measure": set(),
    "border": set(),
    "inputs": {"data"},
    "build": {"data", "border"},
    "candidate": {"border", "build", "data"},
    "judge": {"border", "inputs", "measure", "data"},
    "fuzz": {"data"},
    "report": {"data", "measure", "bridge"},
}


def parsed(text: str) -> ast.Module:
    """Parse in a thread of its own, whose recursion depth is fresh.

    CPython 3.11 compares the depth before and after with a counter that all parsers of the process share, and after
    other tests have parsed near the recursion limit it may refuse good sources: "SystemError: AST constructor
    recursion depth mismatch".
    """
    with ThreadPoolExecutor(1) as thread:
        with suppress(SystemError):
            return thread.submit(ast.parse, text).result()
        return thread.submit(ast.parse, text).result()


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(parsed(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def rooms_imported(room: str) -> set[str]:
    names = set()
    for path in (ROOT / room).rglob("*.py"):
        names |= {name.split(".")[1] for name in imports_of(path) if name.startswith("pytest_fib.")}
    return {name for name in names if (ROOT / name).is_dir()} - {room}


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_arrows_point_downward(room: str) -> None:
    assert rooms_imported(room) <= MAY_IMPORT[room]


@pytest.mark.parametrize("room", ["data", "measure", "border"])
def test_the_lowest_rooms_do_not_know_torch(room: str) -> None:
    for path in (ROOT / room).rglob("*.py"):
        assert not any(name.split(".")[0] == "torch" for name in imports_of(path)), path


def test_nobody_unpickles() -> None:
    for path in ROOT.rglob("*.py"):
        assert not imports_of(path) & {"pickle", "marshal", "shelve", "dill"}, path
