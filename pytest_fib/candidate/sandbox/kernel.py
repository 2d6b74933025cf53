"""System calls that Python 3.10 has no function for; every failure is an ``OSError`` that names the call."""

from __future__ import annotations

import ctypes
import os

from pytest_fib.candidate.sandbox.numbers import number_of

AT_FDCWD = -100

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _checked(result: int, name: str) -> int:
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{name}: {os.strerror(errno)}")
    return result


def syscall(name: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """Make the system call ``name``; integers, byte strings, buffers and None (a null pointer) are passed.

    Raises
    ------
    OSError
        If the call fails, or with ENOSYS if this processor's numbers are not known.
    """
    passed = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    # Unused trailing arguments must be zero: some newer calls look at them.
    passed += [ctypes.c_long(0)] * (6 - len(passed))
    return _checked(_libc.syscall(ctypes.c_long(number_of(name)), *passed), name)


def prctl(option: int, *arguments: int) -> int:
    """Call ``prctl`` with up to four integer arguments."""
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    return _checked(_libc.prctl(ctypes.c_int(option), *padded), f"prctl({option})")


def unshare(flags: int) -> None:
    """Leave the namespaces of ``flags`` for new ones."""
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Mount a file system, or change the propagation of ``target``."""
    _checked(
        _libc.mount(
            os.fsencode(source),
            os.fsencode(target),
            kind.encode() if kind else None,
            ctypes.c_ulong(flags),
            data.encode() or None,
        ),
        f"mount {kind or source}",
    )


def umount(target: str, flags: int) -> None:
    """Unmount what is mounted at ``target``."""
    _checked(_libc.umount2(os.fsencode(target), ctypes.c_int(flags)), "umount2")


def set_host_name(name: str) -> None:
    """Name the host of this UTS namespace."""
    raw = name.encode()
    _checked(_libc.sethostname(raw, ctypes.c_size_t(len(raw))), "sethostname")
