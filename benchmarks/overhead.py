"""What judging costs beside the calls themselves: per workload, per candidate, and per call across the border.

    python benchmarks/overhead.py

Prints, for a trivial Python solution on the smallest workload of tracesets/mini:

* seconds from nothing to the first verdict, with the time that starting the zygote takes in it;
* milliseconds per workload beyond calls ("go" to "done"), reference and builds: with fresh candidates for
  every workload, and with one that is kept for the solution, whose default is one trial; and, as it costs more, with
  one kept for each of five trials;
* what a request of 256 calls of a C++ solution costs against 256 bare calls through tvm_ffi in a process of its own
  (hand-over subtracted), as ratios of neighbouring measurements in one run. The bare calls are made twice: with
  inputs that another core wrote just before, as the judge does, and with the same inputs again and again.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

from pytest_fib.data.definition import Definition
from pytest_fib.data.solution import LoadedSolution, Solution
from pytest_fib.data.workload import Workload
from pytest_fib.judge import JudgeConfig, JudgeSession, Sampling, schedule
from pytest_fib.judge.bench import Request
from pytest_fib.judge.places import Measured, Processor, Stand
from pytest_fib.judge.requests import PLACES

REPEATS = 15
PAIRS = 7

SCALE = Definition.model_validate(
    {
        "name": "scale_h128",
        "op_type": "bench",
        "axes": {"rows": {"type": "var"}, "h": {"type": "const", "value": 128}},
        "inputs": {"x": {"shape": ["rows", "h"], "dtype": "float32"}},
        "outputs": {"y": {"shape": ["rows", "h"], "dtype": "float32"}},
        "reference": "def run(x):\n    return x * 2\n",
    }
)
# A call of a few microseconds shares its request with others, one of some tens has it for itself: far fewer calls.
SHORT = "def run(x, y):\n    y.copy_(x).mul_(2)\n"
LONG = "def run(x, y):\n    for _ in range(10):\n        y.copy_(x).mul_(2)\n"
CPP = """
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>

void run(tvm::ffi::TensorView x, tvm::ffi::TensorView y) {
  auto* in = static_cast<const float*>(x.data_ptr());
  auto* out = static_cast<float*>(y.data_ptr());
  for (int64_t i = 0; i < x.shape()[0] * x.shape()[1]; ++i) out[i] = in[i] * 2;
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
"""


def workload(rows: int, number: int = 0) -> Workload:
    return Workload.model_validate(
        {"uuid": f"rows{rows}-{number}", "axes": {"rows": rows}, "inputs": {"x": {"type": "random"}}}
    )


def solution(language: str, file: str, source: str) -> LoadedSolution:
    raw = {
        "name": f"bench_{language}",
        "definition": SCALE.name,
        "author": "bench",
        "spec": {"language": language, "target_hardware": ["cpu"], "entry_point": f"{file}::run"},
        "sources": [{"path": file, "content": source}],
    }
    return LoadedSolution(Solution.model_validate(raw), Path(file))


def per_workload(isolation: str, sampling: Sampling, source: str) -> list[float]:
    config = JudgeConfig(secret=b"b" * 32, isolation=isolation, sampling=sampling)  # type: ignore[arg-type]
    subject = solution("python", "main.py", source)
    with JudgeSession(config) as session:
        session.evaluate(SCALE, workload(4, 999), subject, None)
        evaluations = [
            session.evaluate(SCALE, workload(4, number), subject, None) for number in range(REPEATS)
        ]
    assert all(evaluation.passed for evaluation in evaluations)
    return sorted(evaluation.overhead_seconds * 1e3 for evaluation in evaluations)


def first_verdict() -> float:
    start = time.perf_counter()
    with JudgeSession(JudgeConfig(secret=b"b" * 32)) as session:
        assert session.evaluate(SCALE, workload(4), solution("python", "main.py", SHORT), None).passed
        return time.perf_counter() - start


def bare_calls(calls: int) -> tuple[float, float]:
    """Return nanoseconds per bare call through tvm_ffi with converted tensors, in a process of its own.

    The first is with inputs and outputs that another process has written on another core since the calls before, the
    second with buffers that stay in this core's cache.
    """
    program = f"""
import mmap, os, sys, tempfile, time, torch, tvm_ffi, tvm_ffi.cpp
torch.set_num_threads(1)
source = sys.stdin.read()
folder = tempfile.mkdtemp()
open(folder + "/k.cc", "w").write(source)
flags = ["-O3", "-march=native", "-std=c++17"]
library = tvm_ffi.cpp.build("k", cpp_files=[folder + "/k.cc"], extra_cflags=flags, build_directory=folder)
run = tvm_ffi.load_module(library).run
inputs, outputs, turn = (
    torch.frombuffer(mmap.mmap(-1, nbytes), dtype=torch.float32)
    for nbytes in ({calls} * 4 * 128 * 4, {calls} * 4 * 128 * 4, 4096)
)
inputs, outputs = inputs.view({calls}, 4, 128), outputs.view({calls}, 4, 128)
inputs.normal_()
outputs.zero_()
cores = sorted(os.sched_getaffinity(0))
writer = os.fork()
os.sched_setaffinity(0, {{cores[-1] if writer else cores[0]}})
if not writer:
    word = turn.numpy()
    while word[0] >= 0:
        if word[0] == 1:
            inputs.mul_(-1)
            outputs.fill_(-7)
            word[0] = 0
    os._exit(0)
sets = [tuple(map(tvm_ffi.from_dlpack, tensors)) for tensors in zip(inputs, outputs)]
word = turn.numpy()
try:
    for refilled in (1, 0):
        times = []
        for _ in range(50):
            word[0] = refilled
            while word[0]:
                pass
            start = time.perf_counter_ns()
            for arguments in sets:
                run(*arguments)
            times.append((time.perf_counter_ns() - start) / {calls})
        print(sorted(times)[len(times) // 2])
finally:
    word[0] = -1
    os.waitpid(writer, 0)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], input=CPP, capture_output=True, text=True, check=True
    )
    refilled, repeated = map(float, ran.stdout.split())
    return refilled, repeated


def judged_calls(calls: int) -> tuple[float, float]:
    """Return nanoseconds per call of the same function, ``calls`` calls in one request across the border.

    The first is what the requests took, hand-over subtracted; the second is the latency that the judge reports, which
    is longer where witnesses contradict the requests.
    """
    seen: list[float] = []

    class Watched(Processor):
        most_sets = calls + PLACES

        def measure(self, stand: Stand) -> Measured:
            measured = super().measure(stand)
            for trial in measured.trials:
                for request, interval in zip(trial.requests, trial.intervals, strict=True):
                    if request == Request(calls):
                        seen.append((interval.elapsed - measured.reading.several.ordinary) / calls)
            return measured

    sampling = Sampling(2, 50, 1, budget_s=None)
    with (
        mock.patch.multiple(schedule, MAX_CALLS_PER_REQUEST=calls, SHORT_NS=1e9),
        JudgeSession(JudgeConfig(secret=b"b" * 32, sampling=sampling)) as session,
    ):
        session.place = Watched()
        evaluation = session.evaluate(SCALE, workload(4), solution("cpp", "main.cc", CPP), None)
    assert evaluation.timing is not None, evaluation.log
    assert evaluation.timing.calls_per_request == calls
    return statistics.median(seen), evaluation.timing.median_ms * 1e6


def main() -> None:
    print(f"first verdict              {first_verdict():8.2f} s")
    kept = Sampling(2, 20, 1)  # what the settings make of --fib-isolation=solution
    for isolation, what, sampling in (
        ("workload", "fresh for every workload", Sampling()),
        ("solution", "kept, its counts", kept),
        ("solution", "kept, as many calls as fresh", Sampling()),
    ):
        for kernel, source in (("short", SHORT), ("long", LONG)):
            overhead = per_workload(isolation, sampling, source)
            print(
                f"overhead, candidates {what:<29} {kernel:<5} kernel: median {statistics.median(overhead):6.1f} ms, "
                f"min {overhead[0]:6.1f} ms",
                flush=True,
            )
    ratios: list[tuple[float, float]] = []
    for _ in range(PAIRS):
        (refilled, repeated), (request, reported) = bare_calls(256), judged_calls(256)
        ratios.append((request / refilled, request / repeated))
        print(
            f"256 C++ calls: {request:.0f} ns/call in the request, reported {reported:.0f}; bare, buffers from "
            f"another core {refilled:.0f}, ratio {request / refilled:.3f}; bare, buffers in its cache "
            f"{repeated:.0f}, ratio {request / repeated:.3f}",
            flush=True,
        )
    for which, what in enumerate(("buffers from another core", "buffers in the cache")):
        values = sorted(ratio[which] for ratio in ratios)
        print(
            f"256 C++ calls, bare with {what}: median ratio {statistics.median(values):.3f} of {PAIRS}, "
            f"largest {values[-1]:.3f}"
        )


if __name__ == "__main__":
    main()
