"""Namespaces: what the candidate shares with the machine is cut off before it exists.

With the powers of root the namespaces are made as root and the candidate becomes another user in them (see
``identity``), so that nothing in them is its own. Without, a user namespace of the caller's lends the powers to make
the others; they are given up before the candidate runs.
"""

from __future__ import annotations

import os
from functools import partial

from pytest_fib.candidate.sandbox.capabilities import can_build_as_root
from pytest_fib.candidate.sandbox.kernel import mount, set_host_name, unshare
from pytest_fib.candidate.sandbox.policy import Policy
from pytest_fib.candidate.sandbox.report import NOT_ASKED_FOR, Layer, Report, attempt

CLONE_NEWUSER = 0x10000000
FLAGS = {
    "mount": 0x00020000,
    "pid": 0x20000000,
    "network": 0x40000000,
    "ipc": 0x08000000,
    "uts": 0x04000000,
    "cgroup": 0x02000000,
}
HOST_NAME = "candidate"

_MS_REC, _MS_PRIVATE = 0x4000, 0x40000


def enter_namespaces(policy: Policy) -> Report:
    """Leave this process's namespaces; only its next child is in the new PID namespace, as process 1.

    The caller must have one thread.
    """
    report = Report()
    if not can_build_as_root():
        report += [attempt("user", enter_user_namespace, policy.without)]
    report += _unshare(policy)
    if report.active("uts"):
        set_host_name(HOST_NAME)
    return report


def enter_user_namespace() -> None:
    """Enter a user namespace in which only the own user and group exist."""
    uid, gid = os.geteuid(), os.getegid()
    # Between unshare and the maps there is no way back: find out before whether they can be written.
    for name in ("uid_map", "gid_map"):
        os.close(os.open(f"/proc/self/{name}", os.O_WRONLY))
    unshare(CLONE_NEWUSER)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{uid} {uid} 1")
    _write("/proc/self/gid_map", f"{gid} {gid} 1")


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _unshare(policy: Policy) -> list[Layer]:
    wanted = {name: flag for name, flag in FLAGS.items() if name not in policy.without}
    skipped = [Layer(name, False, NOT_ASKED_FOR) for name in FLAGS if name in policy.without]
    try:
        unshare(sum(wanted.values()))
        layers = [Layer(name, True) for name in wanted]
    except OSError:
        layers = [attempt(name, partial(unshare, flag)) for name, flag in wanted.items()]
    return [
        _kept_apart(layer) if layer.name == "mount" and layer.active else layer for layer in layers
    ] + skipped


def _kept_apart(layer: Layer) -> Layer:
    """Cut the mounts' ties to the machine's: otherwise what is mounted here by root could appear there."""
    return attempt(layer.name, lambda: mount("none", "/", None, _MS_REC | _MS_PRIVATE))
