"""How near the judge's clock comes to what a kernel really costs.

    python benchmarks/accuracy.py

* Kernels of known cost: C++ solutions that spin until the processor's monotonic clock has advanced by 2 µs, 20 µs,
  200 µs and 5 ms, from its first to its last instruction.
* Memory-bound kernels: a C++ copy of 64 KB to 64 MB. The oracle is the clock inside: the same calls, timed by the
  solution itself around its copy, with what reading its clock costs beside. Next to it stands a program of two
  processes without a judge, one of which writes fresh buffers on its core and the other copies and times itself on
  another one, run before and after; it shows whether being stopped between requests makes copies slower.
* A/A: pairs of evaluations of one solution; how often the interval of their difference (Welch's, on the
  logarithms of trial medians) holds 0, and how wide it is.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from pytest_fib.data.definition import Definition
from pytest_fib.data.evaluation import Timing
from pytest_fib.data.solution import LoadedSolution, Solution
from pytest_fib.data.workload import Workload
from pytest_fib.judge import JudgeConfig, JudgeSession, Sampling
from pytest_fib.judge.machine import Cores
from pytest_fib.judge.output import Output
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
# Tells now and then the calls so far: the time since the one before, and its own.
MEMCPY = """
#include <cstdio>
#include <vector>
using Clock = std::chrono::steady_clock;
static std::vector<long long> seen;
static Clock::time_point before;
void note(Clock::time_point start, Clock::time_point end) {
  seen.push_back((start - before).count());
  seen.push_back((end - start).count());
  before = end;
}
double cost_of_noting() {
  const auto begin = Clock::now();
  for (int i = 0; i < 1000; ++i) {
    const auto start = Clock::now();
    note(start, Clock::now());
  }
  double all = (Clock::now() - begin).count(), inside = 0;
  for (int i = 0; i < 1000; ++i) inside += seen[2 * i + 1];
  seen.clear();
  return (all - inside) / 1000;
}
static const double noting = cost_of_noting();
void run(tvm::ffi::TensorView x, tvm::ffi::TensorView y) {
  const auto start = Clock::now();
  std::memcpy(y.data_ptr(), x.data_ptr(), x.shape()[0] * 4);
  note(start, Clock::now());
  if (seen.size() < 2 * %d) return;
  std::printf("%%.1f", noting);
  for (auto number : seen) std::printf(" %%lld", number);
  std::printf("\\n");
  std::fflush(stdout);
  seen.clear();
}
TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
"""
TOLD_AT_ONCE = 97  # more than a request has, and no multiple of that
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
PLAIN = """
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>
using Clock = std::chrono::steady_clock;
struct Control { std::atomic<int> go, done; long long ns; };
static void pin(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  sched_setaffinity(0, sizeof set, &set);
}
static char* shared(size_t bytes) {
  return static_cast<char*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}
int main(int, char** argv) {
  const size_t bytes = atol(argv[1]), stride = bytes + 4096;
  const int sets = atoi(argv[2]), rounds = atoi(argv[3]);
  auto* control = reinterpret_cast<Control*>(shared(4096));
  char *x = shared(stride * sets), *y = shared(stride * sets);
  if (!fork()) {
    pin(atoi(argv[5]));
    for (int round = 1;; ++round) {
      while (control->go.load(std::memory_order_acquire) != round) if (control->go.load() < 0) _exit(0);
      const auto start = Clock::now();
      for (int i = 0; i < sets; ++i) std::memcpy(y + i * stride, x + i * stride, bytes);
      control->ns = (Clock::now() - start).count();
      control->done.store(round, std::memory_order_release);
    }
  }
  pin(atoi(argv[4]));
  std::vector<char> pool(bytes + (1 << 20)), taken(bytes * sets);
  for (auto& byte : pool) byte = rand();
  std::vector<long long> times;
  for (int round = 1; round <= rounds; ++round) {
    for (int i = 0; i < sets; ++i) {
      std::memcpy(x + i * stride, &pool[rand() % (1 << 20)], bytes);
      std::memset(y + i * stride, round, bytes);
    }
    control->go.store(round, std::memory_order_release);
    while (control->done.load(std::memory_order_acquire) != round) {}
    times.push_back(control->ns);
    for (int i = 0; i < sets; ++i) std::memcpy(&taken[i * bytes], y + i * stride, bytes);
  }
  control->go = -1;
  wait(nullptr);
  std::sort(times.begin(), times.end());
  std::printf("%.3f", times[times.size() / 2] / 1e3 / sets);
}
"""
SIZES_KIB = (64, 256, 1024, 4096, 16384, 65536)
MEMORY_RUNS = 9
LARGE_KIB = 65536  # of which there are fewer runs
PLAIN_ROUNDS = 60
SAME_REQUEST_NS = 60_000  # stopping and waking a candidate takes longer


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


class Plain:
    """The same copies by two processes that are nobody's candidates."""

    def __init__(self, cores: Cores) -> None:
        folder = Path(tempfile.mkdtemp())
        (folder / "plain.cc").write_text(PLAIN)
        self._program = folder / "plain"
        command = ["c++", "-O3", "-march=native", "-o", str(self._program), str(folder / "plain.cc")]
        subprocess.run(command, check=True)
        self._cores = [str(cores.judge), str(min(cores.candidate))]

    def median_us(self, n: int, calls: int) -> float:
        """Return microseconds per copy of ``n`` floats, ``calls`` copies a request."""
        counts = [str(4 * n), str(calls), str(PLAIN_ROUNDS)]
        ran = subprocess.run(
            [str(self._program), *counts, *self._cores], capture_output=True, text=True, check=True
        )
        return float(ran.stdout)


def inside_us(printed: list[str], calls: int) -> float:
    """Return microseconds per copy as the solution's own clock has it, of requests of ``calls`` calls."""
    requests: list[list[float]] = []
    lines = (line.split() for text in printed for line in text.splitlines())
    for noting, *numbers in (map(float, line) for line in lines if len(line) == 1 + 2 * TOLD_AT_ONCE):
        for since, elapsed in zip(numbers[::2], numbers[1::2], strict=True):
            if not requests or since > SAME_REQUEST_NS:
                requests.append([])
            requests[-1].append(elapsed + noting)
    return statistics.median(sum(request) for request in requests if len(request) == calls) / calls / 1e3


@contextlib.contextmanager
def eavesdropping() -> Iterator[list[str]]:
    """Collect what candidates print, which the judge keeps only if something goes wrong."""
    printed: list[str] = []
    close = Output.close

    def closing(self: Output) -> None:
        if self.fileno >= 0:
            printed.append(self.text())
        close(self)

    Output.close = closing  # type: ignore[method-assign]
    try:
        yield printed
    finally:
        Output.close = close  # type: ignore[method-assign]


def memory_bound() -> None:
    """Print ratios of one and the same call, and of neighbouring runs: a virtual machine's cores move."""
    print(
        "memory-bound copies      judged         inside   ratio (quartiles)           plain   ratio (quartiles)"
    )
    subject = solution("memcpy", MEMCPY % TOLD_AT_ONCE)
    config = JudgeConfig(secret=b"a" * 32, sampling=Sampling(5, 110, 1, budget_s=None))
    with JudgeSession(config) as session, eavesdropping() as printed:
        plain = Plain(session.cores)
        for kib in SIZES_KIB:
            n, calls = kib * 256, 1
            rows = []
            for number in range(MEMORY_RUNS if kib < LARGE_KIB else 3):
                before = plain.median_us(n, calls)
                printed.clear()
                timing = judged(session, subject, n, number)
                calls = timing.calls_per_request
                inside = inside_us(printed, calls)
                rows.append((timing.median_ms * 1e3, inside, (before + plain.median_us(n, calls)) / 2))
            got, inside, other = (statistics.median(row[which] for row in rows) for which in range(3))
            print(
                f"copy {kib:6d} KiB   {got:9.2f} µs   {inside:9.2f} µs   {ratios(rows, 1)}   {other:9.2f} µs   "
                f"{ratios(rows, 2)}",
                flush=True,
            )


def ratios(rows: list[tuple[float, float, float]], to: int) -> str:
    """Return median and quartiles of the first column's ratio to another."""
    low, middle, high = statistics.quantiles((row[0] / row[to] for row in rows), n=4)
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def welch(one: list[float], other: list[float]) -> float:
    """Return half of the 95 % interval of the difference of two means, whose samples have nothing in common.

    Source: Welch, "The generalization of Student's problem when several different population variances are involved",
    Biometrika 34, 1947.
    """
    squares = [statistics.variance(values) / len(values) for values in (one, other)]
    degrees = sum(squares) ** 2 / sum(
        square**2 / (len(values) - 1) for square, values in zip(squares, (one, other), strict=True)
    )
    return student_t_quantile(0.975, degrees) * math.sqrt(sum(squares))


def a_a(session: JudgeSession, pairs: int) -> None:
    """Print how often two runs of one solution are told apart; the kernels take turns."""
    holds: dict[str, list[bool]] = {name: [] for name in A_A}
    halves: dict[str, list[float]] = {name: [] for name in A_A}
    for number in range(pairs):
        name = list(A_A)[number % len(A_A)]
        logs, clock = [], 0.0
        for arm in (0, 1):
            timing = judged(session, solution(name, A_A[name]), 4096, 2 * number + arm)
            logs.append([math.log(statistics.median(trial)) for trial in timing.trials_ms])
            clock = math.hypot(clock, timing.clock_uncertainty_ms / timing.latency_ms)
        half = math.hypot(welch(*logs), clock)  # as in the interval of each
        difference = statistics.fmean(logs[1]) - statistics.fmean(logs[0])
        holds[name].append(abs(difference) <= half)
        halves[name].append(half)
    for name, held in holds.items():
        print(
            f"  {name}: {sum(held)} of {len(held)}, median half-width {statistics.median(halves[name]):.2%}"
        )
    widths = [half for each in halves.values() for half in each]
    print(
        f"A/A: the interval of the difference holds 0 in {sum(map(sum, holds.values()))} of {pairs} pairs; "
        f"median half-width {statistics.median(widths):.2%}"
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
