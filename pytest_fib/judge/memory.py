"""Memory files: shared memory that only the judge can make, and whose size nobody can change."""

from __future__ import annotations

import fcntl
import mmap
import os

SIZE_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


def memory_file(nbytes: int, name: str) -> int:
    """Return a memory file of fixed size (bytes)."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, nbytes)
    return fd


def memory_page() -> int:
    """Return a memory file of one page, empty, for a few words of a candidate."""
    fd = memory_file(mmap.PAGESIZE, "fib-note")
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SIZE_SEALS)
    return fd


def memory_file_of_text(text: str) -> int:
    """Return a sealed, read-only memory file that holds ``text``."""
    raw = text.encode("utf-8", "surrogatepass")
    fd = os.memfd_create("fib-order", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(raw)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SIZE_SEALS | fcntl.F_SEAL_WRITE)
    return fd
