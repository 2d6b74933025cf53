"""What commands print."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from pytest_fib.data.files import shown
from pytest_fib.report.text import for_encoding, shorten

USAGE_ERROR = 2


def write(line: str) -> None:
    """Print a line as the stream can show it."""
    print(for_encoding(line, sys.stdout.encoding))


def fail(sentence: str) -> int:
    """Print why the command cannot begin; returns the exit status for wrong usage."""
    print(for_encoding(f"ERROR: {sentence}", sys.stderr.encoding), file=sys.stderr)
    return USAGE_ERROR


def place(path: Path) -> str:
    """Return a path as it is shown: from the current folder if it lies there."""
    return shown(path).removeprefix(shown(Path.cwd()) + os.sep)


def terminal_width() -> int:
    """Columns of the terminal, or as ``COLUMNS`` says; 100 where neither is known."""
    return shutil.get_terminal_size((100, 24)).columns


def is_cut() -> bool:
    """Whether lines that are too long should be cut off: on a terminal, or where ``COLUMNS`` says how wide it is."""
    return sys.stdout.isatty() or bool(os.environ.get("COLUMNS"))


def table(
    rows: Sequence[Sequence[str]], width: int, *, right: Collection[int] = (), indent: str = "  "
) -> list[str]:
    """Return rows as lines of at most ``width`` columns; those in ``right`` are aligned to the right.

    All rows have the same number of cells. What does not fit is taken from the middle of the widest column.
    """
    widths = [max(map(len, column), default=0) for column in zip(*rows, strict=True)]
    room = width - len(indent) - 2 * (len(widths) - 1)
    while sum(widths) > room and max(widths) > 8:
        widest = widths.index(max(widths))
        rest = sorted(widths)[-2] if len(widths) > 1 else 0
        widths[widest] = max(8, min(widths[widest] - 1, max(rest, widths[widest] - (sum(widths) - room))))
    return [indent + "  ".join(_cells(row, widths, right)).rstrip() for row in rows]


def _cells(row: Sequence[str], widths: Sequence[int], right: Collection[int]) -> Iterator[str]:
    for column, (cell, wide) in enumerate(zip(row, widths, strict=True)):
        short = shorten(cell, wide)
        yield short.rjust(wide) if column in right else short.ljust(wide)
