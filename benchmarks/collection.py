"""What collecting 10,000 workloads costs, against one function parametrized over ``range(10_000)``.

    python benchmarks/collection.py

Runs ``pytest --collect-only -q`` on each, alternating, and prints the least wall time of each and their ratio (at
most 1.3 wanted). The workloads have the size of official ones: two random inputs, one variable axis. Both find the
bytecode of what they import, as any second run does, even where ``PYTHONDONTWRITEBYTECODE`` is set: else most of the
time is the compilation of the same modules at each start.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

COUNT = 10_000
RUNS = 5
WANTED = 1.3

DEFINITION = {
    "name": "rmsnorm_h128",
    "op_type": "rmsnorm",
    "axes": {"batch_size": {"type": "var"}, "hidden_size": {"type": "const", "value": 128}},
    "inputs": {
        "hidden_states": {"shape": ["batch_size", "hidden_size"], "dtype": "bfloat16"},
        "weight": {"shape": ["hidden_size"], "dtype": "bfloat16"},
    },
    "outputs": {"output": {"shape": ["batch_size", "hidden_size"], "dtype": "bfloat16"}},
    "reference": "def run(hidden_states, weight):\n    return hidden_states * weight\n",
}
SOLUTION = {
    "name": "mine",
    "definition": "rmsnorm_h128",
    "author": "me",
    "spec": {
        "language": "python",
        "target_hardware": ["cpu"],
        "entry_point": "main.py::run",
        "destination_passing_style": False,
    },
    "sources": [{"path": "main.py", "content": DEFINITION["reference"]}],
}
PARAMETRIZED = f"""
import pytest

@pytest.mark.parametrize("number", range({COUNT}))
def test_number(number): pass
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_parametrized(root / "function")
        write_workloads(root / "workloads")
        pairs = [
            (collect(root, "function"), collect(root, "workloads", "--fib-solution=mine.json"))
            for _ in range(RUNS + 1)
        ][1:]
    function, workloads = (min(times) for times in zip(*pairs, strict=True))
    print(
        f"collecting {COUNT} items, least of {RUNS}: {function:.2f} s parametrized, {workloads:.2f} s workloads"
    )
    print(f"ratio: {workloads / function:.3f} (wanted: at most {WANTED})")


def write_parametrized(folder: Path) -> None:
    write(folder / "pytest.ini", "[pytest]\n")
    write(folder / "test_function.py", PARAMETRIZED)


def write_workloads(folder: Path) -> None:
    write(folder / "pytest.ini", "[pytest]\n")
    write(folder / "mine.json", json.dumps(SOLUTION))
    write(folder / "tracesets/big/definitions/rmsnorm/rmsnorm_h128.json", json.dumps(DEFINITION))
    lines = [json.dumps(workload_line(size)) for size in range(1, COUNT + 1)]
    write(folder / "tracesets/big/workloads/rmsnorm/rmsnorm_h128.jsonl", "\n".join(lines))


def workload_line(size: int) -> dict[str, object]:
    inputs = {"hidden_states": {"type": "random"}, "weight": {"type": "random"}}
    workload = {"uuid": str(uuid.uuid4()), "axes": {"batch_size": size}, "inputs": inputs}
    return {"definition": "rmsnorm_h128", "solution": None, "workload": workload, "evaluation": None}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def collect(root: Path, folder: str, *args: str) -> float:
    """Seconds of one collection, from the start of the process to its end."""
    environ = {**os.environ, "PYTHONPYCACHEPREFIX": str(root / "bytecode")}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *args],
        cwd=root / folder,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{COUNT} tests collected" in done.stdout
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
