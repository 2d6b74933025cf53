"""How near the judge's clock comes to what a kernel really costs.

    python benchmarks/accuracy.py

* Kernels of known cost: C++ solutions that spin until the processor's monotonic clock has advanced by 2 µs, 20 µs,
  200 µs and 5 ms, from its first to its last instruction.
* Memory-bound kernels: a copy of 64 KB to 64 MB, against an oracle in one process: one thread is the judge's own
  bench, the other one sleeps on the candidates' core, copies when told and times itself; the median over pairs, one
  after the other.
* A/A: pairs of evaluations of one solution; how often the interval of their difference holds 0, and how wide it is.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from pytest_fib.data.definition import Definition
from pytest_fib.data.evaluation import Timing
from pytest_fib.data.solution import LoadedSolution, Solution
from pytest_fib.data.workload import Workload
from pytest_fib.judge import JudgeConfig, JudgeSession, Sampling
from pytest_fib.judge.arena import JudgeArena
from pytest_fib.judge.bench import Request
from pytest_fib.judge.candidate import Candidate, Interval
from pytest_fib.judge.examination import Examination, _places
from pytest_fib.judge.machine import Cores
from pytest_fib.judge.schedule import Schedule
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
LOOPS = """
void run(tvm::ffi::TensorView x, tvm::ffi::TensorView y) {
  auto* in = static_cast<const float*>(x.data_ptr());
  auto* out = static_cast<float*>(y.data_ptr());
  for (int64_t i = 0; i < x.shape()[0]; ++i) {
    float value = in[i];
    for (int j = 0; j < 16; ++j) value = value * 0.5f + in[i] * 0.5f;
    out[i] = value;
  }
}
TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
"""
A_A = {
    "spin 7 us": SPIN % 7_000,
    "spin 30 us": SPIN % 30_000,
    "spin 300 us": SPIN % 300_000,
    "arithmetic": LOOPS,
}
ORACLE = """
#include <chrono>
#include <cstring>
using Clock = std::chrono::steady_clock;
extern "C" long long copies(char* const* to, const char* const* from, long long bytes, int calls, long long lead) {
  const auto awake = Clock::now() + std::chrono::nanoseconds(lead);
  while (Clock::now() < awake) {}
  const auto start = Clock::now();
  for (int i = 0; i < calls; ++i) std::memcpy(to[i], from[i], bytes);
  return (Clock::now() - start).count();
}
"""
SIZES_KIB = (64, 256, 1024, 4096, 16384, 65536)
MEMORY_PAIRS = 16
LARGE_KIB = 16384
ORACLE_REQUESTS = 25
LEAD_NS = 20_000  # about what a candidate spins from its wake to "go"


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
    """The same copies in one process: served by the judge's own bench, timed around the copies alone.

    The thread that copies sleeps on a core of its own between requests, like a candidate that is stopped.
    """

    def __init__(self) -> None:
        folder = tempfile.mkdtemp()
        source = Path(folder) / "oracle.cc"
        source.write_text(ORACLE)
        library = Path(folder) / "oracle.so"
        command = ["c++", "-O3", "-march=native", "-shared", "-fPIC", str(source), "-o", str(library)]
        subprocess.run(command, check=True)
        self._copies = ctypes.CDLL(str(library)).copies
        self._copies.restype = ctypes.c_longlong

    def median_us(self, session: JudgeSession, n: int, calls: int) -> float:
        """Return microseconds per copy of ``n`` floats, ``calls`` copies a request."""
        examination = Examination(session, COPY, workload(n), solution("oracle", MEMCPY), None)
        inputs = examination._plan_inputs(workload(n), vary=True)
        shapes = examination._output_shapes(workload(n))
        arena = JudgeArena(examination._arena_plan(inputs, shapes), np.random.default_rng(0))
        thread = _Copier(self._copies, arena, n, session.cores)
        with session.lock.timing():
            bench = examination._bench(inputs, arena, shapes)
            places = _places(Schedule(calls, 0, ORACLE_REQUESTS, 0, 0, None), bench)
            requests = [Request(calls, first=next(places)) for _ in range(ORACLE_REQUESTS)]
            bench.run(cast(Candidate, thread), requests, verify=4)
        thread.end()
        return statistics.median(thread.times[ORACLE_REQUESTS // 5 :]) / 1e3 / calls


class _Copier:
    """What the bench needs of a candidate, played by a thread."""

    def __init__(self, copies: Any, arena: JudgeArena, n: int, cores: Cores) -> None:
        self.times: list[float] = []
        self._copies, self._arena, self._n, self._cores = copies, arena, n, cores
        self._turn, self._ready = threading.Semaphore(0), threading.Semaphore(0)
        self._sets = range(0)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def call_up(self, requests: int, most: int) -> None:
        pass

    def arm(self, timeout_s: float) -> None:
        pass

    def kill(self) -> None:
        self.end()

    def end(self) -> None:
        self._sets = range(0)
        self._turn.release()
        self._thread.join()

    def run_timed(
        self, calls: range, timeout_s: float, sample: Callable[[], object], early: bool
    ) -> Interval:
        self._sets = calls
        self._turn.release()
        self._ready.acquire()
        sample()
        return Interval(int(self.times[-1]))

    def _serve(self) -> None:
        os.sched_setaffinity(0, set(self._cores.candidate))
        plan, arena = self._arena.plan, self._arena
        first = arena._out.ctypes.data + plan.outputs.slots[0].offset
        while self._turn.acquire() and self._sets:
            pointers = ctypes.c_void_p * len(self._sets)
            x = pointers(*(arena.inputs_of(index)["x"].data_ptr() for index in self._sets))
            y = pointers(*(first + index * plan.outputs.stride for index in self._sets))
            count, nbytes = ctypes.c_int(len(self._sets)), ctypes.c_longlong(4 * self._n)
            self.times.append(self._copies(y, x, nbytes, count, ctypes.c_longlong(LEAD_NS)))
            self._ready.release()


def memory_bound() -> None:
    """Print the ratio of neighbouring measurements: where a virtual machine's cores are changes by the second."""
    print("memory-bound copies         oracle       judged    ratio   (quartiles)        of the least")
    oracle = Oracle()
    subject = solution("memcpy", MEMCPY)
    config = JudgeConfig(secret=b"a" * 32, isolation="solution", sampling=Sampling(5, 20, 1, budget_s=None))
    with JudgeSession(config) as session:
        for kib in SIZES_KIB:
            n = kib * 256
            pairs = []
            for number in range(MEMORY_PAIRS if kib < LARGE_KIB else MEMORY_PAIRS // 2):
                before = oracle.median_us(session, n, pairs[-1][2] if pairs else 1)
                timing = judged(session, subject, n, number)
                calls = timing.calls_per_request
                after = oracle.median_us(session, n, calls)
                pairs.append((timing.median_ms * 1e3, (before + after) / 2, calls))
            del pairs[0]  # the number of calls was not known yet
            ratios = sorted(got / expected for got, expected, _ in pairs)
            got, expected = (statistics.median(pair[which] for pair in pairs) for which in (0, 1))
            low, middle, high = statistics.quantiles(ratios, n=4)
            least = min(got for got, _, _ in pairs) / min(expected for _, expected, _ in pairs)
            print(
                f"copy {kib:6d} KiB       {expected:9.2f} µs {got:9.2f} µs   {middle:.3f}   "
                f"({low:.3f} to {high:.3f})   {least:.3f}",
                flush=True,
            )


def a_a(session: JudgeSession, pairs: int) -> None:
    """Print how often two runs of one solution are told apart; the kernels take turns."""
    holds: dict[str, list[bool]] = {name: [] for name in A_A}
    halves = []
    for number in range(pairs):
        name = list(A_A)[number % len(A_A)]
        logs, clock = [], 0.0
        for arm in (0, 1):
            timing = judged(session, solution(name, A_A[name]), 4096, 2 * number + arm)
            logs.append([math.log(statistics.median(trial)) for trial in timing.trials_ms])
            clock = math.hypot(clock, timing.clock_uncertainty_ms / timing.latency_ms)
        difference = [b - a for a, b in zip(*logs, strict=True)]
        quantile = student_t_quantile(0.975, len(difference) - 1)
        half = quantile * statistics.stdev(difference) / math.sqrt(len(difference))
        half = math.hypot(half, clock)  # as in the interval of each
        holds[name].append(abs(statistics.fmean(difference)) <= half)
        halves.append(half)
    for name, held in holds.items():
        print(f"  {name}: {sum(held)} of {len(held)}")
    print(
        f"A/A: the interval of the difference holds 0 in {sum(map(sum, holds.values()))} of {pairs} pairs; "
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
            memory_bound()
        if not arguments.only or "aa" in arguments.only:
            a_a(session, arguments.pairs)
        print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
