"""How the samples of one workload are distributed, and how they went in time, so that drift can be seen."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence

from pytest_fib.report.html.markup import Markup, tag
from pytest_fib.report.html.plot import (
    Axis,
    Frame,
    Point,
    colour,
    dots,
    figure,
    legend,
    markers,
    path,
    segments,
    steps,
)
from pytest_fib.report.html.scale import Scale, linear, logarithmic
from pytest_fib.report.run import Result
from pytest_fib.report.standings import by_solution
from pytest_fib.report.units import format_latency

_STEPS = 40
_DOTS = 75
_SERIES = 8


def ecdf(samples: Sequence[float], most: int = _STEPS) -> list[tuple[float, float]]:
    """Return the share of samples that are not above a value, at ``most`` of the samples and the last."""
    ordered = sorted(samples)
    count = len(ordered)
    stride = max(1, -(-count // most))
    picked = sorted({*range(stride - 1, count, stride), count - 1})
    return [(ordered[index], (index + 1) / count) for index in picked]


def most_telling(groups: Mapping[str, Sequence[Result]]) -> list[list[Result]]:
    """Return the timed results of each workload: first those not cleared by a gate, then those that varied most."""
    workloads: dict[tuple[str, str], list[Result]] = {}
    for definition, results in groups.items():
        for result in results:
            if result.trials:
                workloads.setdefault((definition, result.workload), []).append(result)
    return sorted(workloads.values(), key=_telling)


def figures(workloads: Sequence[Sequence[Result]]) -> Iterator[Markup]:
    """Yield figures for each workload, side by side: its solutions' samples by size and in order, and gate blocks."""
    for results in workloads:
        solutions = {name: found[0] for name, found in list(by_solution(results).items())[:_SERIES]}
        values = [sample for result in solutions.values() for trial in result.trials for sample in trial]
        scale = logarithmic([*_between(values), *(_middle(result) for result in solutions.values())])
        first = results[0]
        yield tag(
            "figure",
            tag("figcaption", f"{first.definition} · {first.label}"),
            tag(
                "div",
                _ecdfs(solutions, scale, first.label),
                _courses(solutions, scale, first.label),
                *_blocks(solutions, first.label),
                class_="pair",
            ),
            legend((name, index, colour(index)) for index, name in enumerate(solutions)),
            class_="wide",
        )


def _telling(results: Sequence[Result]) -> tuple[int, float]:
    order = {"SLOWER": 0, "UNSTEADY": 0, "AMBIGUOUS": 1}
    return min(order.get(result.verdict, 2) for result in results), -max(result.spread for result in results)


def _between(values: Sequence[float]) -> tuple[float, float]:
    """The range that is shown: all but the outermost percent, which lies at the edge of the frame."""
    ordered = sorted(values)
    cut = len(ordered) // 100
    return ordered[cut], ordered[-1 - cut]


def _middle(result: Result) -> float:
    return statistics.median(sample for trial in result.trials for sample in trial)


def _ecdfs(solutions: Mapping[str, Result], x: Scale, label: str) -> Markup:
    frame = Frame(x, Scale(0.0, 1.0), width=380, height=210)
    marks = []
    for index, (name, result) in enumerate(solutions.items()):
        curve = [frame.at(*point) for point in ecdf([s for trial in result.trials for s in trial])]
        marks.append(steps([(curve[0][0], frame.at(x.low, 0.0)[1]), *curve], colour(index), name))
    return figure(
        frame,
        Axis("latency of one call", format_latency),
        Axis("share of calls", lambda share: f"{share:.0%}"),
        marks,
        about=f"Distribution of the samples of {label}",
    )


def _courses(solutions: Mapping[str, Result], y: Scale, label: str) -> Markup:
    """Every sample in the order of measuring, and a bar at each trial's median."""
    longest = max(len(result.trials) for result in solutions.values())
    frame = Frame(linear(0.0, float(longest)), y, width=440, height=210)
    marks = []
    for index, result in enumerate(solutions.values()):
        marks.append(dots(_sample_dots(frame, result), f"{colour(index)} t"))
        levels = enumerate(map(statistics.median, result.trials))
        ends = [(frame.at(n + 0.05, level), frame.at(n + 0.95, level)) for n, level in levels]
        marks.append(segments(ends, colour(index)))
    return figure(
        frame,
        Axis("trial, a fresh process each; samples in order", lambda at: f"{at:g}" if at == int(at) else ""),
        Axis("latency", format_latency),
        marks,
        about=f"Samples of {label} in the order of measuring",
    )


def _blocks(solutions: Mapping[str, Result], label: str) -> list[Markup]:
    """The ratio to the baseline in each block of the gate, where one ran."""
    gated = {index: result.blocks for index, result in enumerate(solutions.values()) if result.blocks}
    if not gated:
        return []
    longest = max(map(len, gated.values()))
    y = logarithmic([1.0, *(ratio for blocks in gated.values() for ratio in blocks)])
    frame = Frame(linear(0.5, longest + 0.5), y, width=380, height=210)
    marks = [segments([(frame.at(0.5, 1.0), frame.at(longest + 0.5, 1.0))], "one")]
    for index, blocks in gated.items():
        points = [frame.at(number, ratio) for number, ratio in enumerate(blocks, 1)]
        marks.append(path(points, f"{colour(index)} t"))
        marks.append(markers([(point, "") for point in points], index))
    drawn = figure(
        frame,
        Axis("block of the gate", lambda at: f"{at:g}" if at == int(at) else ""),
        Axis("latency over the baseline's", lambda ratio: f"{ratio:.3g}"),
        marks,
        about=f"Ratio to the baseline of {label} in each block",
    )
    return [drawn]


def _sample_dots(frame: Frame, result: Result) -> Iterator[Point]:
    """At most so many dots: every one, or every second and so on."""
    stride = max(1, sum(map(len, result.trials)) // _DOTS)
    for number, trial in enumerate(result.trials):
        for index in range(number % stride, len(trial), stride):
            yield frame.at(number + (index + 0.5) / len(trial), trial[index])
