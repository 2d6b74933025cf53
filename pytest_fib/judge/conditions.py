"""What a device is like while it is measured: clocks, what slows it down, who else is there. Nothing is ever set.

A block is measured between two readings. One whose readings say that the device was slowed down is measured again, a
bounded number of times for each workload; what is slow every time is slow, and the report says so.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pytest_fib.data.evaluation import Conditions

T = TypeVar("T")

REPEATS = 2
"""How many blocks of one workload are measured again, at most."""

# Bits of nvmlDeviceGetCurrentClocksEventReasons, as nvml.h numbers them.
REASONS = {
    0x1: "gpu_idle",
    0x2: "applications_clocks_setting",
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal_slowdown",
    0x40: "hw_thermal_slowdown",
    0x80: "hw_power_brake_slowdown",
    0x100: "display_clocks_setting",
}
SLOWING = frozenset(REASONS[bit] for bit in (0x4, 0x8, 0x20, 0x40, 0x80))
"""The reasons for which a device is slower than its settings allow."""

_HELD = "applications_clocks_setting"
_SAME_MHZ = 15  # the steps in which the clock is set
_SM, _MEMORY = 1, 2  # nvmlClockType_t
_NO_PACKAGE = "nvidia-ml-py is not installed: pip install 'pytest-fib[cuda]'"


@dataclass(frozen=True)
class Reading:
    """One look at a device; None for what the driver does not say. Clocks in MHz."""

    sm_mhz: int | None = None
    memory_mhz: int | None = None
    reasons: frozenset[str] = frozenset()
    others: int | None = None  # processes with a context there that are not this run's

    @property
    def slowed(self) -> frozenset[str]:
        """The reasons for which it was slower than its settings allow."""
        return self.reasons & SLOWING


class Sensor(Protocol):
    """Looks at one device."""

    @property
    def driver(self) -> str:
        """The driver's version, empty where it is not known."""

    @property
    def problem(self) -> str:
        """Why nothing can be read, empty where it can."""

    @property
    def max_sm_mhz(self) -> int | None:
        """The highest clock that the device can have."""

    @property
    def at_rest(self) -> Reading | None:
        """What was read first, before this process had anything on the device."""

    def read(self) -> Reading | None:
        """Look once; None where nothing can be read."""


@dataclass(frozen=True)
class Blind:
    """A sensor that sees nothing, and says why."""

    problem: str = ""
    driver: str = ""
    max_sm_mhz: int | None = None
    at_rest: Reading | None = None

    def read(self) -> Reading | None:
        """Return None."""
        return None


class NvmlSensor:
    """Looks at device ``uuid`` through ``library``, which is the module ``pynvml`` or one like it.

    Raises
    ------
    library.NVMLError
        The driver's library cannot be used, or there is no such device.
    """

    problem = ""

    def __init__(self, library: Any, uuid: str) -> None:
        self._library = library
        library.nvmlInit()
        self._handle = library.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
        self.driver = _text(library.nvmlSystemGetDriverVersion())
        self.max_sm_mhz: int | None = self._asked("nvmlDeviceGetMaxClockInfo", _SM)
        self.at_rest: Reading | None = self.read()

    def read(self) -> Reading | None:
        """Ask the driver for clocks, event reasons and processes."""
        bits = self._asked("nvmlDeviceGetCurrentClocksEventReasons")
        if bits is None:  # its name in older drivers
            bits = self._asked("nvmlDeviceGetCurrentClocksThrottleReasons")
        return Reading(
            self._asked("nvmlDeviceGetClockInfo", _SM),
            self._asked("nvmlDeviceGetClockInfo", _MEMORY),
            frozenset(name for bit, name in REASONS.items() if (bits or 0) & bit),
            self._others(),
        )

    def _others(self) -> int | None:
        processes = self._asked("nvmlDeviceGetComputeRunningProcesses")
        if processes is None:
            return None
        return count_others([process.pid for process in processes], os.getpid(), parent_of)

    def _asked(self, function: str, *arguments: object) -> Any:
        try:
            return getattr(self._library, function)(self._handle, *arguments)
        except (AttributeError, self._library.NVMLError):
            return None


def find_sensor(uuid: str, load: Callable[[], Any] = lambda: importlib.import_module("pynvml")) -> Sensor:
    """Return the sensor of a device; a blind one, with the reason, where the driver cannot be asked."""
    try:
        library = load()
    except ImportError:
        return Blind(_NO_PACKAGE)
    try:
        return NvmlSensor(library, uuid)
    except (library.NVMLError, AttributeError) as error:
        return Blind(f"NVML does not answer: {error}")


def count_others(pids: Sequence[int], own: int, parent: Callable[[int], int]) -> int | None:
    """Return how many of ``pids`` neither are ``own`` nor descend from it.

    None where ``own`` is not among them though it uses the device: the driver counts processes in another way here.
    """
    if own not in pids:
        return None
    return sum(not _descends(pid, own, parent) for pid in set(pids))


def parent_of(pid: int) -> int:
    """Return the parent of a process, 0 where there is none or it is not known."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1])


def _descends(pid: int, own: int, parent: Callable[[int], int]) -> bool:
    seen: set[int] = set()
    while pid > 0 and pid != own and pid not in seen:
        seen.add(pid)
        pid = parent(pid)
    return pid == own


@dataclass
class Watch:
    """Looks at the device around the blocks of one workload."""

    sensor: Sensor
    repeats_left: int = REPEATS
    _readings: list[Reading] = field(default_factory=list)
    _slowed: int = 0
    _blocks: int = 0

    def steady(self, block: Callable[[], T]) -> T:
        """Return what ``block`` does between two readings; it does it again where the device was slowed down."""
        while True:
            before = self.sensor.read()
            result = block()
            after = self.sensor.read()
            readings = [reading for reading in (before, after) if reading is not None]
            self._readings += readings
            slowed = any(reading.slowed for reading in readings)
            self._blocks += 1
            self._slowed += slowed
            if not slowed or not self.repeats_left:
                return result
            self.repeats_left -= 1

    def conditions(self) -> Conditions | None:
        """Return what was seen; None where there is nothing to look at."""
        if not self._readings:
            return Conditions(problem=self.sensor.problem) if self.sensor.problem else None
        readings, rest = self._readings, self.sensor.at_rest
        others = [reading.others for reading in readings if reading.others is not None]
        return Conditions(
            driver=self.sensor.driver,
            sm_mhz=_range([reading.sm_mhz for reading in readings]),
            memory_mhz=_range([reading.memory_mhz for reading in readings]),
            reasons=tuple(sorted(frozenset().union(*(reading.reasons for reading in readings)))),
            idle_sm_mhz=None if rest is None else rest.sm_mhz,
            locked=locked([*([rest] if rest else []), *readings], self.sensor.max_sm_mhz),
            max_sm_mhz=self.sensor.max_sm_mhz,
            blocks=self._blocks,
            slowed_blocks=self._slowed,
            repeated_blocks=REPEATS - self.repeats_left,
            others=max(others, default=None),
        )

    def remarks(self) -> list[str]:
        """Return what a reader of the latency should know."""
        found = []
        slowed = sorted(frozenset().union(*(reading.slowed for reading in self._readings)))
        if slowed:
            found.append(
                f"the device was slowed down ({', '.join(slowed)}) in {self._slowed} of {self._blocks} blocks; "
                f"{REPEATS - self.repeats_left} of them were measured again"
            )
        others = max((reading.others or 0 for reading in self._readings), default=0)
        if others:
            found.append(f"{others} other process{'es' if others > 1 else ''} had the device open meanwhile")
        return found


def locked(readings: Sequence[Reading], max_sm_mhz: int | None) -> bool | None:
    """Whether the clock of a device is held by a setting; None where the readings do not tell.

    The driver says so only of its older way to do it. Otherwise a clock that was seen to change is not held; one that
    stays below the highest, though nothing slows the device down, is.
    """
    clocks = [reading.sm_mhz for reading in readings if reading.sm_mhz is not None]
    if any(_HELD in reading.reasons for reading in readings):
        return True
    if len(clocks) < 2:
        return None
    if max(clocks) - min(clocks) > _SAME_MHZ:
        return False
    below = max_sm_mhz is not None and max(clocks) < max_sm_mhz - _SAME_MHZ
    busy = any("gpu_idle" not in reading.reasons for reading in readings)
    return True if below and busy and not any(reading.slowed for reading in readings) else None


def _range(values: Sequence[int | None]) -> tuple[int, int] | None:
    known = [value for value in values if value is not None]
    return (min(known), max(known)) if known else None


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
