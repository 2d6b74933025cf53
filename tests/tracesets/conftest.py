from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pytest_fib.data.readers import read_definition

ROOT = Path(__file__).resolve().parents[2]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"fib_{path.stem}_under_test", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def generate_copy() -> Callable[[Path], ModuleType]:
    """Loads another copy of the generator, which then works on the folder that it lies in."""
    return load


@pytest.fixture(scope="session")
def reference() -> Callable[[str], dict[str, Any]]:
    """Loads the reference of a mini definition: the functions of its module by name."""

    def load_reference(name: str) -> dict[str, Any]:
        path = next((ROOT / "tracesets" / "mini" / "definitions").glob(f"*/{name}.json"))
        namespace: dict[str, Any] = {}
        exec(read_definition(path).reference, namespace)
        return namespace

    return load_reference
