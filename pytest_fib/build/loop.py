"""Requests of compiled solutions: served one after another in compiled code.

Between two requests an interpreter's code leaves the caches. To bring it back takes some microseconds, now more and
now less, and the hand-over of a request, what lies between two calls and the way back to the wait for the next
request would be as uncertain.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pytest_fib.border.arena import BEAT, CALLS, DONE, FIRST, GO, READY

SOURCE = Path(__file__).with_name("loop.cc")
"""What is compiled into the library of a solution."""


class Loop:
    """Makes the calls of ``entry`` that the judge asks for.

    Parameters
    ----------
    module
        The solution's library, as TVM-FFI loaded it, with the functions of ``SOURCE``.
    entry
        A function of TVM-FFI.
    """

    def __init__(self, module: Any, entry: Any) -> None:
        self._entry = entry
        self._begin, self._add, self._serve = (
            module[f"pytest_fib_loop_{name}"] for name in ("begin", "add", "serve")
        )

    def begin(self, control: memoryview, reply: memoryview) -> None:
        """Heed the words of these pages from now on, and forget all calls."""
        heard = (_address(control, word) for word in (GO, FIRST, CALLS))
        said = (_address(reply, word) for word in (READY, BEAT, DONE))
        self._begin(self._entry, *heard, *said)

    def add(self, arguments: tuple[Any, ...]) -> None:
        """Take the arguments of the call on the next set: numbers, and tensors of TVM-FFI that are kept alive."""
        self._add(*arguments)

    def serve(self, requests: range) -> None:
        """Wait for each "go", make its calls and say "done"; raise what a call raises, before its "done"."""
        self._serve(requests.start, len(requests))


def _address(page: memoryview, word: int) -> int:
    return int(np.frombuffer(page, dtype=np.uint64).ctypes.data) + word * page.itemsize
