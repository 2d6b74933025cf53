"""What a candidate prints: drained from a pipe, capped, never interpreted."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections import deque

import pytest_fib

_HEAD = 8 * 1024
_TAIL = 24 * 1024
_CHUNK = 64 * 1024
_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031

# What faulthandler says of a crash beyond the solution's own frames: ours below them, and all of torch's extensions.
_OURS = re.escape(os.path.dirname(os.path.abspath(pytest_fib.__file__)))
_OF_THE_HARNESS = re.compile(
    rf'^  File "{_OURS}/(?:build|candidate)/[^"\n]*", line \d+ in [^\n]*\n(?:  File "[^\n]*\n)*'
    r"|^\n?Extension modules: [^\n]* \(total: \d+\)\n?",
    re.MULTILINE,
)


class Output:
    """The reading end of a candidate's stdout and stderr; keeps the first 8 KiB and the last 24 KiB."""

    def __init__(self) -> None:
        self.fileno, self.write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.fileno, False)
        with contextlib.suppress(OSError):  # a small pipe only means more reading
            fcntl.fcntl(self.write_end, _F_SETPIPE_SZ, _PIPE_BYTES)
        self._head = b""
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._seen = 0

    def drain(self) -> bool:
        """Read what is there; return False once all writers are gone."""
        while True:
            try:
                chunk = os.read(self.fileno, _CHUNK)
            except BlockingIOError:
                return True
            if not chunk:
                return False
            self._keep(chunk)

    def _keep(self, chunk: bytes) -> None:
        self._seen += len(chunk)
        room = _HEAD - len(self._head)
        if room > 0:
            self._head, chunk = self._head + chunk[:room], chunk[room:]
        self._tail.append(chunk)
        self._tail_bytes += len(chunk)
        while self._tail and self._tail_bytes - len(self._tail[0]) >= _TAIL:
            self._tail_bytes -= len(self._tail.popleft())

    def text(self) -> str:
        """Return the kept output as text, with a note where something was left out.

        Of faulthandler's report of a crash, what means nothing to the author of a solution is left out silently.
        """
        tail = b"".join(self._tail)[-_TAIL:]
        left_out = self._seen - len(self._head) - len(tail)
        note = f"\n... {left_out} bytes left out ...\n".encode() if left_out else b""
        return _OF_THE_HARNESS.sub("", (self._head + note + tail).decode("utf-8", "replace"))

    def take(self) -> str:
        """Return what there is as text and forget it."""
        self.drain()
        text = self.text()
        self._head, self._tail_bytes, self._seen = b"", 0, 0
        self._tail.clear()
        return text

    def close_write_end(self) -> None:
        """Close our copy of the writing end, so that the end of the last writer is seen."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def close(self) -> None:
        """Close both ends."""
        self.close_write_end()
        if self.fileno >= 0:
            os.close(self.fileno)
            self.fileno = -1
