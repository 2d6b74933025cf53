"""Wall time per (solution, workload) beside FlashInfer-Bench, in one run on one GPU.

    python benchmarks/peers.py [--workloads 8] [--runs 1]

One Triton rmsnorm (hidden size 4096, bfloat16) on workloads of different batch sizes, judged in four ways with the
same counts, FlashInfer-Bench's defaults (10 warm-up calls, 50 iterations, 3 trials):

* ``isolated``: FlashInfer-Bench, a new process for each solution and workload; next to it ``workload``: pytest-fib, a
  fresh candidate for each workload. At most one tenth is wanted.
* ``persistent``: FlashInfer-Bench, one process for everything; next to it ``solution``: pytest-fib, one candidate for
  the solution. At most one fifth is wanted.

Each way runs in a process of its own with empty caches, one after the other, in the opposite order every second run.
The clock starts when the runner or session is made, behind the imports. The first workload is extra: it has the
start and the compilation in it and is not counted. Printed are, for each way, the seconds of the first workload, the
median of the others, and the mean with the first; for each workload seconds, statuses and the latencies that were
reported; then both ratios, without and with the first.

FlashInfer-Bench is what is installed (0.1.2 needs neither flashinfer-python nor a stand-in for it). With
``--device=cpu`` only pytest-fib runs, to try this program: Triton is interpreted there.
"""

from __future__ import annotations

# FlashInfer-Bench's processes import this file once more, so what takes long to import is imported further down.
import argparse
import importlib.metadata
import importlib.util
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

WARMUPS, ITERATIONS, TRIALS = 10, 50, 3
FIRST_BATCH, STEP = 8, 16
OFFICIAL, OURS = ("isolated", "persistent"), ("workload", "solution")
WAYS = ("isolated", "workload", "persistent", "solution")
RATIOS = (("workload", "isolated", 0.1), ("solution", "persistent", 0.2))

Row = dict[str, Any]  # seconds, status, latency_ms, note


def officially(folder: Path, way: str) -> Iterator[Row]:
    """Run FlashInfer-Bench on each workload."""
    from flashinfer_bench.bench import Benchmark, BenchmarkConfig  # type: ignore[import-untyped]
    from flashinfer_bench.data import TraceSet  # type: ignore[import-untyped]

    traceset = TraceSet.from_path(str(folder))
    ((name, lines),) = list(traceset.workloads.items())
    config = BenchmarkConfig(
        warmup_runs=WARMUPS,
        iterations=ITERATIONS,
        num_trials=TRIALS,
        use_isolated_runner=way == "isolated",
        log_dir=str(folder / "logs"),
    )
    start = time.perf_counter()
    with closing(Benchmark(traceset, config)) as benchmark:
        for line in lines:
            traceset.workloads[name] = [line]
            traces = benchmark.run_all(dump_traces=False).traces.get(name, [])
            seconds = time.perf_counter() - start
            evaluation = traces[0].evaluation if traces else None
            performance = evaluation and evaluation.performance
            yield {
                "seconds": seconds,
                "status": evaluation.status.value if evaluation else "no trace",
                "latency_ms": performance.latency_ms if performance else None,
                "note": evaluation.log[-500:] if evaluation and not performance else "",
            }
            start = time.perf_counter()


def ours(folder: Path, way: str, device: str) -> Iterator[Row]:
    """Have pytest-fib judge each workload."""
    from pytest_fib.data.readers import read_solution, read_workloads
    from pytest_fib.data.traceset import Traceset
    from pytest_fib.data.workload import WorkloadLine
    from pytest_fib.judge import JudgeConfig, JudgeSession, Sampling

    traceset = Traceset(folder)
    loaded = read_solution(traceset.solution_files()[0])
    definition = traceset.definition(loaded.solution.definition)
    lines = list(read_workloads(traceset.workload_files()[0]))
    config = JudgeConfig(
        secret=secrets.token_bytes(32),
        device=device,
        isolation=way,  # type: ignore[arg-type]
        sampling=Sampling(WARMUPS, ITERATIONS, TRIALS, budget_s=None),
        cache_dir=folder / "cache",
    )
    start = time.perf_counter()
    with JudgeSession(config) as session:
        for line in lines:
            assert isinstance(line, WorkloadLine), line
            evaluation = session.evaluate(definition, line.workload, loaded, folder)
            yield {
                "seconds": time.perf_counter() - start,
                "status": evaluation.status.value,
                "latency_ms": evaluation.timing.latency_ms if evaluation.timing else None,
                "note": "; ".join(
                    [*evaluation.remarks, *([evaluation.log[-500:]] if evaluation.log else [])]
                ),
            }
            start = time.perf_counter()


def run(way: str, batches: list[int], device: str) -> list[Row]:
    """Judge in one way, in a process of its own with its own copy of the trace set and empty caches."""
    from device_kernels import RMSNORM, RMSNORM_TRITON, workload, write_traceset

    from pytest_fib.data.devices import visible_gpu

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workloads = [workload(RMSNORM, f"batch-{batch}", {"batch_size": batch}) for batch in batches]
        write_traceset(folder / "set", RMSNORM, RMSNORM_TRITON, workloads)
        environment = {
            **os.environ,
            "FIB_CACHE_PATH": str(folder / "official"),
            "TRITON_CACHE_DIR": str(folder / "triton"),
        }
        if device != "cpu":  # FlashInfer-Bench uses every device that it sees
            environment["CUDA_VISIBLE_DEVICES"] = visible_gpu(device, os.environ)
            device = "cuda:0"
        out = folder / "rows.json"
        command = [
            sys.executable,
            __file__,
            f"--device={device}",
            f"--measure={way}",
            str(folder / "set"),
            str(out),
        ]
        if subprocess.run(command, env=environment).returncode:
            raise SystemExit(f"{way} did not come to an end; what it said stands above")
        rows: list[Row] = json.loads(out.read_text())
    return rows


def measure(way: str, device: str, folder: Path, out: Path) -> None:
    rows = officially(folder, way) if way in OFFICIAL else ours(folder, way, device)
    out.write_text(json.dumps(list(rows)))


def show(runs: dict[str, list[list[Row]]], batches: list[int]) -> None:
    for index, batch in enumerate(batches):
        print(f"batch {batch:5}" + ("  (first, not counted)" if not index else ""))
        for way, tables in runs.items():
            rows = [table[index] for table in tables]
            took = ", ".join(f"{row['seconds']:.2f}" for row in rows)
            latencies = ", ".join(
                "none" if row["latency_ms"] is None else f"{row['latency_ms'] * 1e3:.2f}" for row in rows
            )
            statuses = ", ".join(dict.fromkeys(row["status"] for row in rows))
            print(f"  {way:<11} {took} s, {statuses}, {latencies} µs")
    print()
    median, mean = {}, {}
    for way, tables in runs.items():
        first = statistics.median(table[0]["seconds"] for table in tables)
        counted = [row["seconds"] for table in tables for row in table[1:]]
        median[way] = statistics.median(counted)
        mean[way] = statistics.fmean(row["seconds"] for table in tables for row in table)
        print(
            f"{way:<11} first {first:6.2f} s; the others: median {median[way]:6.3f} s, {min(counted):.3f} to "
            f"{max(counted):.3f} s; mean with the first {mean[way]:6.3f} s"
        )
        for note in dict.fromkeys(row["note"] for table in tables for row in table if row["note"]):
            print(f"  note: {note}")
    for one, other, wanted in RATIOS:
        if one in runs and other in runs:
            print(
                f"{one} against {other}: ratio {median[one] / median[other]:.3f} (at most {wanted} wanted), with the "
                f"first {mean[one] / mean[other]:.3f}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workloads", type=int, default=8, help="that are counted (default: 8)")
    parser.add_argument("--runs", type=int, default=1, help="of each way (default: 1)")
    parser.add_argument("--device", default="cuda:0", help="default: cuda:0")
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("paths", nargs="*", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(given.measure, given.device, *given.paths)
        return
    from device_kernels import need_device

    if min(given.workloads, given.runs) < 1:
        parser.error("at least one workload and one run")
    need_device(given.device)
    official = given.device != "cpu"
    if official and importlib.util.find_spec("flashinfer_bench") is None:
        raise SystemExit("FlashInfer-Bench is not installed: pip install --no-deps flashinfer-bench==0.1.2")
    ways = [way for way in WAYS if official or way in OURS]
    batches = [FIRST_BATCH, *(STEP * (index + 1) for index in range(given.workloads))]
    if official:
        print(f"FlashInfer-Bench {importlib.metadata.version('flashinfer-bench')}")
    runs: dict[str, list[list[Row]]] = {way: [] for way in ways}
    for number in range(given.runs):
        for way in reversed(ways) if number % 2 else ways:
            start = time.perf_counter()
            runs[way].append(run(way, batches, given.device))
            print(f"run {number + 1}: {way} took {time.perf_counter() - start:.1f} s in all", flush=True)
    show(runs, batches)


if __name__ == "__main__":
    main()
