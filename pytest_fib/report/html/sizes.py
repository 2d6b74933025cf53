"""Latency against problem size, one figure per definition, both axes logarithmic."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_fib.report.html.markup import Markup, tag
from pytest_fib.report.html.plot import (
    TITLED_LIMIT,
    Axis,
    Frame,
    Point,
    colour,
    figure,
    legend,
    markers,
    path,
)
from pytest_fib.report.html.scale import logarithmic
from pytest_fib.report.run import Result
from pytest_fib.report.standings import by_solution
from pytest_fib.report.units import format_latency

REFERENCE, BASELINE, FLOOR = "ref", "base", "floor"
_REFERENCE_SHAPE, _BASELINE_SHAPE, _FLOOR_SHAPE = 3, 5, 6


@dataclass(frozen=True)
class Size:
    """What counts as the size of a workload: the product of some of its axes."""

    axes: tuple[str, ...]

    def of(self, axes: Mapping[str, int]) -> int:
        """Return the size of a workload; 0 if it has an axis of that size, or lacks one."""
        return math.prod(axes.get(name, 0) for name in self.axes)

    @property
    def name(self) -> str:
        """What it is called."""
        return " × ".join(self.axes)


def find_size(results: Iterable[Result]) -> Size | None:
    """Return the axis that varies, or where several do that one (or their product) which latency follows best.

    None where none varies. How well latency follows is the correlation of the logarithms.
    """
    timed = [result for result in results if result.latency is not None and result.axes]
    values: defaultdict[str, set[int]] = defaultdict(set)
    for result in timed:
        for name, length in result.axes.items():
            values[name].add(length)
    varying = tuple(name for name, lengths in values.items() if len(lengths - {0}) > 1)
    if not varying:
        return None
    sizes = [Size((name,)) for name in varying] + ([Size(varying)] if len(varying) > 1 else [])
    return max(sizes, key=lambda size: _followed(size, timed))


def figures(groups: Mapping[str, Sequence[Result]]) -> list[Markup]:
    """Return a figure for each definition whose workloads differ in size."""
    plain = sum(map(len, groups.values())) > TITLED_LIMIT
    found = ((name, results, find_size(results)) for name, results in groups.items())
    return [_panel(name, results, size, plain=plain) for name, results, size in found if size is not None]


def _followed(size: Size, timed: Sequence[Result]) -> float:
    pairs = [
        (math.log(size.of(result.axes)), math.log(result.latency))
        for result in timed
        if size.of(result.axes) > 0 and result.latency is not None
    ]
    try:
        return statistics.correlation([x for x, _ in pairs], [y for _, y in pairs])
    except statistics.StatisticsError:  # fewer than two, or all the same
        return -1.0


def _panel(definition: str, results: Sequence[Result], size: Size, *, plain: bool) -> Markup:
    timed = [result for result in results if size.of(result.axes) > 0 and result.latency is not None]
    series = {name: _series(found, size, lambda r: r.latency) for name, found in by_solution(timed).items()}
    others = {
        REFERENCE: _series(timed, size, lambda r: r.reference),
        BASELINE: _series(timed, size, lambda r: r.baseline),
        FLOOR: _series(timed, size, lambda r: r.floor),
    }
    everything = [point for points in (*series.values(), *others.values()) for point in points]
    frame = Frame(logarithmic(x for x, _ in everything), logarithmic(y for _, y in everything), height=250)
    marks = [path(_pixels(frame, others[FLOOR]), FLOOR)]
    for index, (name, points) in enumerate(series.items()):
        marks.append(path(_pixels(frame, points), f"{colour(index)} t"))
        marks.append(markers(_titled(frame, points, name), index, plain=plain))
    for name, shape in ((REFERENCE, _REFERENCE_SHAPE), (BASELINE, _BASELINE_SHAPE)):
        marks.append(markers(_titled(frame, others[name], _NAMES[name]), shape, name, plain=plain))
    entries = [(name, index, colour(index)) for index, name in enumerate(series)]
    shapes = {REFERENCE: _REFERENCE_SHAPE, BASELINE: _BASELINE_SHAPE, FLOOR: _FLOOR_SHAPE}
    entries += [(_NAMES[name], shape, name) for name, shape in shapes.items() if others[name]]
    about = f"Latency of {len(series)} solutions on {definition} against {size.name}"
    drawn = figure(frame, Axis(size.name, shown_count), Axis("latency", format_latency), marks, about=about)
    return tag("figure", tag("figcaption", definition), drawn, legend(entries))


_NAMES: Mapping[str, str] = {REFERENCE: "reference", BASELINE: "baseline", FLOOR: "floor"}


def shown_count(value: float) -> str:
    """Return a tick of an axis of sizes."""
    if value >= 1e6:
        return f"{value:.0e}".replace("e+0", "e").replace("e+", "e")
    return f"{value:g}"


def _series(results: Iterable[Result], size: Size, latency: Callable[[Result], float | None]) -> list[Point]:
    """The median latency at each size, by size; solutions on the same workload share their reference and floor."""
    found: defaultdict[int, list[float]] = defaultdict(list)
    for result in results:
        value = latency(result)
        if value is not None:
            found[size.of(result.axes)].append(value)
    return [(float(length), statistics.median(found[length])) for length in sorted(found)]


def _pixels(frame: Frame, points: Iterable[Point]) -> list[Point]:
    return [frame.at(x, y) for x, y in points]


def _titled(frame: Frame, points: Iterable[Point], name: str) -> list[tuple[Point, str]]:
    return [(frame.at(x, y), f"{name}, {x:g}: {format_latency(y)}") for x, y in points]
