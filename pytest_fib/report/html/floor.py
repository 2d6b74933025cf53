"""The roofline in units of time: latency against the least time that the work can take on this device."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from pytest_fib.report.html.markup import Markup, tag
from pytest_fib.report.html.plot import (
    COLOURS,
    TITLED_LIMIT,
    Axis,
    Frame,
    Point,
    colour,
    figure,
    label,
    legend,
    markers,
    path,
)
from pytest_fib.report.html.scale import logarithmic
from pytest_fib.report.run import Result
from pytest_fib.report.units import format_latency

_TIMES = (1, 2, 10, 100, 1000)


def figures(results: Sequence[Result]) -> list[Markup]:
    """Return one figure with every workload whose floor is known, or none.

    Solutions beyond the eighth are one series.
    """
    series: defaultdict[str, list[tuple[Point, Result]]] = defaultdict(list)
    for result in results:
        if result.floor is not None and result.latency is not None and result.passed:
            name = f"{result.solution} · {result.definition}"
            known = name in series or len(series) < COLOURS - 1
            series[name if known else "others"].append(((result.floor, result.latency), result))
    return [_panel(dict(series))] if series else []


def _panel(series: dict[str, list[tuple[Point, Result]]]) -> Markup:
    points = [point for found in series.values() for point, _ in found]
    floors = [floor for floor, _ in points]
    frame = Frame(
        logarithmic(floors), logarithmic(value for pair in points for value in pair), width=560, height=320
    )
    marks = [mark for times in _TIMES for mark in _line(frame, times)]
    for index, found in enumerate(series.values()):
        titled = [(frame.at(*point), _title(result)) for point, result in found]
        marks.append(markers(titled, index, plain=len(points) > TITLED_LIMIT))
    drawn = figure(
        frame,
        Axis("floor: least time that the work can take", format_latency),
        Axis("latency", format_latency),
        marks,
        about="Latency against the least time that the work can take",
    )
    return tag("figure", drawn, legend((name, index, colour(index)) for index, name in enumerate(series)))


def _line(frame: Frame, times: int) -> list[Markup]:
    """The line of latencies that are ``times`` the floor, as far as it lies in the frame."""
    low = max(frame.x.low, frame.y.low / times)
    high = min(frame.x.high, frame.y.high / times)
    if low >= high:
        return []
    x, y = frame.at(high, high * times)
    name = "floor" if times == 1 else f"{times}×"
    ends = [frame.at(low, low * times), (x, y)]
    return [path(ends, "floor" if times == 1 else "g dash"), label(x - 4, y + 14, name, anchor="end")]


def _title(result: Result) -> str:
    assert result.floor is not None
    assert result.latency is not None
    share = result.floor / result.latency
    return f"{result.solution}, {result.label}: {format_latency(result.latency)}, {share:.0%} of the floor's speed"
