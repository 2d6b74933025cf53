"""What GitHub Actions shows of a run: annotations on the solutions, and a summary of the step in Markdown.

The runner takes every line of a step's output that begins with ``::`` for a command, whoever wrote it. What a
candidate printed is in pytest's summary, so no line of that is taken for one.
"""

from __future__ import annotations

import os
import re
import secrets
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from pytest_fib.data.text import escape
from pytest_fib.report.run import Result, Run, Suite
from pytest_fib.report.standings import Standing, standings, verdicts
from pytest_fib.report.text import for_encoding, plural
from pytest_fib.report.units import MISSING, format_interval, format_ratio

ANNOTATION_LIMIT = 10
"""Errors of one step that GitHub shows."""

_ROW_LIMIT = 100
_FAILURE_LIMIT = 20
_LINES = 12
_PUNCTUATION = re.compile(r"([!-,./:-@\[-`{-~])")  # ASCII punctuation but the hyphen


class GithubSurface:
    """Hooks of a run under GitHub Actions; ``run`` says what has been found so far."""

    def __init__(self, run: Callable[[], Run], environ: Mapping[str, str]) -> None:
        self._run = run
        self._environ = environ

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> Generator[None, object, object]:
        """Take no line of pytest's summary for a command: https://docs.pytest.org/en/stable/reference/reference.html#std-hook-pytest_terminal_summary"""
        run = self._run()
        if not run.results and not run.unjudged and not run.searches:
            return (yield)
        problem = self._add_summary(run)
        if self._environ.get("GITHUB_ACTIONS") != "true":
            return (yield)
        token = secrets.token_hex(16)
        terminalreporter.write_line(f"::stop-commands::{token}")
        try:
            return (yield)
        finally:
            terminalreporter.write_line(f"::{token}::")
            for line in [*problem, *error_commands(run, self._environ.get("GITHUB_WORKSPACE", ""))]:
                terminalreporter.write_line(for_encoding(line, "utf-8"))

    def _add_summary(self, run: Run) -> list[str]:
        """Append the summary; returns a warning where it cannot be, because a kernel is not to blame for it."""
        path = self._environ.get("GITHUB_STEP_SUMMARY")
        if not path:
            return []
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.write(summary(run))
        except OSError as error:
            return [f"::warning::{_message(f'the step summary could not be written: {error.strerror}')}"]
        return []


def error_commands(run: Run, workspace: str) -> list[str]:
    """Return the commands that put what failed beside each solution's file, one for all workloads that failed alike.

    Files outside ``workspace``, the repository's folder, are not named.
    """
    groups: defaultdict[tuple[str, str, str], list[Result]] = defaultdict(list)
    for result in run.results:
        if not result.green:
            groups[result.solution_hash, result.definition, result.outcome].append(result)
    files = {solution.solution_hash: _inside(workspace, solution.path) for solution in run.solutions}
    lines = [_annotation(results, files.get(key[0])) for key, results in groups.items()]
    lines += [_suite_annotation(suite) for suite in run.suites if suite.fails]
    if len(lines) > ANNOTATION_LIMIT:
        rest = f"{len(lines) - ANNOTATION_LIMIT + 1} more kinds of failures are in the log"
        lines = [*lines[: ANNOTATION_LIMIT - 1], f"::error::{_message(rest)}"]
    return lines


def summary(run: Run) -> str:
    """Return a run in GitHub's Markdown: counts, a table of scores, and what failed."""
    passed = sum(result.green for result in run.results)
    counts = f"{passed} of {plural(len(run.results), 'workload')} passed"
    if run.unjudged:
        counts += f", {len(run.unjudged)} not judged"
    broken = sum(search.status != "PASSED" for search in run.searches)
    if run.searches:
        counts += f"; {broken} of {plural(len(run.searches), 'solution')} failed on further shapes"
    lines = [f"### pytest-fib: {counts}", ""]
    if run.gated:
        found = ", ".join(f"{count} {cell(name)}" for name, count in verdicts(run.results).items())
        lines += [f"Against the baseline: {found or MISSING}.", ""]
    lines += [line for suite in run.suites for line in (_suite(suite), "")]
    rows = [_row(standing, gated=run.gated) for standing in standings(run)]
    if rows:
        lines += [*_head(gated=run.gated), *rows[:_ROW_LIMIT], ""]
    if len(rows) > _ROW_LIMIT:
        lines += [f"… {len(rows) - _ROW_LIMIT} more rows", ""]
    return "\n".join([*lines, *_failed(run)]) + "\n"


def cell(text: str, limit: int = 100) -> str:
    """Return text as Markdown that shows just that, also in a table: no markup, no HTML, no links, no mentions."""
    return _PUNCTUATION.sub(r"\\\1", escape(text, limit))


def _suite(suite: Suite) -> str:
    about = (
        f"{cell(suite.solution)} on {cell(suite.definition)}, mean over {plural(suite.workloads, 'workload')}"
    )
    said = f"{suite.shown_ratio} times the baseline {cell(suite.baseline)}, allowed is {1 + suite.margin:.4g}"
    return f"Over all: **{cell(suite.verdict)}**: {about}: {said}."


def _head(*, gated: bool) -> list[str]:
    names = ["definition", "solution", "passed", "geometric mean", "arithmetic mean", "win rate"]
    names += ["gate"] if gated else []
    return [f"| {' | '.join(names)} |", f"| --- | --- |{' ---: |' * (len(names) - 2)}"]


def _row(standing: Standing, *, gated: bool) -> str:
    cells = [
        cell(standing.definition),
        cell(standing.solution),
        f"{standing.passed} of {standing.judged}",
        format_ratio(standing.geometric_mean),
        format_ratio(standing.arithmetic_mean),
        MISSING if standing.win_rate is None else f"{standing.win_rate:.0%}",
    ]
    if gated:
        found = (f"{count} {cell(name)}" for name, count in standing.verdicts.items())
        cells.append(", ".join(found) or MISSING)
    return f"| {' | '.join(cells)} |"


def _failed(run: Run) -> Iterator[str]:
    failed = [result for result in run.results if not result.green]
    for result in failed[:_FAILURE_LIMIT]:
        about = f"{cell(result.solution)} on {cell(result.definition)}"
        yield f"- **{cell(result.outcome)}**: {about}, {_details(result)}"
    if len(failed) > _FAILURE_LIMIT:
        yield f"- … {len(failed) - _FAILURE_LIMIT} more"


def _details(result: Result) -> str:
    shown = cell(result.label)
    if result.passed and result.ratio is not None:
        shown += (
            f": {format_interval(result.latency, result.interval)}, {result.ratio:.3f} times the baseline"
        )
    return shown


def _annotation(results: Sequence[Result], file: str | None) -> str:
    first = results[0]
    title = f"{first.outcome}: {first.solution} on {first.definition}"
    labels = ", ".join(escape(result.label, 80) for result in results[:5])
    labels += f" and {len(results) - 5} more" if len(results) > 5 else ""
    text = "\n".join(escape(line, 300) for line in first.failure.splitlines()[:_LINES])
    properties = {"file": file, "title": escape(title)}
    shown = ",".join(f"{name}={_property(value)}" for name, value in properties.items() if value)
    about = f"{plural(len(results), 'workload')}: {labels}\n{text}"
    return f"::error {shown}::{_message(about)}"


def _suite_annotation(suite: Suite) -> str:
    title = escape(f"SLOWER over all: {suite.solution} on {suite.definition}")
    about = (
        f"mean over {plural(suite.workloads, 'workload')}: {suite.shown_ratio} times the baseline "
        f"{escape(suite.baseline, 80)}, allowed is {1 + suite.margin:.4g}"
    )
    return f"::error title={_property(title)}::{_message(about)}"


def _inside(workspace: str, path: str) -> str | None:
    """The path from the repository's folder, as GitHub names files."""
    if not workspace or not path:
        return None
    folder, file = os.path.realpath(workspace), os.path.realpath(path)
    return Path(file).relative_to(folder).as_posix() if Path(file).is_relative_to(folder) else None


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
