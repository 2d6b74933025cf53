"""Starting a sandboxed process: two forks more than usual, for the namespaces and for their process 1."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Collection
from contextlib import suppress

from pytest_fib.candidate.sandbox.entry import enter_inside, lock_down
from pytest_fib.candidate.sandbox.kernel import prctl
from pytest_fib.candidate.sandbox.namespaces import enter_namespaces
from pytest_fib.candidate.sandbox.policy import Policy
from pytest_fib.candidate.sandbox.report import Report

_PR_SET_PDEATHSIG = 1
_SOFTWARE = 70


def launch(policy: Policy, main: Callable[[Report], int], fds: Collection[int] = ()) -> int:
    """Fork a process that runs ``main`` in the sandbox of ``policy``; the caller must have one thread.

    Parameters
    ----------
    policy
        What the candidate gets.
    main
        Called in the candidate with the layers that were put on; its result is the exit status.
    fds
        Descriptors for the candidate alone: the processes between close theirs.

    Returns
    -------
    int
        The id of the outer process: it ends as the candidate ended, and to kill it is to kill them all (the kernel
        ends the whole PID namespace, soon after).
    """
    pid = os.fork()
    if pid == 0:
        _leave(lambda: _outer(policy, main, fds))
    return pid


def _leave(action: Callable[[], int]) -> None:
    """Run ``action`` and exit with its result, whatever happens: nothing of the caller's may run on."""
    status = _SOFTWARE
    try:
        status = action()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def _outer(policy: Policy, main: Callable[[Report], int], fds: Collection[int]) -> int:
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    report = enter_namespaces(policy)
    # Entering a user namespace clears it.
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    pid = os.fork()
    if pid == 0:
        _leave(lambda: _first(policy, report, main, fds))
    _close(fds)
    return _end_like(os.waitpid(pid, 0)[1])


def _first(policy: Policy, report: Report, main: Callable[[Report], int], fds: Collection[int]) -> int:
    """Be process 1: build the root, fork the candidate, reap, and take everybody along when the candidate ends."""
    report = enter_inside(policy, report)
    pid = os.fork()
    if pid == 0:
        _leave(lambda: main(lock_down(policy, report)))
    _close(fds)
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            # Process 1 cannot be killed by its own signal, so the number travels as a shell would tell it.
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _close(fds: Collection[int]) -> None:
    for fd in fds:
        with suppress(OSError):
            os.close(fd)


def _end_like(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    number = -code if code < 0 else code - 128
    if 0 < number < signal.NSIG and number in signal.valid_signals():
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    return code & 0xFF
