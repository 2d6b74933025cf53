"""Where latencies on a device scatter: within a process, or from process to process.

    python benchmarks/device_noise.py [KERNEL...] [--processes 12] [--blocks 7]

Judges one and the same code in so many fresh candidate processes, with so many blocks (trials) in each, and takes the
logarithm of each block's median. Printed are, for each kernel,

* its latency, and the standard deviations of those logarithms within and between processes, by one-way analysis of
  variance, with the share of the variance that lies between;
* the standard deviation of the difference of two fresh processes, and how many blocks the gate would plan for it at a
  margin of 2 % (7 to 25): with one block in each process, and with the mean of all blocks in each.

A process has a context and buffers of its own, and all that the judge learns anew for each evaluation: how many calls
a request has, what an inner clock says between calls. What it learns once per session (the hand-over, the bounds of
what lies between two calls) is common to all, and so is the device; other sessions may differ by more. With
``--device=cpu``, to try this program, every block is a process, so that nothing lies between evaluations but time.
"""

from __future__ import annotations

import argparse
import math
import secrets
import statistics
import sys
import time

import torch
from device_kernels import Kernel, chosen, need_device

from pytest_fib.data.evaluation import Timing
from pytest_fib.judge import JudgeConfig, JudgeSession, Sampling
from pytest_fib.measure.gate import blocks_for
from pytest_fib.measure.variance import components

NAMES = ("rmsnorm 64x4096", "addition 0.5 MB", "matmul 512", "addition 64 MB", "matmul 4096")
MARGIN = 0.02
HEAD = (
    f"{'':16}{'latency':>11} {'calls':>5}  {'clock':12}{'within':>8}{'between':>9}{'share':>7}   "
    f"{'one block each':>18}   all blocks each"
)


def timings(session: JudgeSession, kernel: Kernel, processes: int) -> list[Timing]:
    """Return a timing of each of so many fresh processes."""
    found = []
    for number in range(processes):
        evaluation = session.evaluate(*kernel.judged(number), None)
        if evaluation.timing is None:
            raise SystemExit(
                f"{kernel.name} is {evaluation.status.value}: {evaluation.log or evaluation.mismatch}"
            )
        found.append(evaluation.timing)
        for remark in evaluation.remarks:
            print(f"  remark on {kernel.name}, process {number + 1}: {remark}")
    return found


def of_difference(variance: float) -> str:
    """Say how two processes differ whose logarithms have this variance, and what the gate would do about it."""
    scatter = math.sqrt(2 * variance)
    return f"{scatter:7.2%}, {blocks_for(scatter, MARGIN):2} blocks"


def show(kernel: Kernel, found: list[Timing], blocks: int) -> None:
    logs = [[math.log(statistics.median(trial)) for trial in timing.trials_ms] for timing in found]
    within, between = components(logs)
    latency = math.exp(statistics.fmean(value for group in logs for value in group))
    share = between / (within + between) if within + between > 0 else 0.0
    calls = sorted({timing.calls_per_request for timing in found})
    clocks = "/".join(dict.fromkeys(timing.clock for timing in found))
    print(
        f"{kernel.name:16}{latency * 1e3:8.3f} µs {'/'.join(map(str, calls)):>5}  {clocks:12}"
        f"{math.sqrt(within):8.2%}{math.sqrt(between):9.2%}{share:7.0%}   {of_difference(within + between):>18}   "
        f"{of_difference(within / blocks + between)}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kernels", nargs="*", metavar="KERNEL", help=", ".join(NAMES))
    parser.add_argument("--processes", type=int, default=12, help="of each kernel (default: 12)")
    parser.add_argument("--blocks", type=int, default=7, help="of each process (default: 7)")
    parser.add_argument("--device", default="cuda:0", help="default: cuda:0")
    given = parser.parse_args()
    kernels = chosen(NAMES, given.kernels)
    if min(given.processes, given.blocks) < 2:
        parser.error("at least two processes and two blocks")
    need_device(given.device)
    if given.device != "cpu":
        print(f"{torch.cuda.get_device_name(given.device)}, torch {torch.__version__}")
    sampling = Sampling(trials=given.blocks)
    config = JudgeConfig(secret=secrets.token_bytes(32), device=given.device, sampling=sampling)
    print(HEAD)
    start = time.perf_counter()
    with JudgeSession(config) as session:
        for kernel in kernels:
            show(kernel, timings(session, kernel, given.processes), given.blocks)
    print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
