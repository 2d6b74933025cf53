"""A checkout that is installed in place, used from a folder that has nothing to do with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOLUTION = Path(__file__).resolve().parents[1] / "solutions/mini/rmsnorm/rmsnorm_python.json"


def test_a_solution_is_judged_from_any_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PYTEST_ADDOPTS", "FIB_DATASET_PATH"):
        monkeypatch.delenv(name, raising=False)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            f"--fib-solution={SOLUTION}",
            "--fib-profile=quick",
            "--fib-no-timing",
        ],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=tmp_path,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fib: " in done.stdout
    assert " passed" in done.stdout
