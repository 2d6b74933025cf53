"""A seccomp filter, assembled by hand: calls that no kernel needs and that attacks are made of.

It is a list of what is forbidden and not of what is allowed, because compilers, CUDA and torch use more calls than
could be listed; everything on it answers EPERM (or ENOSYS where the caller then takes another way).
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Sequence

from pytest_fib.candidate.sandbox.kernel import syscall
from pytest_fib.candidate.sandbox.namespaces import CLONE_NEWUSER, FLAGS
from pytest_fib.candidate.sandbox.numbers import AARCH64, NUMBERS, X86_64, number_of

_INTO_PROCESSES = (
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "pidfd_getfd",
    "kcmp",
)
_INTO_THE_KERNEL = (
    *("bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register"),
    *("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load"),
    *("keyctl", "add_key", "request_key"),
    *("modify_ldt", "iopl", "ioperm", "uselib", "lookup_dcookie", "nfsservctl"),
)
_MOUNTS_AND_NAMESPACES = (
    *("mount", "umount2", "pivot_root", "chroot", "setns", "fanotify_init"),
    *(
        "open_tree",
        "open_tree_attr",
        "move_mount",
        "mount_setattr",
        "fsopen",
        "fsconfig",
        "fsmount",
        "fspick",
    ),
    *("open_by_handle_at", "name_to_handle_at"),
)
_THE_MACHINE = (
    *("swapon", "swapoff", "reboot", "quotactl", "quotactl_fd", "acct", "syslog", "vhangup"),
    *("sethostname", "setdomainname", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex"),
    "personality",
)
# What can be told to send SIGCONT later would wake a process that was stopped between two requests.
_WAKING = ("timer_create", "mq_notify")
FORBIDDEN = (*_INTO_PROCESSES, *_INTO_THE_KERNEL, *_MOUNTS_AND_NAMESPACES, *_THE_MACHINE, *_WAKING)
# AF_UNIX, AF_INET, AF_INET6, AF_NETLINK. Others are rarely used code of the kernel, and AF_VSOCK reaches the host of
# a virtual machine from any network namespace.
SOCKET_FAMILIES = (1, 2, 10, 16)

_AUDIT_ARCH = {X86_64: 0xC000003E, AARCH64: 0xC00000B7}
_X32_BIT = 0x40000000
_NEW_NAMESPACE = CLONE_NEWUSER | sum(FLAGS.values())
_CLONE_NEWTIME = 0x80  # not in clone(), where these bits are the signal of the child's death

_LD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_OFFSET_NUMBER, _OFFSET_ARCH, _OFFSET_ARGUMENT, _OFFSET_SECOND = 0, 4, 16, 24
# Of fcntl: the signal that tells of input and output, of a pipe that the judge empties for example.
_F_SETSIG = 10
_SET_MODE_FILTER = 1
# Older kernels slow a filtered process down against Spectre, and its kernels with it, unless told not to.
_SPEC_ALLOW = 1 << 2

Instruction = tuple[int, int, int, int]


def program(machine: str) -> list[Instruction]:
    """Return the filter for ``machine`` as (code, jump if true, jump if false, constant).

    Raises
    ------
    OSError
        With ENOSYS, if the numbers of that machine are not known.
    """
    number_of("clone3", machine)
    forbidden = [number for name in FORBIDDEN if (number := NUMBERS[name][machine == AARCH64]) is not None]
    deny, absent = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
    head = [
        (_LD, 0, 0, _OFFSET_ARCH),
        (_JEQ, 1, 0, _AUDIT_ARCH[machine]),
        (_RET, 0, 0, absent),
        (_LD, 0, 0, _OFFSET_NUMBER),
        (_JGE, 0, 1, _X32_BIT),
        (_RET, 0, 0, absent),
        (_JEQ, 0, 1, number_of("clone3", machine)),
        (_RET, 0, 0, absent),
    ]
    argument = (_LD, 0, 0, _OFFSET_ARGUMENT)
    clone = [argument, (_JSET, 0, 1, _NEW_NAMESPACE), (_RET, 0, 0, deny), (_RET, 0, 0, _ALLOW)]
    unshare = [
        argument,
        (_JSET, 0, 1, _NEW_NAMESPACE | _CLONE_NEWTIME),
        (_RET, 0, 0, deny),
        (_RET, 0, 0, _ALLOW),
    ]
    families = [
        (_JEQ, len(SOCKET_FAMILIES) - index, 0, family) for index, family in enumerate(SOCKET_FAMILIES)
    ]
    socket = [argument, *families, (_RET, 0, 0, _ERRNO | errno.EAFNOSUPPORT), (_RET, 0, 0, _ALLOW)]
    fcntl = [
        (_LD, 0, 0, _OFFSET_SECOND),
        (_JEQ, 0, 1, _F_SETSIG),
        (_RET, 0, 0, deny),
        (_RET, 0, 0, _ALLOW),
    ]
    for name, block in (("clone", clone), ("unshare", unshare), ("socket", socket), ("fcntl", fcntl)):
        head += [(_JEQ, 0, len(block), number_of(name, machine)), *block]
    checks = [(_JEQ, len(forbidden) - index, 0, number) for index, number in enumerate(forbidden)]
    return [*head, *checks, (_RET, 0, 0, _ALLOW), (_RET, 0, 0, deny)]


def install() -> None:
    """Put the filter on this process and its descendants; the process needs ``no_new_privs``.

    Raises
    ------
    OSError
        If the kernel refuses it, or with ENOSYS on other processors than x86-64 and aarch64.
    """
    raw = _encode(program(platform.machine()))
    code = ctypes.create_string_buffer(raw, len(raw))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(raw) // 8, ctypes.addressof(code)), 16)
    syscall("seccomp", _SET_MODE_FILTER, _SPEC_ALLOW, header)


def _encode(instructions: Sequence[Instruction]) -> bytes:
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
