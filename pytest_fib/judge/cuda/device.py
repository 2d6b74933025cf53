"""One CUDA device as the judge uses it: its context there, its L2 cache, and what it is called elsewhere."""

from __future__ import annotations

import statistics
from functools import cached_property

import torch

from pytest_fib.border.vmm import Driver

_PROBES = 5


class Device:
    """The judge's use of device ``name`` (``cuda:N``); making it makes the judge's context there."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._ordinal = torch.device(name).index or 0
        torch.cuda.set_device(self._ordinal)  # the driver's calls go to the thread's current context
        self.properties = torch.cuda.get_device_properties(self._ordinal)
        self._tiny = torch.zeros(1, device=name)
        self._flushed = torch.empty(2 * self.properties.L2_cache_size, dtype=torch.uint8, device=name)
        self._began, self._ended = (_event() for _ in range(2))
        self.driver = Driver(self._ordinal)

    @property
    def capability(self) -> str:
        """What code is compiled for, as ``TVM_FFI_CUDA_ARCH_LIST`` has it: ``9.0a`` on Hopper."""
        major, minor = self.properties.major, self.properties.minor
        return f"{major}.{minor}{'a' if major >= 9 else ''}"

    @cached_property
    def flush_ms(self) -> float:
        """Milliseconds that a flush takes where nobody else is at work."""
        took = []
        for _ in range(_PROBES):
            self.begin()
            self.flush()
            took.append(self.took_ms())
        return statistics.median(took)

    def flush(self) -> None:
        """Write twice the size of the L2 cache, so that nothing else is in it; do not wait for it."""
        self._flushed.fill_(1)

    def begin(self) -> None:
        """Begin work whose time is of interest, see ``took_ms``."""
        self._began.record()

    def took_ms(self) -> float:
        """Wait for the end of the work since ``begin`` and return how long the device took for it."""
        self._ended.record()
        self._ended.synchronize()
        return float(self._began.elapsed_time(self._ended))

    def touch(self) -> None:
        """Do next to nothing on the device."""
        self._tiny.add_(1)

    def synchronize(self) -> None:
        """Wait until all that the judge runs on the device is done."""
        torch.cuda.synchronize(self._ordinal)


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
