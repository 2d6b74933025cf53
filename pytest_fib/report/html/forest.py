"""The gate as a forest plot: for each workload the ratio to the baseline, its interval, and the margin."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pytest_fib.report.html.markup import Markup, joined, tag
from pytest_fib.report.html.plot import Frame, Point, drawing, label, path
from pytest_fib.report.html.scale import Scale, logarithmic
from pytest_fib.report.run import Result
from pytest_fib.report.text import shorten

ROW_LIMIT = 60
_ROW = 18
_TOP = 26
_WIDEST = 4.0
_NAME = 46


def compared(results: Sequence[Result]) -> list[Result]:
    """Return the results that have a ratio, slowest first."""
    known = [result for result in results if result.ratio is not None]
    return sorted(known, key=lambda result: -(result.ratio or 0.0))


def ends(results: Sequence[Result], most: int) -> list[Result]:
    """Return ``most`` of the results that :func:`compared` has sorted: three slow ones for each fast one."""
    fast = min(most // 4, max(0, len(results) - most + most // 4))
    return [*results[: most - fast], *(results[-fast:] if fast else [])]


def plot(rows: Sequence[Result], margin: float) -> Markup:
    """Return a row for each result; at least one."""
    frame = Frame(
        _axis(rows, margin),
        Scale(0.0, 1.0),
        width=860,
        height=_TOP + _ROW * len(rows) + 30,
        left=330,
        right=210,
        top=_TOP,
        bottom=30,
    )
    parts = [_margin(frame, margin), *_ticks(frame)]
    parts += [part for index, row in enumerate(rows) for part in _row(frame, index, row)]
    about = f"Latency relative to the baseline on {len(rows)} workloads, with intervals and a margin of {margin:.1%}"
    return tag("figure", drawing(frame.width, frame.height, parts, about=about), class_="wide")


def _axis(rows: Sequence[Result], margin: float) -> Scale:
    """An axis around 1 that shows every interval, but none beyond a factor of four: that is an arrow's end."""
    ends = [end for row in rows for end in (row.ratio_interval or (row.ratio or 1.0,))]
    shown = [min(_WIDEST, max(1 / _WIDEST, end)) for end in ends]
    return logarithmic([1 / (1 + 2 * margin), 1 + 2 * margin, *shown])


def _margin(frame: Frame, margin: float) -> Markup:
    left, _ = frame.at(1 / (1 + margin), 0)
    right, _ = frame.at(1 + margin, 0)
    height = frame.height - frame.top - frame.bottom
    band = tag("rect", x=left, y=frame.top, width=right - left, height=height, class_="band")
    one, _ = frame.at(1.0, 0)
    line = path([(one, frame.top), (one, frame.height - frame.bottom)], "one")
    words = label(one, frame.top - 12, f"margin ±{margin:.1%}", class_="a")
    beside = frame.height - 3
    sides = [
        label(frame.left, beside, "◂ faster", anchor="start", class_="a"),
        label(frame.width - frame.right, beside, "slower ▸", anchor="end", class_="a"),
    ]
    return joined([band, line, words, *sides])


def _ticks(frame: Frame) -> list[Markup]:
    base = frame.height - frame.bottom
    parts = []
    for tick in frame.x.ticks(6):
        x, _ = frame.at(tick, 0)
        parts.append(path([(x, frame.top), (x, base)], "g"))
        parts.append(label(x, base + 14, f"{tick:g}"))
    middle = (frame.left + frame.width - frame.right) / 2
    return [*parts, label(middle, frame.height - 3, "latency over the baseline's", class_="a")]


def _row(frame: Frame, index: int, row: Result) -> list[Markup]:
    assert row.ratio is not None
    y = frame.top + _ROW * (index + 0.5)
    class_ = {"SLOWER": "bad", "UNSTEADY": "bad", "FASTER": "good", "AMBIGUOUS": "open"}.get(
        row.verdict, "same"
    )
    x, _ = frame.at(row.ratio, 0)
    name = f"{shorten(row.solution, 20)} {shorten(row.label, _NAME - 21)}"
    parts = [label(frame.left - 8, y + 4, name, anchor="end")]
    if row.ratio_interval is not None:
        ends: list[Point] = [(frame.at(end, 0)[0], y) for end in row.ratio_interval]
        parts.append(path(ends, class_))
    words = _words(row)
    square = tag(
        "path", tag("title", f"{row.definition}, {row.label}: {words}"), d=_square(x, y), class_=f"p {class_}"
    )
    return [
        *parts,
        square,
        label(frame.width - frame.right + 8, y + 4, words, anchor="start", class_=f"v {class_}"),
    ]


def _words(row: Result) -> str:
    assert row.ratio is not None
    shown = f"{row.ratio:.3f}"
    if row.ratio_interval is not None:
        shown += f" [{row.ratio_interval[0]:.3f}, {row.ratio_interval[1]:.3f}]"
    return f"{shown} {row.verdict}".rstrip()


def _square(x: float, y: float) -> str:
    return f"M{math.floor(x) - 3} {math.floor(y) - 3}h7v7h-7z"
