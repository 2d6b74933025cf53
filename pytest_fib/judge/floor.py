"""The least time that a workload can take on this machine, for op types that declare what has to be done.

Two figures: the speed of light, which is that work at the rates measured here, and for work that no call can do
without, a latency that is impossible, however it came about, which is far below: peaks are generous there.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from pytest_fib.border.arena import Plan
from pytest_fib.data.definition import Definition
from pytest_fib.data.workload import Workload
from pytest_fib.inputs import InputPlan
from pytest_fib.judge.artifacts import processor
from pytest_fib.judge.devices import driver_version, uuid_of
from pytest_fib.judge.machine import Lock
from pytest_fib.judge.roofs import cpu_roof, cuda_roof, kept_roof
from pytest_fib.judge.work import DECLARED, Declaration, Facts, Work
from pytest_fib.measure.roof import Roof

# What the best kernel can beat our own quick measurement by: wider loads than memcpy's, matrix units.
_BANDWIDTH_MARGIN = 4.0
_COMPUTE_MARGIN = 8.0
_DEVICE_MARGIN = 4.0
_CACHED_BYTES = 16 << 10
_SQUARE = 128
_REPEATS = 50
_DRAWS = 5
_FIRST_DRAW = 1 << 63  # no call has these numbers


@dataclass(frozen=True)
class Floor:
    """What one call takes at least, in nanoseconds; None where the op type does not say."""

    least_ns: float | None = None
    impossible_ns: float | None = None

    @property
    def least_ms(self) -> float | None:
        """The same in milliseconds."""
        return None if self.least_ns is None else self.least_ns / 1e6


class Floors:
    """What work takes at least on ``device``, with ``threads`` where that is the processor.

    The rates are measured when first needed, while nobody else measures (``lock``), and kept in ``cache_dir``.
    """

    def __init__(self, device: str, threads: int, cache_dir: Path, lock: Lock) -> None:
        self._device = device
        self._threads = threads
        self._cache_dir = cache_dir
        self._lock = lock
        self._peaks = Peaks()

    def of(self, definition: Definition, workload: Workload, plan: Plan, inputs: InputPlan) -> Floor:
        """Return what one call of ``workload`` takes at least, over content as it is drawn."""
        declared = DECLARED.get(definition.op_type)
        axes = definition.resolve_axes(workload.axes)
        works = [] if declared is None else _works(declared, Facts(plan, axes, definition.name), inputs)
        if declared is None or not works:
            return Floor()
        try:
            return Floor(self._least_ns(works), self._impossible_ns(works[0]) if declared.certain else None)
        except (
            torch.cuda.OutOfMemoryError
        ):  # somebody else fills the device: there are no rates to be had now
            return Floor()

    def prepare(self, definition: Definition) -> None:
        """Measure ahead what ``of`` will ask for, where work of this processor does not disturb that."""
        if self._device != "cpu" and definition.op_type in DECLARED:
            with contextlib.suppress(torch.cuda.OutOfMemoryError):
                self.roof  # noqa: B018

    @cached_property
    def roof(self) -> Roof:
        """The rates measured here, now or in an earlier run."""
        with self._lock.timing():
            if self._device == "cpu":
                key = f"{processor()}\0{self._threads}\0{torch.__version__}"
                return kept_roof(self._cache_dir, key, lambda: cpu_roof(self._threads))
            key = f"{uuid_of(self._device)}\0{driver_version()}\0{torch.__version__}"
            return kept_roof(self._cache_dir, key, lambda: cuda_roof(self._device))

    def _least_ns(self, works: list[Work]) -> float:
        return statistics.median(
            self.roof.least_ns(work.reads, work.writes, work.operations, work.dtype) for work in works
        )

    def _impossible_ns(self, work: Work) -> float:
        if self._device != "cpu":
            return self._least_ns([work]) / _DEVICE_MARGIN
        memory = (work.reads + work.writes) / self._peaks.bytes_per_ns
        return max(memory, work.operations / self._peaks.operations_per_ns) / max(1, self._threads)


def _works(declared: Declaration, facts: Facts, inputs: InputPlan) -> list[Work]:
    """Return the work of some calls; none where the definition is not of the form that the op type usually has."""
    looked_at = [name for name in declared.content if name in inputs.tensors]
    found = []
    try:
        for call in range(_FIRST_DRAW, _FIRST_DRAW + (_DRAWS if looked_at else 1)):
            drawn = inputs.draw(call, only=looked_at)
            content = {name: tensor.cpu().numpy() for name, tensor in drawn.items()}
            found.append(declared.count(Facts(facts.plan, facts.axes, facts.definition, content)))
    except (LookupError, ValueError):
        return []
    return found


@dataclass
class Peaks:
    """Upper bounds of what one core of this machine does, measured when first needed (a few milliseconds)."""

    _known: list[float] = field(default_factory=list)

    @property
    def bytes_per_ns(self) -> float:
        """Bytes read and written per nanosecond, from the nearest cache."""
        return self._measured()[0]

    @property
    def operations_per_ns(self) -> float:
        """Floating-point operations per nanosecond, of any precision."""
        return self._measured()[1]

    def _measured(self) -> list[float]:
        if not self._known:
            source = np.ones(_CACHED_BYTES, dtype=np.uint8)
            target = np.empty_like(source)
            square = torch.ones(_SQUARE, _SQUARE)
            product = torch.empty_like(square)
            copying = _best_ns(lambda: np.copyto(target, source))
            threads = torch.get_num_threads()
            multiplying = _best_ns(lambda: torch.mm(square, square, out=product))
            self._known = [
                _BANDWIDTH_MARGIN * 2 * _CACHED_BYTES / copying,
                _COMPUTE_MARGIN * 2 * _SQUARE**3 / multiplying / threads,
            ]
        return self._known


def _best_ns(action: Callable[[], object]) -> float:
    best = math.inf
    for _ in range(_REPEATS):
        start = time.perf_counter_ns()
        action()
        best = min(best, time.perf_counter_ns() - start)
    return max(best, 1.0)
