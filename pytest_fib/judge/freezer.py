"""Stopping everything that a solution runs, between its requests.

A candidate that is stopped cannot read the next inputs, finish the last outputs or slow down what is measured in the
meantime. Stopping only its first process would leave its children running, so all descendants of the keeper are
stopped, and looked at until they are.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from pytest_fib.errors import FibError

_PATIENCE_S = 5.0


class Freezer:
    """Stops and resumes the processes below one keeper.

    Parameters
    ----------
    keeper
        Process id of the keeper; the keeper itself is never stopped.
    """

    def __init__(self, keeper: int) -> None:
        self._keeper = keeper

    def find(self, inner: int) -> int:
        """Return the process id, here, of the keeper's child that has the id ``inner`` in its own namespace."""
        deadline = time.monotonic() + _PATIENCE_S
        # The kernel's list of children is incomplete while some of them end.
        while time.monotonic() < deadline:
            for pid in children(self._keeper):
                if _innermost_id(pid) == inner:
                    return pid
        raise FibError("a candidate cannot be found among the keeper's children: is /proc mounted?")

    def stop(self, first: int) -> bool:
        """Stop every process below the keeper, ``first`` at once; return whether none of them runs any more."""
        _signal(first, signal.SIGSTOP)
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            running = [pid for pid in descendants(self._keeper) if not _is_stopped(pid)]
            if not running:
                return True
            for pid in running:
                _signal(pid, signal.SIGSTOP)
        return False

    def resume(self, candidate: int) -> None:
        """Let ``candidate`` and its descendants run again; other candidates of the keeper stay stopped."""
        for pid in descendants(candidate):
            _signal(pid, signal.SIGCONT)
        _signal(candidate, signal.SIGCONT)


def descendants(root: int) -> list[int]:
    """Return the ids of all processes below ``root``, parents first."""
    found = children(root)
    for pid in found:
        found += children(pid)
    return found


def children(pid: int) -> list[int]:
    """Return the ids of the children of all threads of ``pid``; none if it is gone."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                found += map(int, _read(f"/proc/{pid}/task/{task}/children").split())
    return found


def _is_stopped(pid: int) -> bool:
    """Whether no thread of ``pid`` runs; a process that is gone or only waits to be reaped does not run either."""
    try:
        # The state follows the name, which may hold anything but ends with the last bracket.
        return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split(None, 1)[0] in (b"T", b"t", b"Z", b"X")
    except OSError:
        return True


def _innermost_id(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in _read(f"/proc/{pid}/status").splitlines():
            if line.startswith(b"NSpid:"):
                return int(line.split()[-1])
    return -1


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 1 << 16)
    finally:
        os.close(fd)
