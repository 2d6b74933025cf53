"""The pages of ``fib history show``."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_fib.commands._output import table
from pytest_fib.commands._reports import commit_text, conditions_text
from pytest_fib.commands.history.store import Point, Series
from pytest_fib.data.text import escape
from pytest_fib.measure.steps import Step, find_steps
from pytest_fib.report.units import MISSING, format_latency

_HEADER = ["workload", "solution", "runs", "failed", "last", "course", "steps"]
_COURSE = 20
_BARS = "▁▂▃▄▅▆▇█"


def pages(series: Sequence[Series], false_alarms: float, width: int) -> list[str]:
    """Return a table for each definition under equal conditions, and what the steps mean."""
    page: list[str] = []
    groups: dict[tuple[object, ...], list[Series]] = {}
    for each in series:
        groups.setdefault((each.conditions, each.clock, each.definition), []).append(each)
    for group in groups.values():
        first = group[0]
        clock = f", clock {escape(first.clock)}" if first.clock else ""
        rows = [_HEADER, *(_row(each, false_alarms) for each in group)]
        page += [escape(first.definition), f"  {conditions_text(first.conditions)}{clock}"]
        page += [*table(rows, width, right=(2, 3, 4)), ""]
    if not page:
        return ["nothing is stored that fits"]
    return [*page, f"Of rows in which nothing changed at most {false_alarms:.1%} show a step."]


def course(latencies: Sequence[float], columns: int = _COURSE) -> str:
    """Return the last latencies as a row of bars, from the least to the largest of them."""
    shown = latencies[-columns:]
    low, high = min(shown, default=0.0), max(shown, default=0.0)
    height = (high - low) or 1.0
    return "".join(_BARS[round((value - low) / height * (len(_BARS) - 1))] for value in shown)


def _row(series: Series, false_alarms: float) -> list[str]:
    timed = [(point, point.latency_ms) for point in series.points if point.latency_ms is not None]
    latencies = [latency for _, latency in timed]
    steps = find_steps(latencies, false_alarms)
    last = series.points[-1]
    return [
        escape(series.workload[:13]),
        escape(series.solution),
        str(len(series.points)),
        str(sum(point.status != "PASSED" for point in series.points)),
        format_latency(last.latency_ms),
        course(latencies),
        "; ".join(_step_text(step, timed[step.index][0]) for step in steps) or MISSING,
    ]


def _step_text(step: Step, point: Point) -> str:
    text = f"{step.ratio - 1:+.1%} at {point.finished:%Y-%m-%d %H:%M}"
    return f"{text} {commit_text(point.commit)}".rstrip()
