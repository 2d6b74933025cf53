"""Landlock: a second wall behind the private root, and the first where no root can be built.

It holds for file descriptors of folders that were left open and for paths through ``/proc``, and needs no privilege.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Iterable
from enum import IntFlag

from pytest_fib.candidate.sandbox.kernel import syscall
from pytest_fib.candidate.sandbox.policy import Policy
from pytest_fib.candidate.sandbox.report import NOT_ASKED_FOR, Layer, Report, attempt


class Access(IntFlag):
    """``LANDLOCK_ACCESS_FS_*``."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


READ = Access.EXECUTE | Access.READ_FILE | Access.READ_DIR
WRITE = Access((1 << 16) - 1) & ~(Access.MAKE_CHAR | Access.MAKE_BLOCK | Access.IOCTL_DEV)
DEVICE = Access.READ_FILE | Access.WRITE_FILE | Access.READ_DIR | Access.TRUNCATE | Access.IOCTL_DEV
_ON_FILES = Access.EXECUTE | Access.WRITE_FILE | Access.READ_FILE | Access.TRUNCATE | Access.IOCTL_DEV

_CREATE_VERSION = 1
_RULE_PATH_BENEATH = 1
_NET_BIND_AND_CONNECT = 0b11
_SCOPE_ABSTRACT_UNIX_AND_SIGNAL = 0b11
_PLAIN_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

_Rule = tuple[str, Access]


def abi() -> int:
    """Return the version of Landlock that the kernel has.

    Raises
    ------
    OSError
        If it has none, or it is turned off.
    """
    return syscall("landlock_create_ruleset", None, 0, _CREATE_VERSION)


def handled_access(version: int) -> Access:
    """Return the kinds of access to files that version ``version`` of Landlock can forbid."""
    bits = 13 + (version >= 2) + (version >= 3) + (version >= 5)
    return Access((1 << bits) - 1)


def restrict(policy: Policy, report: Report) -> list[Layer]:
    """Restrict this process and its descendants: layers ``landlock_files``, ``_tcp`` and ``_scopes``."""
    try:
        version = abi()
    except OSError as error:
        reason = error.strerror or str(error)
        return [Layer(f"landlock_{name}", False, reason) for name in ("files", "tcp", "scopes")]
    wants = {name: f"landlock_{name}" not in policy.without for name in ("files", "tcp", "scopes")}
    files = handled_access(version) if wants["files"] else Access(0)
    tcp = _NET_BIND_AND_CONNECT if wants["tcp"] and version >= 4 else 0
    scopes = _SCOPE_ABSTRACT_UNIX_AND_SIGNAL if wants["scopes"] and version >= 6 else 0
    whole = attempt("", lambda: _apply(version, files, tcp, scopes, rules_of(policy, report)))

    def layer(name: str, handled: int, since: int) -> Layer:
        if not wants[name]:
            return Layer(f"landlock_{name}", False, NOT_ASKED_FOR)
        if not handled:
            return Layer(f"landlock_{name}", False, f"needs Landlock {since}, the kernel has {version}")
        return Layer(f"landlock_{name}", whole.active, whole.reason)

    return [layer("files", files, 1), layer("tcp", tcp, 4), layer("scopes", scopes, 6)]


def rules_of(policy: Policy, report: Report) -> list[_Rule]:
    """Return what is allowed where: everything readable if the root is the candidate's own, or else the policy's."""
    build = [(policy.build_dir, READ | WRITE)] if policy.build_dir else []
    devices = [(path, DEVICE) for path in (*_PLAIN_DEVICES, *policy.devices)]
    if report.active("root"):
        proc = "/proc" if report.active("proc") else "/proc/self"
        places = [("/", READ), ("/tmp", READ | WRITE), ("/dev/shm", READ | WRITE)]
        # Threads name themselves through /proc/self/task/*/comm; without, cuInit fails.
        return [*places, (proc, Access.WRITE_FILE | Access.TRUNCATE), *build, *devices]
    shown = [*policy.readable, "/proc", "/sys" if policy.cuda else "/sys/devices/system"]
    shown += [policy.artifact_dir] if policy.artifact_dir else []
    scratch = [(policy.scratch_dir, READ | WRITE)] if policy.scratch_dir else []
    own = [("/proc/self", Access.WRITE_FILE | Access.TRUNCATE)]
    return [*((path, READ) for path in shown), *own, *scratch, *build, *devices]


def _apply(version: int, files: Access, tcp: int, scopes: int, rules: Iterable[_Rule]) -> None:
    if not (files or tcp or scopes):
        return
    size = 8 if version < 4 else 16 if version < 6 else 24
    attributes = ctypes.create_string_buffer(struct.pack("=3Q", files, tcp, scopes)[:size], size)
    ruleset = syscall("landlock_create_ruleset", attributes, size, 0)
    try:
        for path, access in rules if files else ():
            with contextlib.suppress(FileNotFoundError, PermissionError):
                _allow(ruleset, path, access & files)
        syscall("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, access: Access) -> None:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    if not os.path.isdir(path):
        access &= _ON_FILES
    try:
        rule = ctypes.create_string_buffer(struct.pack("=Qi", access, fd), 12)
        syscall("landlock_add_rule", ruleset, _RULE_PATH_BENEATH, rule, 0)
    except OSError as error:
        if error.errno != errno.EBADFD:  # no rule can be put on this file system (sockets, pipes)
            raise
    finally:
        # A rule on /proc/self holds as long as the kernel remembers that folder, so it is kept in use.
        if path != "/proc/self":
            os.close(fd)
