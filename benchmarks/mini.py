"""How long all mini solutions take on all mini workloads: seconds per op type and in all.

    python benchmarks/mini.py [OP_TYPE...]

Starts pytest once, with an empty cache, so that compiling C++ counts, and without pytest-xdist. Prints for each op
type what judging its items took and the slowest solutions, then the wall time of the whole (at most 240 seconds
wanted on two cores). Beside other work the seconds of CPU say more: on an idle machine the wall time is some 0.8 of
them. The exit status is that of pytest.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WORKLOADS = ROOT / "tracesets" / "mini" / "workloads"
WANTED_S = 240.0
SLOWEST = 4


def main(words: list[str]) -> int:
    op_types = words or sorted(folder.name for folder in WORKLOADS.iterdir())
    unknown = [name for name in op_types if not (WORKLOADS / name).is_dir()]
    if unknown:
        print(f"there is no op type {unknown[0]} in {WORKLOADS}; see its folders", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        start = time.perf_counter()
        done = judge([WORKLOADS / op_type for op_type in op_types], report)
        seconds = time.perf_counter() - start
        document = (
            json.loads(report.read_text()) if report.exists() else {"measurements": [], "solutions": []}
        )
    if done.returncode:
        print(done.stdout + done.stderr)
    show(document)
    build = sum(solution["build_seconds"] for solution in document["solutions"])
    print(
        f"{'in all':<12}{seconds:7.1f} s, {cpu_seconds():.1f} s of CPU, {len(document['measurements'])} items, "
        f"{build:.1f} s of building (wanted: at most {WANTED_S:.0f} s)"
    )
    return done.returncode


def judge(folders: list[Path], report: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, folders)),
            *("-o", "fib_solutions=solutions/mini", f"--fib-report={report}"),
        ],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(report.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


def show(document: dict[str, Any]) -> None:
    op_types = {path.stem: path.parent.name for path in WORKLOADS.glob("*/*.jsonl")}
    solutions: defaultdict[str, Counter[str]] = defaultdict(Counter)
    items: Counter[str] = Counter()
    for measurement in document["measurements"]:
        op_type = op_types[measurement["definition"]]
        solutions[op_type][measurement["solution"]] += measurement["wall_seconds"]
        items[op_type] += 1
    for op_type, seconds in solutions.items():
        slowest = ", ".join(f"{name} {spent:.1f}" for name, spent in seconds.most_common(SLOWEST))
        print(f"{op_type:<12}{seconds.total():7.1f} s, {items[op_type]} items; {slowest}")


def cpu_seconds() -> float:
    """What the processes that were waited for have used."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
