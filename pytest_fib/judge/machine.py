"""Sharing a machine: which cores belong to whom while timing, and who may measure now."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


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


class MachineLock:
    """A reader-writer lock over this machine's CPUs: working shares, timing excludes.

    Two lock files make it fair: everybody passes the door one by one, so those who share cannot starve those who
    exclude.
    """

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or Path(tempfile.gettempdir())
        self.waited_s = 0.0  # for others, since this lock was made
        self._door = _open(folder / "pytest-fib.door.lock")
        self._room = _open(folder / "pytest-fib.room.lock")

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


def _open(path: Path) -> int:
    """Open a lock file that several users may share; locking needs no write access."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        return os.open(path, flags | os.O_CREAT, 0o644)
