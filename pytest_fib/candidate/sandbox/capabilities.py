"""Capabilities and identity: the candidate is nobody's root, in its own namespaces too, for good."""

from __future__ import annotations

import ctypes
import os
import stat
import struct

from pytest_fib.candidate.sandbox.kernel import prctl, syscall

CANDIDATE_UID = 65534

_CAP_SETGID, _CAP_SETUID, _CAP_SYS_ADMIN = 6, 7, 21
_VERSION_3 = 0x20080522
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_READ, _PR_CAPBSET_DROP = 23, 24
_PR_SET_SECUREBITS = 28
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
# No capabilities for uid 0, none kept over setuid, none ambient; each bit together with its lock.
_SECUREBITS = 0b1110_1111


def capability_sets() -> tuple[int, int, int]:
    """Return the effective, permitted and inheritable set of this process as bit masks."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", _VERSION_3, 0))
    data = ctypes.create_string_buffer(24)
    syscall("capget", header, data)
    words = struct.unpack("=6I", data.raw[:24])
    return words[0] | words[3] << 32, words[1] | words[4] << 32, words[2] | words[5] << 32


def can_build_as_root() -> bool:
    """Whether this process is root with what it takes to make namespaces and become someone else."""
    effective = capability_sets()[0]
    needed = (_CAP_SETGID, _CAP_SETUID, _CAP_SYS_ADMIN)
    return os.geteuid() == 0 and all(effective >> capability & 1 for capability in needed)


def become_nobody(devices: tuple[str, ...]) -> None:
    """Become the candidate's user, without root's groups except those that the devices are reserved for."""
    groups = set()
    for path in devices:
        status = os.stat(path)
        if status.st_mode & stat.S_IRGRP and not status.st_mode & stat.S_IROTH and status.st_gid != 0:
            groups.add(status.st_gid)
    _drop_bounding_set()
    os.setgroups(sorted(groups))
    os.setresgid(CANDIDATE_UID, CANDIDATE_UID, CANDIDATE_UID)
    os.setresuid(CANDIDATE_UID, CANDIDATE_UID, CANDIDATE_UID)


def own_proc_entries() -> None:
    """Make ``/proc/self`` belong to the present user again (a change of user gives it to root)."""
    prctl(_PR_SET_DUMPABLE, 1)


def drop_all() -> str:
    """Give up every capability and every way to regain one; return a remark if the bounding set had to stay.

    Raises
    ------
    OSError
        If a capability is left.
    """
    prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    remark = ""
    try:
        _drop_bounding_set()
        prctl(_PR_SET_SECUREBITS, _SECUREBITS)
    except OSError:
        remark = "the bounding set stays, which no_new_privs makes harmless"
    header = ctypes.create_string_buffer(struct.pack("=Ii", _VERSION_3, 0))
    syscall("capset", header, ctypes.create_string_buffer(24))
    if any(capability_sets()):
        raise OSError(0, "capabilities are left after capset")
    return remark


def _drop_bounding_set() -> None:
    capability = 0
    while True:
        try:
            held = prctl(_PR_CAPBSET_READ, capability)
        except OSError:
            return  # past the last capability that this kernel knows
        if held:
            prctl(_PR_CAPBSET_DROP, capability)
        capability += 1
