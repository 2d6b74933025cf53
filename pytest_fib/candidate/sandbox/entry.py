"""The steps into the sandbox, one per process on the way: before the fork, in process 1, in the candidate."""

from __future__ import annotations

import os
import resource
import signal
import tempfile

from pytest_fib.candidate.sandbox import landlock, seccomp
from pytest_fib.candidate.sandbox.capabilities import (
    become_nobody,
    can_build_as_root,
    drop_all,
    own_proc_entries,
)
from pytest_fib.candidate.sandbox.filesystem import enter_root
from pytest_fib.candidate.sandbox.kernel import prctl
from pytest_fib.candidate.sandbox.namespaces import enter_user_namespace
from pytest_fib.candidate.sandbox.policy import Policy
from pytest_fib.candidate.sandbox.report import Layer, Report, attempt

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38


def enter_inside(policy: Policy, report: Report) -> Report:
    """Give the namespaces of ``report`` their contents; called by process 1, which then forks the candidate.

    Afterwards process 1 is closed to the candidate's eyes, and dies with its parent.
    """
    report += enter_root(policy, report)
    prctl(_PR_SET_DUMPABLE, 0)
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    return report


def lock_down(policy: Policy, report: Report) -> Report:
    """Take from the calling process what it does not need to run untrusted code; called by the candidate itself.

    Changes the user, environment variables (``HOME``, ``TMPDIR``), limits and the working folder of the process.
    There is no way back. Descriptors that are open stay open: the caller closes what the candidate must not have.
    """
    report += _identity(policy, report)
    _limit(policy)
    report += [
        attempt("capabilities", drop_all, policy.without),
        attempt("no_new_privs", _no_new_privs, policy.without),
    ]
    own_proc_entries()
    # Every change of user or capabilities clears it.
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _move_in(scratch_of(policy, report))
    report += landlock.restrict(policy, report)
    report += [attempt("seccomp", seccomp.install, policy.without)]
    return report


def scratch_of(policy: Policy, report: Report) -> str | None:
    """Return the folder in which the candidate may write, or None."""
    return "/tmp" if report.active("root") else policy.scratch_dir


def _identity(policy: Policy, report: Report) -> list[Layer]:
    """Become nobody if this process is root, in a user namespace that has no power over the other namespaces."""
    if os.geteuid() != 0:
        return [Layer("uid", True)]
    if not can_build_as_root():
        return [Layer("uid", False, "root without the power to become another user")]
    if not report.active("root"):
        # What this user may read, such as a Python in its home folder, may be closed to any other.
        nobody = Layer("uid", False, "needs the private root")
    else:
        nobody = attempt("uid", lambda: become_nobody(policy.devices), policy.without)
        own_proc_entries()
    return [nobody, attempt("user", enter_user_namespace, policy.without)]


def _no_new_privs() -> None:
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _limit(policy: Policy) -> None:
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, policy.tmp_bytes),
        (resource.RLIMIT_NOFILE, policy.descriptors),
        (resource.RLIMIT_NPROC, policy.processes),
    ):
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def _move_in(scratch: str | None) -> None:
    os.chdir(scratch or "/")
    if scratch is not None:
        os.environ["HOME"] = os.environ["TMPDIR"] = scratch
        tempfile.tempdir = None  # found anew, under TMPDIR
