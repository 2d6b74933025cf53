"""Sharing a machine: which cores belong to whom while timing, and who may measure now."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Cores:
    """The cores of this process: one for the judge while it waits, the others for the candidate.

    With a single core both share it, and waiting has to yield; such latencies carry a remark.
    """

    judge: int
    candidate: frozenset[int]

    @classmethod
    def mine(cls) -> Cores:
        """Divide the cores that this process may use."""
        cores = sorted(os.sched_getaffinity(0))
        return cls(cores[0], frozenset(cores[1:] or cores))

    @property
    def shared(self) -> bool:
        """Whether judge and candidate have to share a core."""
        return self.judge in self.candidate


@contextlib.contextmanager
def waiting_on(core: int) -> Iterator[None]:
    """Pin the calling thread to ``core`` and keep the garbage collector out, for the time of some requests."""
    before = os.sched_getaffinity(0)
    collecting = gc.isenabled()
    gc.disable()
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
        if collecting:
            gc.enable()


class Lock(Protocol):
    """What may be disturbed while somebody measures: those who work share it, who times has it alone."""

    @property
    def waited_s(self) -> float:
        """Seconds waited for others since this lock was made."""

    def working(self) -> contextlib.AbstractContextManager[None]:
        """Hold it together with others who work."""

    def timing(self) -> contextlib.AbstractContextManager[None]:
        """Hold it alone."""

    def close(self) -> None:
        """Close the lock files."""


class MachineLock:
    """A reader-writer lock over this machine's CPUs: working shares, timing excludes.

    Two lock files make it fair: everybody passes the door one by one, so those who share cannot starve those who
    exclude.

    Parameters
    ----------
    folder
        Where the lock files are; all processes, of all users, that shall see each other name the same.
    part
        A part of the machine that has a lock of its own.
    """

    def __init__(self, folder: Path | None = None, part: str = "") -> None:
        folder = folder or Path(tempfile.gettempdir())
        name = f"pytest-fib.{part}." if part else "pytest-fib."
        self.waited_s = 0.0  # for others, since this lock was made
        self._door = _open(folder / f"{name}door.lock")
        self._room = _open(folder / f"{name}room.lock")

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Hold the machine together with others who work."""
        with self._held(fcntl.LOCK_SH):
            yield

    @contextlib.contextmanager
    def timing(self) -> Iterator[None]:
        """Hold the machine alone."""
        with self._held(fcntl.LOCK_EX):
            yield

    def close(self) -> None:
        """Close the lock files."""
        os.close(self._door)
        os.close(self._room)

    @contextlib.contextmanager
    def _held(self, how: int) -> Iterator[None]:
        start = time.monotonic()
        fcntl.flock(self._door, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._room, how)
        finally:
            fcntl.flock(self._door, fcntl.LOCK_UN)
        self.waited_s += time.monotonic() - start
        try:
            yield
        finally:
            fcntl.flock(self._room, fcntl.LOCK_UN)


class DeviceLock:
    """A reader-writer lock over one device, by its ``uuid``: who times there has that device alone.

    Devices are timed at the same time; no processor is timed meanwhile, as it is at work for the devices.
    """

    def __init__(self, uuid: str, folder: Path | None = None) -> None:
        self._machine = MachineLock(folder)
        self._device = MachineLock(folder, re.sub(r"[^A-Za-z0-9-]", "_", uuid))

    @property
    def waited_s(self) -> float:
        """Seconds waited for others since this lock was made."""
        return self._machine.waited_s + self._device.waited_s

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Hold the device together with others who work."""
        with self._machine.working(), self._device.working():
            yield

    @contextlib.contextmanager
    def timing(self) -> Iterator[None]:
        """Hold the device alone."""
        with self._machine.working(), self._device.timing():
            yield

    def close(self) -> None:
        """Close the lock files."""
        self._device.close()
        self._machine.close()


def _open(path: Path) -> int:
    """Open a lock file that several users may share; locking needs no write access, but to be readable."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        descriptor = os.open(path, flags | os.O_CREAT, 0o644)
        with contextlib.suppress(PermissionError):  # another user made it in the meantime
            os.fchmod(descriptor, 0o644)  # whatever the umask says
        return descriptor
