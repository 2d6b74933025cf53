"""What the commands that read several reports have in common."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pytest_fib.commands._output import place
from pytest_fib.data.results import Conditions, Measured, Report
from pytest_fib.data.text import escape


def labels(measurements: Iterable[Measured]) -> dict[tuple[str, str], str]:
    """Return the name of each solution by (definition, hash); equal names get the hash's beginning as well."""
    names = {(found.definition, found.solution_hash): found.solution for found in measurements}
    uses: dict[tuple[str, str], int] = {}
    for (definition, _), name in names.items():
        uses[definition, name] = uses.get((definition, name), 0) + 1
    return {key: name if uses[key[0], name] == 1 else f"{name} {key[1][:8]}" for key, name in names.items()}


def source_line(path: Path, report: Report) -> str:
    """Return where a report is from: file, time, commit."""
    when = report.finished
    parts = [place(path), when.strftime("%Y-%m-%d %H:%M UTC") if when else "", commit_text(report.commit)]
    return ", ".join(part for part in parts if part)


def commit_text(commit: str) -> str:
    """Return a commit as it is shown, or nothing if there is none."""
    return f"commit {escape(commit[:10])}" if commit else ""


def conditions_text(conditions: Conditions) -> str:
    """Return the conditions on one line: device, clock, counts."""
    counts = "/".join(
        "?" if count is None else str(count)
        for count in (conditions.warmup_runs, conditions.iterations, conditions.trials)
    )
    parts = [
        conditions.hardware,
        f"driver {conditions.driver}" if conditions.driver else "",
        f"{conditions.usable_cores} cores" if conditions.usable_cores is not None else "",
        f"profile {conditions.profile} {counts}",
        f"one candidate per {conditions.isolation}" if conditions.isolation else "",
    ]
    return escape(", ".join(part for part in parts if part), 300)
