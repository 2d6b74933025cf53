"""What trust costs: all of today's judging against the plain judging of an earlier commit, on the same workloads.

    python benchmarks/trusted.py [--commit 671d22f] [--runs 3]

Checks the commit out elsewhere, then judges that commit's Python and C++ solutions for tracesets/mini with both,
alternating, each run in a process of its own, after one workload per solution that is not counted (it builds and
imports). Prints the seconds of each run and the ratio of the medians (at most 1.3 wanted). That commit had separate
processes, secret inputs and verified calls, but no sandbox, no stops between requests, no witnesses, no closer look
at numerics.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = """
import sys, time
from pathlib import Path
code, data = map(Path, sys.argv[1:])
sys.path.insert(0, str(code))
import pytest_fib
assert Path(pytest_fib.__file__).is_relative_to(code), pytest_fib.__file__
from pytest_fib.data.readers import read_solution, read_workloads
from pytest_fib.data.traceset import Traceset
from pytest_fib.judge import JudgeConfig, JudgeSession
traceset = Traceset(data / "tracesets/mini")
seconds, count = 0.0, 0
with JudgeSession(JudgeConfig(secret=b"t" * 32)) as session:
    for path in sorted((data / "solutions/mini").glob("*/*.json")):
        loaded = read_solution(path)
        if loaded.solution.spec.language == "triton":
            continue  # most of its time is Triton's interpreter
        definition = traceset.definition(loaded.solution.definition)
        workloads = [line.workload for line in read_workloads(traceset.workload_file(definition.name))]
        session.evaluate(definition, workloads[0], loaded, None)
        start = time.perf_counter()
        for workload in workloads:
            evaluation = session.evaluate(definition, workload, loaded, None)
            assert evaluation.passed, (path, workload.axes, evaluation.log)
            count += 1
        seconds += time.perf_counter() - start
print(seconds, count)
"""


def seconds(code: Path, data: Path) -> tuple[float, int]:
    """Judge the solutions of ``data`` with the package in ``code``; return seconds and how many workloads."""
    command = [sys.executable, "-c", PROGRAM, str(code), str(data)]
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": str(code)}
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=data, env=environment)
    total, count = ran.stdout.split()
    return float(total), int(count)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--commit", default="671d22f", help="whose judging is the plain one")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder).resolve() / "plain"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "-q", "--detach", str(plain), arguments.commit], check=True)
        try:
            runs = [(seconds(plain, plain), seconds(ROOT, plain)) for _ in range(arguments.runs)]
        finally:
            subprocess.run([*git, "remove", "--force", str(plain)], check=True)
    for (before, count), (now, _) in runs:
        print(f"{count} workloads: plain {before:.2f} s, today {now:.2f} s, ratio {now / before:.3f}")
    before, now = (statistics.median(run[which][0] for run in runs) for which in (0, 1))
    print(f"median: plain {before:.2f} s, today {now:.2f} s, ratio {now / before:.3f}")


if __name__ == "__main__":
    main()
