"""Official trace files, one line per judged workload, appended as items finish."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from pytest_fib.data.text import slug
from pytest_fib.report.record import Record

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def trace_path(author: str, op_type: str, definition: str) -> PurePosixPath:
    """Return where a trace goes below the dataset's root; names become slugs, so none can leave it."""
    return PurePosixPath("traces", slug(author), slug(op_type), slug(definition) + ".jsonl")


def append_trace(root: Path, record: Record) -> None:
    """Append the record's trace, if it has one, below ``root`` and flush it to the system.

    Below ``root`` no symbolic link is followed and nothing but a regular file is written to: OSError otherwise, and
    when the disk refuses.
    """
    trace, solution = record["trace"], record["solution"]
    if trace is None or solution is None:
        return
    line = json.dumps(trace, allow_nan=False, separators=(",", ":")) + "\n"
    path = trace_path(solution["author"], record["op_type"], str(trace["definition"]))
    with _open_below(root, path) as descriptor:
        _append(descriptor, line.encode("ascii"))


@contextmanager
def _open_below(root: Path, path: PurePosixPath) -> Iterator[int]:
    """Open the file for appending, folder by folder."""
    root.mkdir(parents=True, exist_ok=True)
    folder = os.open(root, _FOLDER & ~os.O_NOFOLLOW)
    try:
        for name in path.parts[:-1]:
            inner = _enter(folder, name)
            os.close(folder)
            folder = inner
        descriptor = os.open(path.name, _FILE, 0o666, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} below {root} is not a regular file")
        yield descriptor
    finally:
        os.close(descriptor)


def _enter(folder: int, name: str) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=folder)
    return os.open(name, _FOLDER, dir_fd=folder)


def _append(descriptor: int, line: bytes) -> None:
    """A file that ends in half a line (a crash, or another tool's habit) gets its end of line first."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        line = b"\n" + line
    while line:
        line = line[os.write(descriptor, line) :]
