"""Why an item failed, in the order that docs/solutions.md shows: status, output, elements, log, command."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fib.data.text import escape
from pytest_fib.report.units import format_error, format_latency

if TYPE_CHECKING:
    from pytest_fib.data.evaluation import Build, Evaluation, Gating, Mismatch
    from pytest_fib.data.fuzzing import Failing, Search

LINE_LIMIT = 400
"""Characters of one line of a log that are shown."""

HEAD_LINES = 120
TAIL_LINES = 80
"""A log of more lines loses its middle: a compiler's first error and a traceback's last line both matter."""

_LABEL = 60


def failure_text(evaluation: Evaluation, *, command: str, shown_before: bool = False) -> str:
    """Return the failure message of an evaluation that did not pass.

    ``command`` reproduces the one item. With ``shown_before`` a compile error takes one line, because another item
    of the same solution has shown the compiler's output.
    """
    if shown_before and evaluation.status.value == "COMPILE_ERROR":
        return _compile_error_in_one_line(evaluation)
    parts = [_headline(evaluation)]
    if evaluation.mismatch is not None:
        parts.append(_mismatch_text(evaluation.mismatch, evaluation))
    parts += [
        log_text(evaluation.log),
        f"to reproduce{_about_inputs(evaluation)}:\n  {escape(command, 4000)}",
    ]
    return "\n".join(part for part in parts if part)


def build_text(built: Build, *, command: str) -> str:
    """Return the failure message of a solution that was only to be built, and could not be."""
    return f"COMPILE_ERROR\n{log_text(built.log)}\nto reproduce:\n  {escape(command, 4000)}"


def gate_text(evaluation: Evaluation, gating: Gating, *, command: str) -> str:
    """Return the failure message of an evaluation that passed and that the gate does not let pass."""
    parts = [
        _headline(evaluation, "UNSTEADY" if gating.unsteady else gating.verdict or "NOT GATED"),
        _gate_reason(gating),
        f"to reproduce (inputs are drawn anew):\n  {escape(command, 4000)}",
    ]
    return "\n".join(parts)


def _gate_reason(gating: Gating) -> str:
    if gating.verdict is None or gating.ratio is None or gating.ratio_ci is None:
        baseline = escape(gating.baseline, _LABEL)
        return f"  no comparison with the baseline {baseline}: {escape(gating.reason, LINE_LIMIT)}"
    low, high = gating.ratio_ci
    lines = [
        f"  {format_latency(gating.latency_ms)} against {format_latency(gating.baseline_latency_ms)} of the baseline "
        f"{escape(gating.baseline, _LABEL)}: {gating.ratio:.3f} times as long (interval {low:.3f} to {high:.3f}), "
        f"{1 + gating.margin:.4g} times is allowed",
        f"  {_about_blocks(gating)}",
    ]
    if gating.unsteady:
        lines.append(
            "  its blocks scatter several times as much as those of the baseline, which hides how slow it is"
        )
    return "\n".join(lines)


def _about_blocks(gating: Gating) -> str:
    counts = [len(stage.baseline_ms) for stage in gating.stages]
    if gating.scatter is None:
        return f"by the numbers of {counts[0]} earlier runs"
    confirmed = f", and again in {counts[1]} others" if len(counts) > 1 else ""
    return f"seen in {counts[0]} pairs of fresh processes{confirmed}; their ratios scatter by {gating.scatter:.1%}"


def fuzz_text(found: Search, *, command: str, path: str) -> str:
    """Return the failure message of a search that found shapes that fail.

    ``command`` repeats the search, and ``path`` is the workload file.
    """
    parts = [_shape_text(failing, path) for failing in found.failing]
    effort = f"{found.judged} shapes were judged in {found.seconds:.1f} s"
    if found.out_of_time:
        effort += ", which was all the time there was: these may not be the smallest"
    kept = any(failing.after is None and not failing.shape.empty for failing in found.failing)
    order = " (what failed comes first)" if kept else ""
    parts.append(f"{effort}\nto search again{order}:\n  {escape(command, 4000)}")
    return "\n\n".join(parts)


def _shape_text(failing: Failing, path: str) -> str:
    evaluation = failing.evaluation
    where = f"shrunk to {escape(failing.shape.text, 1000)}"
    if failing.after is not None:
        where = (
            f"at {escape(failing.shape.text, 1000)}, but only in a process that has judged other shapes, the last "
            f"one {escape(failing.after.text, 1000)}: what it keeps between calls is wrong there (not shrunk)"
        )
    lines = [
        f"{evaluation.status.value}: {escape(evaluation.solution, _LABEL)} "
        f"on {escape(evaluation.definition, 120)}, {where}",
        "" if evaluation.mismatch is None else _mismatch_text(evaluation.mismatch, evaluation),
        log_text(evaluation.log),
        f"as a line for {escape(path)}:\n  {escape(failing.line, 20_000)}",
    ]
    return "\n".join(line for line in lines if line)


def first_time(session_dir: Path, key: str) -> bool:
    """Return whether nobody in this run, in any process, has asked for ``key`` before.

    ``session_dir`` is the private folder that all processes of the run share.
    """
    marker = session_dir / f"first-{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True


def log_text(log: str) -> str:
    """Return a log made safe for a terminal: escaped line by line, indented, its middle left out when long."""
    lines = [line.rstrip("\r") for line in log.expandtabs(4).strip("\n").split("\n")] if log.strip() else []
    if len(lines) > HEAD_LINES + TAIL_LINES + 1:
        left_out = len(lines) - HEAD_LINES - TAIL_LINES
        lines = [*lines[:HEAD_LINES], f"[{left_out} lines left out]", *lines[-TAIL_LINES:]]
    return "\n".join(f"  {escape(line, LINE_LIMIT)}".rstrip() for line in lines)


def _headline(evaluation: Evaluation, word: str = "") -> str:
    axes = ", ".join(f"{escape(name, _LABEL)}={size}" for name, size in evaluation.axes.items())
    where = f"workload {escape(evaluation.workload, _LABEL)}" + (f" ({escape(axes)})" if axes else "")
    return (
        f"{word or evaluation.status.value}: {escape(evaluation.solution, _LABEL)} "
        f"on {escape(evaluation.definition, 120)}, {where}"
    )


def _about_inputs(evaluation: Evaluation) -> str:
    """What a build says does not hang on inputs; with a seed they are the same again."""
    if evaluation.predictable_inputs or evaluation.status.value == "COMPILE_ERROR":
        return ""
    return " (inputs are drawn anew; --fib-seed=N fixes them)"


def _compile_error_in_one_line(evaluation: Evaluation) -> str:
    lines = [line.strip() for line in evaluation.log.splitlines() if line.strip()]
    telling = next((line for line in lines if "error" in line.lower()), lines[0] if lines else "no output")
    return (
        f"{evaluation.status.value}: {escape(evaluation.solution, _LABEL)} does not build "
        f"(the full output is shown at its first item): {escape(telling)}"
    )


def _mismatch_text(mismatch: Mismatch, evaluation: Evaluation) -> str:
    if mismatch.sentence:
        about = f"output '{escape(mismatch.output, _LABEL)}'"
        return f"{about}: {escape(mismatch.problem)}\n  {escape(mismatch.sentence, LINE_LIMIT)}"
    lines = [
        f"output '{escape(mismatch.output, _LABEL)}', call {mismatch.call}: {escape(mismatch.problem)}",
        f"  {mismatch.failed} of {mismatch.total} elements are out: {_percent(mismatch.matched_ratio)} match, "
        f"{_percent(mismatch.required_matched_ratio)} must (an element is out if {escape(mismatch.rule)})",
    ]
    worst = _worst_element(mismatch)
    if worst:
        lines.append(f"  worst element: {worst}")
    absolute, relative = evaluation.max_absolute_error, evaluation.max_relative_error
    if absolute is not None and relative is not None:
        count = evaluation.verified_calls
        lines.append(
            f"  largest over {f'all {count} verified calls' if count > 1 else 'the verified call'}: "
            f"absolute error {format_error(absolute)}, relative error {format_error(relative)} "
            "(finite elements; table: worst abs/rel)"
        )
    lines.append(f"  tolerances: atol {mismatch.atol:g}, rtol {mismatch.rtol:g}")
    return "\n".join(lines)


def _worst_element(mismatch: Mismatch) -> str:
    pieces = []
    if mismatch.index is not None:
        pieces.append(f"[{', '.join(map(str, mismatch.index))}]")
    for name, value in (
        ("expected", mismatch.expected),
        ("got", mismatch.got),
        ("its absolute error", mismatch.absolute_error),
        ("its relative error", mismatch.relative_error),
    ):
        if value is not None:
            pieces.append(f"{name} {value:.7g}")
    return ", ".join(pieces)


def _percent(ratio: float) -> str:
    """Never rounds up to 100 %: one wrong element of a million must not read as a full match."""
    text = f"{100 * ratio:.4g}"
    return f"below {text} %" if text == "100" and ratio < 1 else f"{text} %"
