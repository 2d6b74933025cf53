"""What a kernel takes without a judge: CUPTI's durations as ``torch.profiler`` has them, in a process of its own.

    python benchmarks/device_outside.py "rmsnorm 64x4096" [--calls 128]

Runs the solution's source on random inputs in this process's own memory until the clocks are up, and prints a JSON
object of microseconds per call, from the beginning of a call's first kernel to the end of its last:

* ``flushed``: twice the size of the L2 cache is written before each call, which leaves lines that have to be written
  back during the call; the median over calls;
* ``clean``: the same, and then as much other memory is read, so that all is written back before the call;
* ``idle``: the cache is flushed, and the device has nothing to do for 2 ms before each call; the median over calls;
* ``rotating``: as the judge does it: the device is held by a kernel that waits for some milliseconds, twice the size
  of the L2 cache is written, and so many calls are made, each with inputs and outputs of its own; the median over
  requests of the mean over calls. (A large product takes several percent longer where the device was idle or busy
  with another product before than where it was held: its power is managed.)
* ``in_a_row``: one call after the other with the same inputs; the median over calls.

Launches of the latter two are enqueued behind a kernel that waits, so that the device does not. What else runs is
told from the call's own kernels by order: everything is on one stream.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from device_kernels import KERNELS, Kernel, need_device
from torch.profiler import ProfilerActivity, profile

WARM_S = 0.5
LEAST_CALLS, LEAST_REQUESTS, IN_A_ROW = 60, 7, 200
WAITING_CYCLES = 60_000  # per call that is enqueued meanwhile: some 30 µs
ATTEMPTS = 3
IDLE_S = 0.002
HELD_CYCLES = 8_000_000  # some 4 ms
ON_DEVICE = {"kernel", "gpu_memcpy", "gpu_memset"}

Span = tuple[float, float]
Tensors = list[torch.Tensor]


def load(source: str) -> Callable[..., Any]:
    """Import a solution from a file, which Triton reads again."""
    path = Path(tempfile.mkdtemp()) / "outside_main.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    function: Callable[..., Any] = module.run
    return function


def arguments(kernel: Kernel, device: str) -> Tensors:
    """Return fresh random inputs, and outputs."""
    inputs = [
        torch.randn(shape, device=device).to(getattr(torch, dtype))
        for shape, dtype in kernel.tensors("inputs")
    ]
    outputs = [
        torch.empty(shape, device=device, dtype=getattr(torch, dtype))
        for shape, dtype in kernel.tensors("outputs")
    ]
    return [*inputs, *outputs]


def spans(work: Callable[[], object]) -> list[Span]:
    """Return beginnings and ends, in microseconds, of all that ran on the device while ``work`` did."""
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        work()
        torch.cuda.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    found = [(event["ts"], event["dur"]) for event in events if event.get("cat") in ON_DEVICE]
    return sorted((float(start), float(start) + float(took)) for start, took in found)


def per_request(spans: list[Span], requests: int, ahead: int, calls: int) -> list[list[float]]:
    """Return what each call of each request took; nothing where the spans cannot be divided among them.

    A request is ``ahead`` things that are not the call's, and ``calls`` calls of equally many kernels.
    """
    each, rest = divmod(len(spans), requests)
    kernels, over = divmod(each - ahead, calls)
    if rest or over or kernels < 1:
        return []
    found = []
    for begin in range(0, len(spans), each):
        behind = spans[begin + ahead : begin + each]
        parts = [behind[first : first + kernels] for first in range(0, len(behind), kernels)]
        found.append([max(end for _, end in part) - part[0][0] for part in parts])
    return found


class Outside:
    """One kernel, with ``calls`` sets of inputs and outputs."""

    def __init__(self, kernel: Kernel, calls: int, device: str) -> None:
        self.name = kernel.name
        self.function = load(kernel.source)
        self.sets = [arguments(kernel, device) for _ in range(calls)]
        size = 2 * torch.cuda.get_device_properties(device).L2_cache_size
        self.written = torch.empty(size, dtype=torch.uint8, device=device)
        self.read = torch.ones(size // 4, dtype=torch.float32, device=device)

    def flush(self) -> None:
        self.written.fill_(1)

    def flush_cleanly(self) -> None:
        self.flush()
        self.read.sum()

    @staticmethod
    def wait(calls: int) -> None:
        torch.cuda._sleep(WAITING_CYCLES * calls)  # type: ignore[no-untyped-call]

    def warm_up(self) -> None:
        end = time.monotonic() + WARM_S
        while time.monotonic() < end:
            self.flush()
            for tensors in self.sets:
                self.function(*tensors)
            torch.cuda.synchronize()

    def taken(
        self, request: Callable[[], object], requests: int, ahead: int, calls: int
    ) -> list[list[float]]:
        def work() -> None:
            for _ in range(requests):
                request()
                torch.cuda.synchronize()

        for _ in range(ATTEMPTS):
            self.warm_up()
            found = per_request(spans(work), requests, ahead, calls)
            if found:
                return found
        raise SystemExit(f"the profiler's records of {self.name} cannot be divided among its calls")

    def flushed(self, flush: Callable[[], None]) -> float:
        def request() -> None:
            flush()
            self.function(*self.sets[0])

        ahead = len(spans(flush))
        return statistics.median(call for (call,) in self.taken(request, LEAST_CALLS, ahead, 1))

    def after_idling(self) -> float:
        def request() -> None:
            self.flush()
            torch.cuda.synchronize()
            time.sleep(IDLE_S)
            self.wait(1)
            self.function(*self.sets[0])

        return statistics.median(call for (call,) in self.taken(request, LEAST_CALLS, 2, 1))

    def rotating(self) -> float:
        calls = len(self.sets)

        def request() -> None:
            torch.cuda._sleep(HELD_CYCLES)  # type: ignore[no-untyped-call]
            self.flush()
            self.wait(calls)
            for tensors in self.sets:
                self.function(*tensors)

        requests = max(LEAST_REQUESTS, math.ceil(LEAST_CALLS / calls))
        return statistics.median(map(statistics.fmean, self.taken(request, requests, 3, calls)))

    def in_a_row(self) -> float:
        def request() -> None:
            self.wait(IN_A_ROW)
            for _ in range(IN_A_ROW):
                self.function(*self.sets[0])

        return statistics.median(self.taken(request, 1, 1, IN_A_ROW)[0])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kernel", choices=KERNELS, metavar="KERNEL", help=", ".join(KERNELS))
    parser.add_argument("--calls", type=int, default=1, help="of a rotating request (default: 1)")
    parser.add_argument("--device", default="cuda:0", help="default: cuda:0")
    given = parser.parse_args()
    need_device(given.device)
    torch.cuda.set_device(given.device)
    outside = Outside(KERNELS[given.kernel], given.calls, given.device)
    outside.warm_up()
    spans(outside.flush)  # the first use of CUPTI takes a while
    found = {
        "flushed": outside.flushed(outside.flush),
        "clean": outside.flushed(outside.flush_cleanly),
        "idle": outside.after_idling(),
        "rotating": outside.rotating(),
        "in_a_row": outside.in_a_row(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
