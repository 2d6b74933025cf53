"""How near the latencies judged on a device come to CUPTI's durations outside.

    python benchmarks/device_accuracy.py [KERNEL...] [--evaluations 3]

Kernels: copies of 0.5, 4 and 64 MB and an rmsnorm of 64 rows in Triton, bfloat16 products of torch, and a kernel of
about 1 ms (all of them, or those named, by any part of the name). Each is judged in fresh evaluations, and then run
in a process without a judge, on inputs of its own, under ``torch.profiler`` (``device_outside.py`` says how), with as
many calls to a request as the judge had. Printed are, in microseconds,

* outside: the L2 cache flushed before each call, without and with its lines written back before the call, and after
  two idle milliseconds (a device's power and clocks depend on what it did before); held for some milliseconds,
  flushed once, and rotating through as many sets of inputs and outputs, which is what the judge does; in a row with
  the same inputs;
* judged: the evaluation whose median is the middle one, with its interval, the lowest and highest median, the clock;
* the judged median less the rotating one, and whether it is within 2 % + 0.2 µs of CUPTI's.

The inputs of calls are random on both sides. With ``--device=cpu`` only the judge runs, to try this program.
"""

from __future__ import annotations

import argparse
import json
import secrets
import subprocess
import sys
from pathlib import Path

import torch
from device_kernels import Kernel, chosen, need_device

from pytest_fib.data.evaluation import Timing
from pytest_fib.judge import JudgeConfig, JudgeSession, Sampling

NAMES = (
    "rmsnorm 64x4096",
    *("copy 0.5 MB", "copy 4 MB", "copy 64 MB"),
    *("matmul 512", "matmul 2048", "matmul 4096"),
    "1 ms",
)
OTHER_WAYS = ("clean", "idle", "rotating", "in_a_row")
SHARE, FIXED_US = 0.02, 0.2
OUTSIDE = Path(__file__).with_name("device_outside.py")
HEAD = (
    f"{'':16}{'outside: flushed':>17}{'clean':>10}{'idle':>10}{'rotating':>10}{'in a row':>10}   {'judged':>9}  "
    f"{'interval':24}{'evaluations':24}{'calls':>5}  {'clock':6} difference"
)


def judged(session: JudgeSession, kernel: Kernel, evaluations: int) -> list[Timing]:
    """Return the timings of fresh evaluations, the fastest first."""
    timings = []
    for number in range(evaluations):
        evaluation = session.evaluate(*kernel.judged(number), None)
        if evaluation.timing is None:
            raise SystemExit(
                f"{kernel.name} is {evaluation.status.value}: {evaluation.log or evaluation.mismatch}"
            )
        timings.append(evaluation.timing)
        for remark in evaluation.remarks:
            print(f"  remark on {kernel.name}: {remark}")
        if number == 0 and evaluation.conditions is not None and evaluation.conditions.sm_mhz:
            print(f"  {kernel.name}: SM clock {evaluation.conditions.sm_mhz} MHz")
    return sorted(timings, key=lambda timing: timing.median_ms)


def outside(kernel: Kernel, calls: int, device: str) -> dict[str, float]:
    """Return microseconds per call in a process without a judge."""
    command = [sys.executable, str(OUTSIDE), kernel.name, f"--calls={calls}", f"--device={device}"]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if ran.returncode:
        raise SystemExit(f"{kernel.name} could not be run outside; what was said stands above")
    found: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return found


def interval(ends: tuple[float, float] | None) -> str:
    return "none" if ends is None else f"{ends[0] * 1e3:.3f} to {ends[1] * 1e3:.3f}"


def compare(session: JudgeSession, kernel: Kernel, evaluations: int, device: str) -> bool | None:
    """Print the row of a kernel; return whether it is near enough."""
    timings = judged(session, kernel, evaluations)
    middle = timings[len(timings) // 2]
    got, near = middle.median_ms * 1e3, None
    columns, difference = f"{'':57}", ""
    if device != "cpu":
        found = outside(kernel, middle.calls_per_request, device)
        columns = f"{found['flushed']:17.3f}" + "".join(f"{found[way]:10.3f}" for way in OTHER_WAYS)
        apart = got - found["rotating"]
        near = abs(apart) <= SHARE * found["rotating"] + FIXED_US
        difference = f"{apart:+.3f} ({apart / found['rotating']:+.2%}), {'within' if near else 'NOT WITHIN'}"
    print(
        f"{kernel.name:16}{columns}   {got:9.3f}  {interval(middle.ci95_ms):24}"
        f"{interval((timings[0].median_ms, timings[-1].median_ms)):24}{middle.calls_per_request:5}  "
        f"{middle.clock:6} {difference}",
        flush=True,
    )
    return near


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kernels", nargs="*", metavar="KERNEL", help=", ".join(NAMES))
    parser.add_argument("--evaluations", type=int, default=3, help="of each kernel (default: 3)")
    parser.add_argument("--device", default="cuda:0", help="default: cuda:0")
    given = parser.parse_args()
    kernels = chosen(NAMES, given.kernels)
    if given.evaluations < 1:
        parser.error("at least one evaluation")
    need_device(given.device)
    if given.device != "cpu":
        print(f"{torch.cuda.get_device_name(given.device)}, torch {torch.__version__}")
    config = JudgeConfig(secret=secrets.token_bytes(32), device=given.device, sampling=Sampling())
    print(HEAD)
    with JudgeSession(config) as session:
        near = [compare(session, kernel, given.evaluations, given.device) for kernel in kernels]
    if given.device != "cpu":
        print(f"within {SHARE:.0%} + {FIXED_US} µs: {sum(map(bool, near))} of {len(near)}")


if __name__ == "__main__":
    main()
