from __future__ import annotations

import gc
import importlib.util
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    """The made-up evaluations of ``tests/report/synthetic.py``."""
    if "synthetic" not in sys.modules:
        path = Path(__file__).parents[1] / "report" / "synthetic.py"
        spec = importlib.util.spec_from_file_location("synthetic", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["synthetic"] = module
        spec.loader.exec_module(module)
    return sys.modules["synthetic"]


@pytest.fixture(autouse=True)
def _swept() -> Iterator[None]:
    """pytest-benchmark 4 leaves the file of ``--benchmark-json`` open; its warning must not hit a later test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
