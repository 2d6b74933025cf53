"""A small dataset on disk, written again with whatever change a test wants."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from pytest_fib.cli import main
from pytest_fib.report.document import build_document

Json = dict[str, Any]

DEFINITION: Json = {
    "name": "scale_n4",
    "op_type": "scale",
    "description": "Each row times its factor.",
    "axes": {"rows": {"type": "var", "description": "how many"}, "n": {"type": "const", "value": 4}},
    "inputs": {
        "x": {"shape": ["rows", "n"], "dtype": "float32"},
        "factors": {"shape": ["rows"], "dtype": "int32"},
        "bias": {"shape": None, "dtype": "float32"},
    },
    "outputs": {"y": {"shape": ["rows", "n"], "dtype": "bfloat16"}},
    "constraints": ["rows < 100"],
    "tags": ["stage:test"],
    "reference": "def run(x, factors, bias):\n    return (x * factors[:, None] + bias).bfloat16()\n",
}
WORKLOAD: Json = {
    "uuid": "0123abcd-0000-4000-8000-000000000000",
    "axes": {"rows": 3},
    "inputs": {
        "x": {"type": "random"},
        "factors": {"type": "safetensors", "path": "./blob/a.safetensors", "tensor_key": "factors"},
        "bias": {"type": "scalar", "value": 0.5},
    },
}
SOLUTION: Json = {
    "name": "scale_mine",
    "definition": "scale_n4",
    "author": "me",
    "spec": {
        "language": "python",
        "target_hardware": ["cpu"],
        "entry_point": "main.py::run",
        "destination_passing_style": False,
    },
    "sources": [
        {
            "path": "main.py",
            "content": "def run(x, factors, bias):\n    return (x * factors[:, None] + bias).bfloat16()\n",
        }
    ],
}
TRACE: Json = {
    "definition": "scale_n4",
    "workload": WORKLOAD,
    "solution": "scale_mine",
    "evaluation": {
        "status": "PASSED",
        "environment": {"hardware": "A machine", "libs": {"torch": "2.0"}},
        "timestamp": "2026-01-01T00:00:00",
        "log": "",
        "correctness": {"max_relative_error": 1e-3, "max_absolute_error": 2e-4},
        "performance": {"latency_ms": 0.5, "reference_latency_ms": 1.0, "speedup_factor": 2.0},
    },
}


class Dataset:
    """A dataset's folder; each part is written from a copy that a test may change first."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.definition = copy.deepcopy(DEFINITION)
        self.workload = copy.deepcopy(WORKLOAD)
        self.solution = copy.deepcopy(SOLUTION)
        self.trace = copy.deepcopy(TRACE)
        self.definition_file = root / "definitions/scale/scale_n4.json"
        self.workload_file = root / "workloads/scale/scale_n4.jsonl"
        self.solution_file = root / "solutions/scale/scale_mine.json"
        self.trace_file = root / "traces/me/scale/scale_n4.jsonl"
        self.blob = root / "blob/a.safetensors"

    def write(self) -> None:
        self.put(self.definition_file, json.dumps(self.definition, indent=1))
        self.put(self.workload_file, self.line(self.workload))
        self.put(self.solution_file, json.dumps(self.solution, indent=1))
        self.put(self.trace_file, json.dumps(self.trace) + "\n")
        self.blob.parent.mkdir(exist_ok=True)
        save_file({"factors": torch.ones(3, dtype=torch.int32)}, str(self.blob))

    def line(self, workload: Json) -> str:
        wrapped = {"definition": "scale_n4", "solution": None, "workload": workload, "evaluation": None}
        return json.dumps(wrapped) + "\n"

    def put(self, path: Path, text: str | bytes) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """A dataset that nothing is wrong with, in the current folder as ``set``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FIB_DATASET_PATH", raising=False)
    found = Dataset(Path("set"))
    found.write()
    return found


class Fib:
    """Runs a command in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str | os.PathLike[str]) -> tuple[int, list[str]]:
        """Return the exit status and the lines on stdout, or those on stderr if there are any."""
        status = main([os.fspath(word) for word in words])
        out, err = self._capsys.readouterr()
        assert status != 0 or not err
        return status, (err or out).splitlines()


@pytest.fixture
def fib(capsys: pytest.CaptureFixture[str]) -> Fib:
    return Fib(capsys)


class Reports:
    """Writes reports as a run does; evaluations are made up."""

    def __init__(self, synthetic: ModuleType, folder: Path) -> None:
        self._synthetic = synthetic
        self._folder = folder
        self.environment: Json = {"hardware": "Test CPU 9000", "cpu": {"usable_cores": 2}, "timer": "judge"}
        self.config: Json = {"profile": "default", "warmup_runs": 10, "iterations": 30, "trials": 5}

    def __call__(self, name: str, *runs: Json) -> Path:
        """Write a report; each run may say what :meth:`_record` takes, and fields of Evaluation."""
        records = [self._record(**run) for run in runs]
        path = self._folder / name
        document = build_document(records, environment=self.environment, config=self.config)
        path.write_text(json.dumps(document))
        return path

    def _record(
        self,
        ms: float | None = 1.0,
        *,
        reference_ms: float = 4.0,
        trials: int = 5,
        status: str = "PASSED",
        author: str = "ada",
        **changes: Any,
    ) -> Any:
        timing = self._synthetic.timing(ms, reference_ms, trials) if status == "PASSED" and ms else None
        changes.setdefault("solution_hash", changes.get("solution", "triton_v1"))
        record = self._synthetic.record(status, author=author, timing=timing, **changes)
        if record["solution"] is not None:
            record["solution"]["hash"] = changes["solution_hash"]
        return record


@pytest.fixture
def reports(synthetic: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reports:
    """Writes reports into the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return Reports(synthetic, Path())
