from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"fib_{path.stem}_under_test", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def generate() -> ModuleType:
    """The generator script of the trace sets, as a module."""
    return load(ROOT / "tracesets" / "generate.py")


@pytest.fixture(scope="session")
def generate_copy() -> Callable[[Path], ModuleType]:
    """Loads another copy of the generator, which then works on the folder that it lies in."""
    return load


@pytest.fixture(scope="session")
def shared_dataset() -> Path:
    """The folder of official interfaces and captured workloads; tests that need it skip without it."""
    path = Path(os.environ.get("FIB_SHARED_DATASET", ROOT.parent / "shared" / "dataset"))
    if not (path / "interfaces").is_dir():
        pytest.skip("no shared dataset: set FIB_SHARED_DATASET")
    return path
