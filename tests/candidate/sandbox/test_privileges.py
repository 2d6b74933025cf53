"""From inside, no system call and no capability helps to get out."""

from __future__ import annotations

import os
from typing import Any

Sandbox = Any


def forbidden_calls(parent: int) -> dict[str, str]:
    import ctypes
    import errno
    import os
    import platform

    from pytest_fib.candidate.sandbox.numbers import number_of

    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(256)
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    calls = {
        "ptrace": (16, 1, 0, 0),
        "process_vm_readv": (parent, buffer, 1, buffer, 1, 0),
        "mount": (b"tmpfs", b"/tmp", b"tmpfs", 0, None),
        "umount2": (b"/proc", 2),
        "umount2 ": (b"/usr", 2),
        "pivot_root": (b"/tmp", b"/tmp"),
        "chroot": (b"/tmp",),
        "setns": (here, 0),
        "open_tree": (-100, b"/", 1),
        "move_mount": (-100, b"/usr", -100, b"/tmp", 0),
        "mount_setattr": (-100, b"/", 0, buffer, 32),
        "fsopen": (b"tmpfs", 0),
        "bpf": (0, buffer, 64),
        "perf_event_open": (buffer, 0, -1, -1, 0),
        "userfaultfd": (1,),
        "io_uring_setup": (8, buffer),
        "keyctl": (0, -3, 0),
        "add_key": (b"user", b"x", b"y", 1, -3),
        "open_by_handle_at": (-100, buffer, 0),
        "personality": (0xFFFFFFFF,),
        "sethostname": (b"x", 1),
        "kcmp": (os.getpid(), os.getpid(), 0, 0, 0),
        "clone": (0x10000000 | 17, 0, 0, 0, 0),
        "clone3": (buffer, 64),
        "unshare": (0x10000000,),
        "unshare ": (0x00020000,),
    }
    answers = {}
    for name, arguments in calls.items():
        words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
        words += [ctypes.c_long(0)] * (6 - len(words))
        result = libc.syscall(ctypes.c_long(number_of(name.strip(), platform.machine())), *words)
        answers[name] = errno.errorcode[ctypes.get_errno()] if result < 0 else "allowed"
        if name.startswith("clone") and result == 0:
            os._exit(0)
    return answers


def test_calls_that_attacks_are_made_of_are_forbidden(sandboxed: Sandbox) -> None:
    answers = sandboxed(forbidden_calls, needs=("seccomp",), parent=os.getpid()).returned
    assert answers.pop("clone3") == "ENOSYS"
    assert set(answers.values()) == {"EPERM"}


def test_without_the_filter_no_mount_or_namespace_of_power_can_be_had(sandboxed: Sandbox) -> None:
    outcome = sandboxed(
        forbidden_calls, needs=("root", "capabilities"), policy={"without": ("seccomp",)}, parent=os.getpid()
    )
    allowed = {name.strip() for name, answer in outcome.returned.items() if answer == "allowed"}
    assert not allowed & {
        "mount",
        "umount2",
        "pivot_root",
        "chroot",
        "open_tree",
        "move_mount",
        "fsopen",
        "setns",
    }


def make_device_and_become_root() -> list[str]:
    import contextlib
    import os
    import stat

    done = []
    for name, action in (
        ("mknod", lambda: os.mknod("/tmp/disk", 0o600 | stat.S_IFBLK, os.makedev(8, 0))),
        ("mknod null", lambda: os.mknod("/tmp/null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))),
        ("setuid", lambda: os.setuid(0 if os.getuid() else 1)),
        ("setgid", lambda: os.setgid(0 if os.getgid() else 1)),
        ("setgroups", lambda: os.setgroups([])),
        ("chown", lambda: os.chown("/tmp", 0, 0)),
        ("nice", lambda: os.nice(-5)),
    ):
        with contextlib.suppress(OSError):
            action()
            done.append(name)
    with open("/proc/self/status") as file:
        done += [line for line in file if line.startswith("Cap") and int(line.split()[1], 16)]
    return done


def test_no_capability_is_left(sandboxed: Sandbox) -> None:
    outcome = sandboxed(make_device_and_become_root, needs=("capabilities", "user", "landlock_files"))
    assert outcome.returned == []
