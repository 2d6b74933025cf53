from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_DEFINITION = {
    "name": "scale_rows_n64",
    "op_type": "scale",
    "axes": {"rows": {"type": "var"}, "n": {"type": "const", "value": 64}},
    "inputs": {
        "x": {"shape": ["rows", "n"], "dtype": "float32"},
        "factor": {"shape": None, "dtype": "float32"},
    },
    "outputs": {"y": {"shape": ["rows", "n"], "dtype": "float32"}},
    "reference": "def run(x, factor):\n    return x * factor\n",
    "tags": ["status:verified"],
    "description": "Multiply by a number.",
    "constraints": ["rows >= 1"],
}
_WORKLOAD = {
    "axes": {"rows": 3},
    "inputs": {
        "x": {"type": "safetensors", "path": "./blob/x.safetensors", "tensor_key": "x"},
        "factor": {"type": "scalar", "value": 0.5},
    },
    "uuid": "9a1b6c0e-5a9c-4c5e-9f63-0d6f2f9f0c11",
}
_SOLUTION = {
    "name": "scale_rows_plain",
    "definition": "scale_rows_n64",
    "author": "someone",
    "spec": {
        "language": "python",
        "target_hardware": ["cpu"],
        "entry_point": "main.py::run",
        "dependencies": ["torch"],
        "destination_passing_style": False,
        "binding": None,
    },
    "sources": [
        {
            "path": "main.py",
            "content": "from lib.helper import scale\n\n\ndef run(x, factor):\n    return scale(x, factor)\n",
        },
        {"path": "lib/helper.py", "content": "def scale(x, factor):\n    return x * factor\n"},
    ],
    "description": "Plain.",
}
_EVALUATION = {
    "status": "PASSED",
    "environment": {"hardware": "cpu", "libs": {"torch": "2"}},
    "timestamp": "2026-01-01T00:00:00+00:00",
    "log": "",
    "correctness": {"max_relative_error": 0.25, "max_absolute_error": 1e-3, "extra": None},
    "performance": {"latency_ms": 1.0, "reference_latency_ms": 2.0, "speedup_factor": 2.0},
}


@pytest.fixture
def definition_json() -> dict[str, Any]:
    return copy.deepcopy(_DEFINITION)


@pytest.fixture
def workload_json() -> dict[str, Any]:
    return copy.deepcopy(_WORKLOAD)


@pytest.fixture
def solution_json() -> dict[str, Any]:
    return copy.deepcopy(_SOLUTION)


@pytest.fixture
def trace_json() -> dict[str, Any]:
    return copy.deepcopy(
        {
            "definition": "scale_rows_n64",
            "workload": _WORKLOAD,
            "solution": "scale_rows_plain",
            "evaluation": _EVALUATION,
        }
    )


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a JSON value (or text, or bytes; or JSON Lines from several values) and return the path."""

    def write_file(name: str, *values: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = [
            value
            if isinstance(value, bytes)
            else value.encode()
            if isinstance(value, str)
            else json.dumps(value).encode()
            for value in values
        ]
        path.write_bytes(b"\n".join(parts))
        return path

    return write_file
