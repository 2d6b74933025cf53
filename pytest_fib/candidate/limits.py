"""What the kernel is asked to enforce on a candidate: memory, core files, death with its parent."""

from __future__ import annotations

import ctypes
import os
import resource
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno), f"prctl({option})")


def become_zygote() -> None:
    """Adopt orphaned descendants, so that none of them outlives its candidate, and leave the judge's terminal."""
    os.setsid()
    adopt_orphans()
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own, as process 1 of a PID namespace is anyway."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def become_candidate(memory_bytes: int, cores: set[int] | None) -> None:
    """Apply the limits of a candidate to the calling process, just after the fork.

    Parameters
    ----------
    memory_bytes
        Private writable memory in bytes (``RLIMIT_DATA``); address space is not limited, CUDA reserves plenty.
    cores
        CPU cores to run on, or None for all.
    """
    os.setsid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    try:
        # If memory runs out all the same, the kernel should pick the candidate and not the judge.
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        pass
    if cores is not None:
        os.sched_setaffinity(0, cores)
