"""fast_p: which share of the workloads a solution passes and runs more than p times as fast as the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_fib.report.html.markup import Markup, tag
from pytest_fib.report.html.plot import Axis, Frame, colour, figure, label, legend, path, steps
from pytest_fib.report.html.scale import Scale, logarithmic
from pytest_fib.report.run import Result
from pytest_fib.report.standings import by_solution
from pytest_fib.report.units import format_ratio

Curve = list[tuple[float, float]]


def fast_p(speedups: Sequence[float], judged: int) -> Curve:
    """Return the steps of the share of ``judged`` workloads whose speedup is above p, by p.

    A pair has a p and the share from there to the next pair's p; the first has p = 0. ``speedups`` has one value for
    each workload that passed and was timed.
    """
    ordered = sorted(speedups)
    left = len(ordered)
    return [(0.0, left / judged)] + [(p, (left - index) / judged) for index, p in enumerate(ordered, 1)]


def figures(groups: Mapping[str, Sequence[Result]]) -> list[Markup]:
    """Return a figure for each definition on which something passed and was timed."""
    timed = {
        definition: results
        for definition, results in groups.items()
        if any(result.speedup is not None for result in results)
    }
    return [_panel(definition, results) for definition, results in timed.items()]


def _panel(definition: str, results: Sequence[Result]) -> Markup:
    solutions = by_solution(results)
    speedups = {
        name: [result.speedup for result in found if result.speedup is not None]
        for name, found in solutions.items()
    }
    x = logarithmic([1.0, *(speedup for values in speedups.values() for speedup in values)])
    frame = Frame(x, Scale(0.0, 1.0), height=200)
    top, bottom = frame.at(1.0, 1.0), frame.at(1.0, 0.0)
    left_of_it = x.share(1.0) > 0.5
    words = label(
        top[0] + (-3 if left_of_it else 3), top[1] + 10, "reference", anchor="end" if left_of_it else "start"
    )
    marks = [path([top, bottom], "one"), words]
    for index, (name, values) in enumerate(speedups.items()):
        curve = fast_p(values, len(solutions[name]))
        points = [frame.at(p, share) for p, share in curve]
        marks.append(steps(points, colour(index), name))
    entries = [(name, index, colour(index)) for index, name in enumerate(solutions)]
    drawn = figure(
        frame,
        Axis("p: speedup over the reference", format_ratio),
        Axis("share of workloads", lambda share: f"{share:.0%}"),
        marks,
        about=f"Share of the workloads of {definition} passed with a speedup above p, by p",
    )
    return tag("figure", tag("figcaption", definition), drawn, legend(entries))
