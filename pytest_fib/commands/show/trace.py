"""The pages of one trace and of a trace file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pytest_fib.commands._library import Library
from pytest_fib.commands._output import place, table
from pytest_fib.commands.show.definition import code, facts
from pytest_fib.commands.show.workload import axes_text, workload_page
from pytest_fib.data.definition import Definition, VarAxis
from pytest_fib.data.text import escape
from pytest_fib.data.trace import EvaluationStatus, Trace, TraceEvaluation
from pytest_fib.data.workload import WorkloadLine
from pytest_fib.measure.scores import arithmetic_mean, geometric_mean
from pytest_fib.report.text import plural
from pytest_fib.report.units import MISSING, format_error, format_latency, format_ratio

_HEADER = ["workload", "status", "latency", "reference", "speedup", "worst abs/rel"]


def traces_page(
    traces: Sequence[Trace], problems: Iterable[str], library: Library, path: Path, width: int
) -> list[str]:
    """Return a table for each solution on each definition, then what is wrong with lines that cannot be read."""
    page = [f"{plural(len(traces), 'trace')} in {place(path)}"]
    groups: dict[tuple[str, str | None], list[Trace]] = {}
    for trace in traces:
        groups.setdefault((trace.definition, trace.solution), []).append(trace)
    for (name, _), group in groups.items():
        definition = library.definition_or_none(name, path)
        rows = [_HEADER, *([_label(trace, definition), *_cells(trace.evaluation)] for trace in group)]
        page += ["", _heading(group), *table(rows, width, right=(2, 3, 4, 5))]
    return page + [escape(f"problem: {problem}", 500) for problem in problems]


def trace_page(trace: Trace, library: Library, path: Path, width: int) -> list[str]:
    """Return everything that a trace says: outcome, environment, log, and its workload."""
    lines = [f"trace of {escape(trace.solution or 'no solution')}"]
    found = trace.evaluation
    if found is None:
        lines += facts({"status": "not judged"}, width)
    else:
        about = dict(zip(_HEADER[1:], _cells(found), strict=True)) | _environment(found)
        lines += facts({name: text for name, text in about.items() if text != MISSING}, width)
        lines += ["  log:", *code(found.log, width)] if found.log.strip() else []
    line = WorkloadLine(trace.definition, trace.workload, path, 1)
    definition = library.definition_or_none(trace.definition, path)
    return [*lines, "", *workload_page(line, definition, library.traceset_of(path), width)]


def _environment(found: TraceEvaluation) -> dict[str, str]:
    libraries = found.environment.libs.items()
    return {
        "hardware": escape(found.environment.hardware),
        "libraries": ", ".join(f"{escape(name, 40)} {escape(version, 40)}" for name, version in libraries),
        "judged": escape(found.timestamp, 60),
    }


def _heading(group: Sequence[Trace]) -> str:
    judged = [trace.evaluation for trace in group if trace.evaluation]
    passed = [found for found in judged if found.status is EvaluationStatus.PASSED]
    text = f"{escape(group[0].solution or 'no solution')} on {escape(group[0].definition)}"
    text += f": {len(passed)}/{len(judged)} passed" if judged else ""
    speedups = [found.performance.speedup_factor for found in passed if found.performance]
    if speedups and min(speedups) > 0:
        text += (
            f", speedup: arithmetic mean {format_ratio(arithmetic_mean(speedups))}, "
            f"geometric mean {format_ratio(geometric_mean(speedups))}"
        )
    return text


def _label(trace: Trace, definition: Definition | None) -> str:
    """The sizes that vary, and the beginning of the uuid."""
    axes = trace.workload.axes
    varied = (
        {name for name, axis in definition.axes.items() if isinstance(axis, VarAxis)} if definition else axes
    )
    shown_axes = axes_text({name: size for name, size in axes.items() if name in varied})
    return f"{shown_axes} {escape(trace.workload.uuid, 13)}".strip()


def _cells(found: TraceEvaluation | None) -> list[str]:
    if found is None:
        return ["not judged", *[MISSING] * 4]
    speed, errors = found.performance, found.correctness
    return [
        found.status.value,
        format_latency(speed.latency_ms if speed else None),
        format_latency(speed.reference_latency_ms if speed else None),
        format_ratio(speed.speedup_factor if speed else None),
        f"{format_error(errors.max_absolute_error)}/{format_error(errors.max_relative_error)}"
        if errors
        else MISSING,
    ]
