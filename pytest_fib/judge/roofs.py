"""Measuring a device's roof once, and keeping it: in the user's cache folder, under what can change it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pytest_fib.measure.roof import Roof

_FORMAT = 1  # change it when the way to measure changes
_CPU_SIZES = (64 << 10, 1 << 20, 16 << 20, 64 << 20)
_CPU_SQUARE = 384
_CUDA_BYTES = 1 << 30
_CUDA_SQUARE = 8192
_REPEATS = 8
_LONG_NS = 60e6
_FLOATS = ("float32", "bfloat16", "float16")


def kept_roof(folder: Path, key: str, measure: Callable[[], Roof]) -> Roof:
    """Return the roof that ``folder`` holds under ``key``; ``measure`` it, and keep it, where there is none."""
    name = hashlib.sha256(f"{_FORMAT}\0{key}".encode()).hexdigest()[:32]
    path = folder / "roofs" / f"{name}.json"
    known = _read(path)
    if known is None:
        known = measure()
        with contextlib.suppress(OSError):  # it is measured again in the next run
            _write(path, key, known)
    return known


def cpu_roof(threads: int) -> Roof:
    """Measure the processor with ``threads`` threads of torch's, which is what a candidate gets."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        bandwidth = [(float(size), _cpu_copy(size)) for size in _CPU_SIZES]
        matrix = {name: rate for name in _FLOATS if (rate := _product(name, "cpu", _CPU_SQUARE, _wall)) > 0}
    finally:
        torch.set_num_threads(before)
    return Roof(bandwidth, matrix)


def cuda_roof(device: str) -> Roof:
    """Measure a CUDA device: the best of copying, reading and writing a gigabyte, and products of large matrices.

    Factors are random, as those of workloads are; of float32 the fast tensor format is what counts.
    """
    with torch.cuda.device(device), _fast_float32():
        source = torch.empty(_CUDA_BYTES // 8, dtype=torch.int64, device=device).random_()
        target = torch.empty_like(source)
        copying = _events(partial(target.copy_, source))
        reading = _events(partial(torch.max, source))
        writing = _events(partial(target.fill_, 1))
        rate = max(2 * _CUDA_BYTES / copying, _CUDA_BYTES / reading, _CUDA_BYTES / writing)
        del source, target
        names = (*_FLOATS, "float8_e4m3fn")
        matrix = {
            name: speed for name in names if (speed := _product(name, device, _CUDA_SQUARE, _events)) > 0
        }
        kept = float(torch.cuda.get_device_properties(device).L2_cache_size)
        torch.cuda.empty_cache()
    return Roof([(0.0, rate)], matrix, kept)


def _cpu_copy(size: int) -> float:
    source, target = torch.ones(size // 8, dtype=torch.int64), torch.zeros(size // 8, dtype=torch.int64)
    copies = max(1, (1 << 20) // size)

    def copy() -> None:
        for _ in range(copies):
            target.copy_(source)

    return copies * 2 * size / _wall(copy)


def _product(name: str, device: str, square: int, best_ns: Callable[[Callable[[], object]], float]) -> float:
    """Return the operations per nanosecond of a product of square matrices, 0 where torch has none here."""
    dtype = getattr(torch, name)
    a, b = (torch.randn(square, square, device=device).to(dtype) for _ in range(2))
    one = torch.ones((), device=device)

    def multiply() -> object:
        if name.startswith("float8"):
            return torch._scaled_mm(a, b.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16)
        return torch.mm(a, b)

    try:
        return 2.0 * square**3 / best_ns(multiply)
    except (RuntimeError, AttributeError, TypeError, NotImplementedError):
        return 0.0


def _wall(action: Callable[[], object]) -> float:
    """Return the nanoseconds of the fastest of some runs."""
    best, begun = math.inf, time.perf_counter_ns()
    for _ in range(_REPEATS):
        start = time.perf_counter_ns()
        action()
        best = min(best, time.perf_counter_ns() - start)
        if time.perf_counter_ns() - begun > _LONG_NS:
            break
    return max(best, 1.0)


def _events(action: Callable[[], object]) -> float:
    """Return the nanoseconds of the fastest of some runs on the current device, by its own clock."""
    best = math.inf
    for _ in range(_REPEATS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        action()
        end.record()
        end.synchronize()
        best = min(best, start.elapsed_time(end) * 1e6)
    return max(best, 1.0)


@contextlib.contextmanager
def _fast_float32() -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _read(path: Path) -> Roof | None:
    """Return what a file of ours says; None where it is missing or damaged."""
    try:
        raw: Any = json.loads(path.read_text())
        roof = Roof(
            [(float(size), float(rate)) for size, rate in raw["bandwidth"]],
            {str(name): float(rate) for name, rate in raw["matrix"].items()},
            float(raw["kept"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    rates = [*(rate for _, rate in roof.bandwidth), *roof.matrix.values()]
    return roof if roof.bandwidth and all(math.isfinite(rate) and rate > 0 for rate in rates) else None


def _write(path: Path, key: str, roof: Roof) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = {"of": key, "bandwidth": roof.bandwidth, "matrix": roof.matrix, "kept": roof.kept}
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        json.dump(text, file)
    os.replace(file.name, path)
