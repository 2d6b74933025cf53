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
_MOST_BYTES = 1 << 16
_LINKS_OF_ONE_THREAD = 3
_CPUCLOCK_SCHED = 2  # linux/posix-timers.h: of a whole process, if the lowest bits are these
_STOPPED, _ENDED = {b"T", b"t"}, {b"Z", b"X"}


class Freezer:
    """Stops and resumes the processes below one keeper.

    Parameters
    ----------
    keeper
        Process id of the keeper; the keeper itself is never stopped.
    """

    def __init__(self, keeper: int) -> None:
        self._keeper = keeper
        self._processes: dict[int, _Process] = {}
        # Children of the keeper that are stopped, with all below them.
        self._asleep: dict[int, list[int]] = {}
        self._run_ns: dict[int, int] = {}

    def find(self, inner: int) -> int:
        """Return the process id, here, of the keeper's child that has the id ``inner`` in its own namespace.

        Raises
        ------
        FibError
            If there is none, or /proc does not show it.
        """
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
        while True:
            trees = {root: [root, *self._below(root)] for root in self._process(self._keeper).children()}
            running = [pid for tree in trees.values() for pid in tree if not self._process(pid).is_stopped()]
            if not running:
                # Who does not run starts nobody: until one of them is resumed, these are all there are.
                self._asleep = trees
                return True
            if time.monotonic() > deadline:
                return False
            for pid in running:
                _signal(pid, signal.SIGSTOP)

    def resume(self, candidate: int) -> None:
        """Let ``candidate`` and its descendants run again; other candidates of the keeper stay stopped."""
        for pid in reversed(self._asleep.pop(candidate, []) or [candidate, *self._below(candidate)]):
            _signal(pid, signal.SIGCONT)

    def mark(self) -> None:
        """Remember how long everybody who is stopped has run so far, see ``held``."""
        self._run_ns = {pid: _run_ns(pid) for tree in self._asleep.values() for pid in tree}

    def held(self) -> bool:
        """Whether nobody who was stopped at ``mark`` has run since.

        Whoever was woken behind the judge's back shows it in one of two ways: he still runs, or he has run. What
        he has run by now is in his clock only when he is off the processor again, so that both are asked.
        """
        return all(
            self._process(pid).is_stopped() and _run_ns(pid) == before for pid, before in self._run_ns.items()
        )

    def close(self) -> None:
        """Close the files of ``/proc`` that are kept open."""
        for process in self._processes.values():
            process.close()
        self._processes.clear()

    def _below(self, root: int) -> list[int]:
        found = self._process(root).children()
        for pid in found:
            found += self._process(pid).children()
        return found

    def _process(self, pid: int) -> _Process:
        known = self._processes.get(pid)
        if known is None or known.gone:
            if known is not None:
                known.close()
            known = self._processes[pid] = _Process(pid)
        return known


class _Process:
    """What is asked of one process between every two requests, from files that stay open: this costs latency.

    The files go on to speak of the process that they were opened for, even if another one gets its id.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._children = _opened(f"/proc/{pid}/task/{pid}/children")
        self._stat = _opened(f"/proc/{pid}/stat")
        self.gone = self._children < 0 or self._stat < 0

    def children(self) -> list[int]:
        """Return the ids of the children of all threads; none if the process is gone."""
        try:
            # A folder has a link to itself, one from its parent, and one from each folder in it: here, threads.
            if os.stat(f"/proc/{self._pid}/task").st_nlink != _LINKS_OF_ONE_THREAD:
                return children(self._pid)
            return [int(pid) for pid in os.pread(self._children, _MOST_BYTES, 0).split()]
        except OSError:
            self.gone = True
            return []

    def is_stopped(self) -> bool:
        """Whether no thread runs; a process that is gone or only waits to be reaped does not run either."""
        try:
            state = _state(os.pread(self._stat, _MOST_BYTES, 0))
        except OSError:
            self.gone = True
            return True
        # Where the first thread has ended, its state says nothing of the others, which go on.
        return state in _STOPPED if state not in _ENDED else not _any_thread_lives(self._pid)

    def close(self) -> None:
        """Close both files."""
        for fd in (self._children, self._stat):
            if fd >= 0:
                os.close(fd)
        self._children = self._stat = -1


def _state(stat: bytes) -> bytes:
    """Return the state in a ``stat`` file: it follows the name, which may hold anything but a last bracket."""
    return stat.rpartition(b")")[2].split(None, 1)[0]


def _any_thread_lives(pid: int) -> bool:
    """Whether ``pid`` has a thread that has neither stopped nor ended."""
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                if _state(_read(f"/proc/{pid}/task/{task}/stat")) not in _STOPPED | _ENDED:
                    return True
    return False


def _run_ns(pid: int) -> int:
    """Return the nanoseconds that all threads of ``pid``, also those that have ended, were on a processor."""
    try:
        return time.clock_gettime_ns(~pid << 3 | _CPUCLOCK_SCHED)
    except OSError:
        return 0


def _opened(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


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
        return os.read(fd, _MOST_BYTES)
    finally:
        os.close(fd)
