"""How near the judge's clock comes to what a kernel really costs.

    python benchmarks/accuracy.py

* Kernels of known cost: C++ solutions that spin until the processor's monotonic clock has advanced by 2 µs, 20 µs,
  200 µs and 5 ms, from its first to its last instruction.
* Memory-bound kernels: a copy of 64 KB to 64 MB, against an oracle in one process: one thread refills the input from
  another core exactly as the judge does, the other copies and times itself.
* A/A: pairs of evaluations of one solution; how often the interval of their difference holds 0, and how wide it is.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch

from pytest_fib.data.definition import Definition
from pytest_fib.data.evaluation import Timing
from pytest_fib.data.solution import LoadedSolution, Solution
from pytest_fib.data.workload import Workload
from pytest_fib.judge import JudgeConfig, JudgeSession, Sampling
from pytest_fib.judge.machine import Cores
from pytest_fib.measure.interval import student_t_quantile

COPY = Definition.model_validate(
    {
        "name": "copy",
        "op_type": "bench",
        "axes": {"n": {"type": "var"}},
        "inputs": {"x": {"shape": ["n"], "dtype": "float32"}},
        "outputs": {"y": {"shape": ["n"], "dtype": "float32"}},
        "reference": "def run(x):\n    return x.clone()\n",
    }
)
HEAD = """
#include <chrono>
#include <cstring>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>
"""
SPIN = """
void run(tvm::ffi::TensorView x, tvm::ffi::TensorView y) {
  auto end = std::chrono::steady_clock::now() + std::chrono::nanoseconds(%d);
  std::memcpy(y.data_ptr(), x.data_ptr(), x.shape()[0] * 4);
  while (std::chrono::steady_clock::now() < end) {}
}
TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
"""
MEMCPY = """
void run(tvm::ffi::TensorView x, tvm::ffi::TensorView y) {
  std::memcpy(y.data_ptr(), x.data_ptr(), x.shape()[0] * 4);
}
TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
"""
ORACLE = """
#include <chrono>
#include <cstring>
extern "C" long long copy_once(void* to, const void* from, long long bytes) {
  auto start = std::chrono::steady_clock::now();
  std::memcpy(to, from, bytes);
  return (std::chrono::steady_clock::now() - start).count();
}
"""


def solution(name: str, source: str) -> LoadedSolution:
    raw = {
        "name": name,
        "definition": COPY.name,
        "author": "bench",
        "spec": {"language": "cpp", "target_hardware": ["cpu"], "entry_point": "main.cc::run"},
        "sources": [{"path": "main.cc", "content": HEAD + source}],
    }
    return LoadedSolution(Solution.model_validate(raw), Path(name))


def workload(n: int, number: int = 0) -> Workload:
    return Workload.model_validate(
        {"uuid": f"n{n}-{number}", "axes": {"n": n}, "inputs": {"x": {"type": "random"}}}
    )


def judged(session: JudgeSession, subject: LoadedSolution, n: int, number: int = 0) -> Timing:
    evaluation = session.evaluate(COPY, workload(n, number), subject, None)
    assert evaluation.timing is not None, evaluation.log
    for remark in evaluation.remarks:
        print(f"  remark: {remark}")
    return evaluation.timing


def known_costs(session: JudgeSession) -> None:
    print("kernels of known cost        known       judged    error    interval")
    for ns in (2_000, 20_000, 200_000, 5_000_000):
        timing = judged(session, solution(f"spin{ns}", SPIN % ns), 16)
        got = timing.median_ms * 1e3
        low, high = timing.ci95_ms or (math.nan, math.nan)
        print(
            f"spin                    {ns / 1e3:8.1f} µs {got:9.2f} µs {got - ns / 1e3:+7.2f} µs "
            f"({got / (ns / 1e3) - 1:+.2%})  [{low * 1e3:.2f}, {high * 1e3:.2f}]"
        )


class Oracle:
    """The same copy in one process: refilled by another core, timed around the copy alone."""

    def __init__(self) -> None:
        folder = tempfile.mkdtemp()
        source = Path(folder) / "oracle.cc"
        source.write_text(ORACLE)
        library = Path(folder) / "oracle.so"
        command = ["c++", "-O3", "-march=native", "-shared", "-fPIC", str(source), "-o", str(library)]
        subprocess.run(command, check=True)
        self._copy = ctypes.CDLL(str(library)).copy_once
        self._copy.restype = ctypes.c_longlong
        self._copy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_longlong]

    def median_us(self, n: int, repeats: int = 200) -> float:
        import os

        cores = Cores.mine()
        source, x, y = torch.randn(n + 4096), torch.empty(n), torch.empty(n)
        poison = torch.randn(n)
        turn, times = threading.Semaphore(0), []
        ready = threading.Semaphore(0)

        def copier() -> None:
            os.sched_setaffinity(0, set(cores.candidate))
            for _ in range(repeats):
                turn.acquire()
                times.append(self._copy(y.data_ptr(), x.data_ptr(), n * 4))
                ready.release()

        thread = threading.Thread(target=copier)
        thread.start()
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {cores.judge})
        for index in range(repeats):
            x.copy_(source[index % 4096 : index % 4096 + n])
            y.copy_(poison)
            turn.release()
            ready.acquire()
        thread.join()
        os.sched_setaffinity(0, before)
        return statistics.median(times[repeats // 10 :]) / 1e3


def memory_bound(session: JudgeSession) -> None:
    print("memory-bound copies         oracle       judged    ratio")
    oracle = Oracle()
    subject = solution("memcpy", MEMCPY)
    for kib in (64, 256, 1024, 4096, 16384, 65536):
        n = kib * 256
        got = judged(session, subject, n).median_ms * 1e3
        expected = oracle.median_us(n, 200 if kib < 16384 else 40)
        print(f"copy {kib:6d} KiB       {expected:9.2f} µs {got:9.2f} µs   {got / expected:.3f}")


def a_a(session: JudgeSession, pairs: int) -> None:
    subject = solution("spin20000", SPIN % 20_000)
    holds, halves = 0, []
    for number in range(pairs):
        logs = []
        for arm in (0, 1):
            timing = judged(session, subject, 4096, 2 * number + arm)
            logs.append([math.log(statistics.median(trial)) for trial in timing.trials_ms])
        difference = [b - a for a, b in zip(*logs, strict=True)]
        half = (
            student_t_quantile(0.975, len(difference) - 1)
            * statistics.stdev(difference)
            / math.sqrt(len(difference))
        )
        holds += abs(statistics.fmean(difference)) <= half
        halves.append(half)
    print(
        f"A/A: the interval of the difference holds 0 in {holds} of {pairs} pairs; "
        f"median half-width {statistics.median(halves):.2%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("only", nargs="*", default=[])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with JudgeSession(JudgeConfig(secret=b"a" * 32, sampling=Sampling())) as session:
        start = time.perf_counter()
        if not arguments.only or "known" in arguments.only:
            known_costs(session)
        if not arguments.only or "memory" in arguments.only:
            memory_bound(session)
        if not arguments.only or "aa" in arguments.only:
            a_a(session, arguments.pairs)
        print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
