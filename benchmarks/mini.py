"""How long all mini solutions take on all mini workloads: seconds per op type and in all.

    python benchmarks/mini.py [OP_TYPE...]

Starts pytest once per op type with an empty cache, so that compiling C++ counts, and prints what each start took, how
much of that was building, and the slowest solutions; then the sum (at most 240 seconds wanted on two cores without
pytest-xdist; one start for all is quicker still by what the starts take). Beside other work the seconds of CPU say
more: on an idle machine the wall time is some 0.8 of them. The exit status is 1 if anything failed.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WORKLOADS = ROOT / "tracesets" / "mini" / "workloads"
WANTED_S = 240.0
SLOWEST = 4


@dataclass(frozen=True)
class Run:
    """What judging one op type took, in seconds; ``solutions`` is judging without building, by solution."""

    seconds: float
    cpu: float
    building: float
    items: int
    solutions: Counter[str]
    output: str
    green: bool


def main(words: list[str]) -> int:
    op_types = words or sorted(folder.name for folder in WORKLOADS.iterdir())
    unknown = [name for name in op_types if not (WORKLOADS / name).is_dir()]
    if unknown:
        print(f"there is no op type {unknown[0]} in {WORKLOADS}; see its folders", file=sys.stderr)
        return 2
    runs = [shown(op_type, judged(op_type)) for op_type in op_types]
    total, cpu, items = (
        sum(column) for column in zip(*((r.seconds, r.cpu, r.items) for r in runs), strict=True)
    )
    print(
        f"{'in all':<12}{total:8.1f} s  {cpu:8.1f} s CPU  {items:4d} items  (wanted: at most {WANTED_S:.0f} s)"
    )
    return 0 if all(run.green for run in runs) else 1


def judged(op_type: str) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        start, before = time.perf_counter(), cpu_seconds()
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
                *(str(WORKLOADS / op_type), f"--fib-report={report}"),
                *("-o", "fib_solutions=solutions/mini"),
            ],
            cwd=ROOT,
            env={**os.environ, "XDG_CACHE_HOME": folder},
            capture_output=True,
            text=True,
            check=False,
        )
        seconds, cpu = time.perf_counter() - start, cpu_seconds() - before
        document = json.loads(report.read_text()) if report.exists() else {}
    measurements: list[dict[str, Any]] = document.get("measurements", [])
    solutions: Counter[str] = Counter()
    for measurement in measurements:
        solutions[measurement["solution"]] += measurement["wall_seconds"]
    built = {info["name"]: info["build_seconds"] for info in document.get("solutions", [])}
    return Run(
        seconds,
        cpu,
        sum(built.values()),
        len(measurements),
        solutions,
        done.stdout + done.stderr,
        done.returncode == 0,
    )


def cpu_seconds() -> float:
    """What the processes that were waited for have used."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def shown(op_type: str, run: Run) -> Run:
    slowest = ", ".join(f"{name} {seconds:.1f}" for name, seconds in run.solutions.most_common(SLOWEST))
    print(
        f"{op_type:<12}{run.seconds:8.1f} s  {run.cpu:8.1f} s CPU  {run.items:4d} items, "
        f"{run.building:.1f} s of it building; {slowest}",
        flush=True,
    )
    if not run.green:
        print(run.output, flush=True)
    return run


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
