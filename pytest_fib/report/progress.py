"""What is being judged right now, on the terminal's current line.

There is no thread that ticks: it would disturb the judge's clock. So the line shows the time when the item began.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Protocol, TextIO

import pytest

from pytest_fib.data.text import escape
from pytest_fib.report.units import format_elapsed

_SAVE, _RESTORE, _CLEAR = "\x1b7", "\x1b8", "\x1b[K"
_LEAST_WIDTH = 20


class Screen(Protocol):
    """What is asked of pytest's terminal writer: columns in all and columns in use on the current line."""

    @property
    def fullwidth(self) -> int:
        """Columns of the terminal."""

    @property
    def width_of_current_line(self) -> int:
        """Columns that pytest has written to."""


def wants_progress(stream: TextIO, verbosity: int) -> bool:
    """Whether a live line may be shown: a real terminal and no ``-q``."""
    return verbosity >= 0 and stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


def progress_text(nodeid: str, number: int, total: int, seconds: float) -> str:
    """Return e.g. ``3/19 rmsnorm_h128 batch_size7-33bf737d 0:42``; ``total`` 0 when it is not known."""
    file, *rest = nodeid.split("::")
    definition = file.rpartition("/")[2].removesuffix(".jsonl")
    count = f"{number}/{total}" if total else str(number)
    label = f" {rest[-1]}" if rest else ""
    return f"{count} {escape(definition + label, 400)} {format_elapsed(seconds)}"


class ProgressLine:
    """Shows the item that runs behind pytest's own output and wipes it before pytest writes again."""

    def __init__(
        self, stream: TextIO, screen: Callable[[], Screen], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._screen = screen
        self._clock = clock
        self._began = clock()
        self._finished = 0
        self._total = 0
        self._shown = False

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Count the items: https://docs.pytest.org/en/stable/reference/reference.html#std-hook-pytest_collection_finish"""
        self._total = len(session.items) or self._total

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Count the items that an xdist worker collected: all workers collect the same."""
        self._total = len(ids)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Show the item, after pytest has written the file's name."""
        self._wipe()
        screen = self._screen()
        room = screen.fullwidth - screen.width_of_current_line - 2
        if room < _LEAST_WIDTH:
            return
        text = progress_text(nodeid, self._finished + 1, self._total, self._clock() - self._began)
        self._write(f"{_SAVE} {text[:room]}{_RESTORE}")
        self._shown = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Wipe the line before pytest writes the outcome."""
        self._wipe()

    def pytest_runtest_logfinish(self) -> None:
        """Count."""
        self._finished += 1

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self) -> None:
        """Leave a clean line behind."""
        self._wipe()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Leave a clean line behind."""
        self._wipe()

    def _wipe(self) -> None:
        if self._shown:
            self._write(_CLEAR)
            self._shown = False

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
