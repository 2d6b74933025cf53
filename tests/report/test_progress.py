from __future__ import annotations

import errno
import io
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from pytest_fib.report.progress import ProgressLine, progress_text, wants_progress

NODEID = "tracesets/mini/workloads/rmsnorm/rmsnorm_h128.jsonl::v1::batch_size7-33bf737d"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@dataclass
class Screen:
    fullwidth: int = 80
    width_of_current_line: int = 30


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


def test_text() -> None:
    assert progress_text(NODEID, 3, 19, 42.9) == "3/19 rmsnorm_h128 batch_size7-33bf737d 0:42"
    assert progress_text("test_x.py::test", 1, 0, 0) == "1 test_x.py test 0:00"


def test_text_is_harmless() -> None:
    assert progress_text("a\x1b[2J.jsonl::b\n", 1, 1, 0).isprintable()


@pytest.mark.parametrize(
    ("stream", "verbosity", "term", "wanted"),
    [
        (Terminal(), 0, "xterm", True),
        (Terminal(), 1, "xterm", True),
        (Terminal(), -1, "xterm", False),
        (io.StringIO(), 0, "xterm", False),
        (Terminal(), 0, "dumb", False),
    ],
)
def test_only_where_someone_looks(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, verbosity: int, term: str, wanted: bool
) -> None:
    monkeypatch.setenv("TERM", term)
    assert wants_progress(stream, verbosity) is wanted


def test_the_line_is_shown_behind_the_cursor_and_wiped_before_the_outcome() -> None:
    stream, now = Terminal(), iter([100.0, 103.0])
    line = ProgressLine(stream, Screen, lambda: next(now))
    line.pytest_collection_finish(SimpleNamespace(items=[1, 2]))  # type: ignore[arg-type]
    line.pytest_runtest_logstart(NODEID)
    line.pytest_runtest_logreport(SimpleNamespace())  # type: ignore[arg-type]
    line.pytest_runtest_logreport(SimpleNamespace())  # type: ignore[arg-type]
    assert stream.getvalue() == "\x1b7 1/2 rmsnorm_h128 batch_size7-33bf737d 0:03\x1b8\x1b[K"


def test_items_are_counted_from_the_workers() -> None:
    stream = Terminal()
    line = ProgressLine(stream, Screen)
    line.pytest_xdist_node_collection_finished(ids=["a", "b", "c"])
    line.pytest_runtest_logfinish()
    line.pytest_runtest_logstart(NODEID)
    assert " 2/3 " in stream.getvalue()


def test_the_line_never_wraps() -> None:
    stream = Terminal()
    ProgressLine(stream, lambda: Screen(60, 30)).pytest_runtest_logstart(NODEID)
    shown = stream.getvalue().removeprefix("\x1b7").removesuffix("\x1b8")
    assert 0 < len(shown) < 30
    full = Terminal()
    ProgressLine(full, lambda: Screen(60, 50)).pytest_runtest_logstart(NODEID)
    assert full.getvalue() == ""


def test_an_interrupt_leaves_a_clean_line() -> None:
    stream = Terminal()
    line = ProgressLine(stream, Screen)
    line.pytest_runtest_logstart(NODEID)
    line.pytest_keyboard_interrupt()
    line.pytest_sessionfinish()
    assert stream.getvalue().endswith("\x1b8\x1b[K")
    assert stream.getvalue().count("\x1b[K") == 1


def run_on_a_terminal(folder: Path, *args: str) -> str:
    """Run pytest in ``folder`` with a pseudo-terminal as its output, and return what it wrote."""
    pty = pytest.importorskip("pty")
    pid, master = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ |= {"TERM": "xterm", "COLUMNS": "100", "PYTHONPATH": str(Path(__file__).parents[2])}
        os.execv(sys.executable, [sys.executable, "-m", "pytest", "-pno:cacheprovider", *args])
    pieces = []
    try:
        while piece := os.read(master, 65536):
            pieces.append(piece)
    except OSError as error:
        if error.errno != errno.EIO:  # how Linux says that the other side is closed
            raise
    os.close(master)
    os.waitpid(pid, 0)
    return b"".join(pieces).decode()


def test_a_real_terminal_shows_it(pytester: pytest.Pytester, synthetic: ModuleType) -> None:
    synthetic.write_cases(pytester.path, {"name": "w1"}, {"name": "w2"})
    output = run_on_a_terminal(pytester.path, "-pno:benchmark")
    assert re.search(r"\x1b7 1/2 rmsnorm_h128 w1 0:0\d\x1b8\x1b\[K\S*\.", output)
    assert re.search(r"\x1b7 2/2 rmsnorm_h128 w2 0:0\d\x1b8\x1b\[K\S*\.", output)


def test_a_quiet_terminal_does_not(pytester: pytest.Pytester, synthetic: ModuleType) -> None:
    synthetic.write_cases(pytester.path, {"name": "w1"})
    assert "\x1b7" not in run_on_a_terminal(pytester.path, "-pno:benchmark", "-q")


def test_a_pipe_does_not(pytester: pytest.Pytester, synthetic: ModuleType) -> None:
    synthetic.write_cases(pytester.path, {"name": "w1"})
    assert "\x1b7" not in pytester.runpytest_subprocess("-pno:benchmark").stdout.str()
