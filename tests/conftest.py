"""Hypothesis profiles, chosen by HYPOTHESIS_PROFILE: dev (the default), ci, nightly; what several folders share."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=200, deadline=None, derandomize=True, print_blob=True)
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


@pytest.fixture(scope="session")
def generate() -> ModuleType:
    """The generator script of the trace sets, as a module."""
    path = ROOT / "tracesets" / "generate.py"
    spec = importlib.util.spec_from_file_location("fib_tracesets_generate", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
    if "synthetic" not in sys.modules:
        path = Path(__file__).parent / "report" / "synthetic.py"
        spec = importlib.util.spec_from_file_location("synthetic", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["synthetic"] = module
        spec.loader.exec_module(module)
    return sys.modules["synthetic"]
