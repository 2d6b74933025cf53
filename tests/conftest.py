"""Hypothesis profiles, chosen by HYPOTHESIS_PROFILE: dev (the default), ci, nightly; what several folders share."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True, print_blob=True)
settings.register_profile(
    "nightly", max_examples=10_000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _not_on_github(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inner runs must not add to the summary of the CI that runs these tests."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)


def _load(path: Path, name: str = "") -> ModuleType:
    """Make a module of a script, which finds what lies beside it as if it were started."""
    spec = importlib.util.spec_from_file_location(name or f"fib_{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


@pytest.fixture(scope="session")
def load_script() -> Callable[[Path], ModuleType]:
    """Makes a module of a script, or of a copy, which then works on the folder that it lies in."""
    return _load


@pytest.fixture(scope="session")
def generate() -> ModuleType:
    """The generator script of the trace sets, as a module."""
    return _load(ROOT / "tracesets" / "generate.py")


@pytest.fixture(scope="session")
def shared_dataset() -> Path:
    """The folder of official interfaces and real workloads; tests that need it skip without it."""
    path = Path(os.environ.get("FIB_SHARED_DATASET", ROOT.parent / "shared" / "dataset"))
    if not (path / "interfaces").is_dir():
        pytest.skip("no shared dataset: set FIB_SHARED_DATASET")
    return path


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    """The made-up evaluations of ``tests/report/synthetic.py``."""
    return _load(Path(__file__).parent / "report" / "synthetic.py", "synthetic")
