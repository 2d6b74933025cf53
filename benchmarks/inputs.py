"""What drawing the inputs of a full-size workload costs, against copying as many bytes.

    python benchmarks/inputs.py [--device=cuda:0] [--runs=5] [DEFINITION...]

Takes definitions of ``tracesets/mlsys26`` (all five unless some are named, by any part of the name), of each the
workload with the largest inputs that fit the memory. Prints per definition, in one run and one after the other, the
medians of

* ``copy``: a plain copy of tensors of the same sizes into memory that has been used before,
* ``draw``: the content of one more call into the same memory,
* ``fresh copy`` and ``fresh draw``: the same into new memory, which the kernel has to hand out first,

as GB/s, with their ratios; ``pool`` is what making the pool took once, when the first content was drawn, and is not
part of the others. The inputs that take longest follow. On a device the first call's inputs are compared, to the
last bit, with those that the CPU makes. Ratios near 1 are wanted: the time of a memory copy.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from pytest_fib.data.definition import Definition
from pytest_fib.data.readers import read_definition, read_workloads
from pytest_fib.data.workload import Workload, WorkloadLine
from pytest_fib.inputs import InputPlan, Pool, plan_inputs

SET = Path(__file__).resolve().parents[1] / "tracesets" / "mlsys26"
SECRET = bytes(range(32))
MEMORY_SHARE = 4  # of the memory that is free, at most so much in inputs: they are there up to three times
SLOWEST = 3

Tensors = dict[str, torch.Tensor]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("definitions", nargs="*", metavar="DEFINITION")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    names = options.definitions or [""]
    paths = [
        path for path in sorted(SET.glob("definitions/*/*.json")) if any(name in path.stem for name in names)
    ]
    if not paths:
        print(f"no definition in {SET} is called so", file=sys.stderr)
        return 2
    return max(show(path, options.device, options.runs) for path in paths)


def show(path: Path, device: str, runs: int) -> int:
    definition = read_definition(path)
    plan = largest(definition, path, device)
    pool_s = seconds(device, lambda: plan.draw(0), 1)
    first = plan.draw(0)
    target = {name: torch.empty_like(tensor) for name, tensor in first.items()}
    calls = iter(range(1, 1 << 20))
    warm_copy = seconds(device, lambda: copied(first, target), runs)
    warm_draw = seconds(device, lambda: plan.draw(next(calls), out=target), runs)
    status = 0
    print(f"{definition.name}: {plan.nbytes / 1e9:.3f} GB on {device}")
    print(line("copy", plan.nbytes, warm_copy))
    print(f"{line('draw', plan.nbytes, warm_draw)}, ratio {warm_draw / warm_copy:.2f}")
    if device == "cpu":  # torch keeps a device's memory, so none is new there
        del target
        fresh_copy = seconds(device, lambda: copied(first, {}), runs)
        fresh_draw = seconds(device, lambda: plan.draw(next(calls)), runs)
        print(line("fresh copy", plan.nbytes, fresh_copy))
        print(f"{line('fresh draw', plan.nbytes, fresh_draw)}, ratio {fresh_draw / fresh_copy:.2f}")
    else:
        equal = same(first, largest(definition, path, "cpu").draw(0))
        print(f"  the same bits as on the CPU: {'yes' if equal else 'NO'}")
        status = 0 if equal else 1
    print(f"  pool, and the first call: {pool_s:.2f} s")
    each = {
        name: seconds(device, lambda name=name: plan.draw(next(calls), out=first, only=[name]), runs)  # type: ignore[misc]
        for name in plan.tensors
    }
    for name in sorted(each, key=lambda name: -each[name])[:SLOWEST]:
        print(line(name, plan.tensors[name].nbytes, each[name]))
    return status


def largest(definition: Definition, path: Path, device: str) -> InputPlan:
    """Plan the inputs of the largest workload that fits."""
    plans = [
        planned(definition, line.workload, device)
        for line in read_workloads(SET / "workloads" / path.parent.name / f"{path.stem}.jsonl")
        if isinstance(line, WorkloadLine)
    ]
    plans.sort(key=lambda plan: plan.nbytes)
    fitting = [plan for plan in plans if plan.nbytes <= free_bytes() // MEMORY_SHARE]
    return (fitting or plans[:1])[-1]


def planned(definition: Definition, workload: Workload, device: str) -> InputPlan:
    return plan_inputs(
        definition,
        workload,
        traceset_root=SET,
        secret=SECRET,
        synthesize_missing=True,
        device=device,
        pool=Pool(SECRET),
    )


def free_bytes() -> int:
    for text in Path("/proc/meminfo").read_text().splitlines():
        if text.startswith("MemAvailable:"):
            return int(text.split()[1]) << 10
    return 4 << 30


def seconds(device: str, work: Callable[[], object], runs: int) -> float:
    """Return the median time of ``work``, whose result is let go after the clock was read."""
    took = []
    for _ in range(runs):
        settle(device)
        start = time.perf_counter()
        result = work()
        settle(device)
        took.append(time.perf_counter() - start)
        del result
    return statistics.median(took)


def settle(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def copied(tensors: Tensors, into: Tensors) -> Tensors:
    return {
        name: into[name].copy_(tensor) if name in into else tensor.clone() for name, tensor in tensors.items()
    }


def same(one: Tensors, other: Tensors) -> bool:
    return all(
        torch.equal(tensor.cpu().reshape(-1).view(torch.uint8), other[name].reshape(-1).view(torch.uint8))
        for name, tensor in one.items()
    )


def line(what: str, nbytes: int, took: float) -> str:
    return f"  {what:<24}{took * 1e3:9.2f} ms  {nbytes / took / 1e9:8.2f} GB/s"


if __name__ == "__main__":
    sys.exit(main())
