"""A clock in the candidate's process: when the device began and ended what it did there, by CUPTI's activity records.

It is in the hands of the solution, so the judge hears it only where its own clock leaves room.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, byref, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any

_MEMCPY, _MEMSET, _KERNEL = 1, 2, 10  # CUpti_ActivityKind: copies, fills, kernels that may overlap
_START, _END = 16, 24  # where the records of all three kinds have their nanoseconds
_BUFFER_BYTES = 1 << 20
_ALIGN = 8
_FORCED = 1
_PICOSECONDS = 1000

_Requested = CFUNCTYPE(None, POINTER(c_void_p), POINTER(c_size_t), POINTER(c_size_t))
_Completed = CFUNCTYPE(None, c_void_p, c_uint32, c_void_p, c_size_t, c_size_t)


class ActivityClock:
    """Activity records of this process; where there is no CUPTI, it knows nothing."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int]] = []
        self._buffers: dict[int, Any] = {}
        self._library = _loaded()
        # Kept here: the library calls them as long as it is there.
        self._requested: Callable[..., Any] = _Requested(self._lend)
        self._completed: Callable[..., Any] = _Completed(self._take)
        if self._library is not None:
            self._library.cuptiActivityRegisterCallbacks(self._requested, self._completed)

    def start(self) -> None:
        """Record from now on."""
        self._spans.clear()
        if self._library is not None:
            for kind in (_KERNEL, _MEMCPY, _MEMSET):
                self._library.cuptiActivityEnable(kind)

    def stop(self, calls: int) -> int:
        """Return how long one of ``calls`` equal calls since ``start`` took, see ``per_call``; all are at an end."""
        if self._library is None:
            return 0
        self._library.cuptiActivityFlushAll(_FORCED)
        for kind in (_KERNEL, _MEMCPY, _MEMSET):
            self._library.cuptiActivityDisable(kind)
        return per_call(self._spans, calls)

    def _lend(self, buffer: Any, size: Any, most: Any) -> None:
        memory = ctypes.create_string_buffer(_BUFFER_BYTES + _ALIGN)
        address = -(-ctypes.addressof(memory) // _ALIGN) * _ALIGN
        self._buffers[address] = memory
        buffer[0], size[0], most[0] = address, _BUFFER_BYTES, 0

    def _take(self, _context: int, _stream: int, buffer: int, _size: int, valid: int) -> None:
        record = c_void_p()
        if valid and self._library is not None:
            while (
                self._library.cuptiActivityGetNextRecord(c_void_p(buffer), c_size_t(valid), byref(record))
                == 0
            ):
                at = record.value or 0
                if c_uint32.from_address(at).value in (_KERNEL, _MEMCPY, _MEMSET):
                    start, end = (c_uint64.from_address(at + place).value for place in (_START, _END))
                    self._spans.append((start, end))
        self._buffers.pop(buffer, None)


def per_call(spans: list[tuple[int, int]], calls: int) -> int:
    """Return the picoseconds of one of ``calls`` equal calls, from its first beginning to its last end, on average.

    ``spans`` are the nanoseconds of everything on the device, in any order; the first of all is the gate. The answer
    is 0 where they cannot be divided among the calls.
    """
    behind = sorted(spans)[1:]
    each, rest = divmod(len(behind), max(1, calls))
    if rest or not each:
        return 0
    parts = [behind[first : first + each] for first in range(0, len(behind), each)]
    took = sum(max(end for _, end in part) - part[0][0] for part in parts)
    return took * _PICOSECONDS // calls


def _loaded() -> Any:
    """Return the library that torch has loaded already, for its own profiler; None if it has not."""
    with open("/proc/self/maps") as maps:
        paths = [line.split(maxsplit=5)[-1].strip() for line in maps if "libcupti.so" in line]
    try:
        return ctypes.CDLL(paths[0]) if paths else None
    except OSError:
        return None
