"""Speedups of a run, solution by solution: against the reference, and against a baseline that ran beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypedDict

from pytest_fib.measure.scores import arithmetic_mean, geometric_mean, win_rate
from pytest_fib.report.record import Record, has_passed
from pytest_fib.report.units import format_ratio


class Score(TypedDict):
    """How one solution does on one definition.

    The means are over the workloads that passed and were timed, ``win_rate`` is over all that were judged: read
    them beside ``passed`` and ``workloads``. None where nothing was timed.
    """

    solution: str
    solution_hash: str
    definition: str
    workloads: int
    passed: int
    arithmetic_mean_speedup: float | None
    geometric_mean_speedup: float | None
    win_rate: float | None
    denominator: str


def score_rows(records: Iterable[Record]) -> list[Score]:
    """Return a score per definition and solution, in the order of appearance, then those against baselines."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        measurement = record["measurement"]
        if measurement is not None:
            groups.setdefault((measurement["definition"], measurement["solution_hash"]), []).append(record)
    against_references = [_score(group) for group in groups.values()]
    against_baselines = (_baseline_score(group) for group in groups.values())
    return [*against_references, *(score for score in against_baselines if score is not None)]


def passed_speedups(records: Iterable[Record]) -> list[float]:
    """Return the speedups of the records that passed and were timed."""
    return [
        record["speedup"]
        for record in records
        if record["speedup"] is not None and record["speedup"] > 0 and has_passed(record)
    ]


def means_text(records: Iterable[Record]) -> str:
    """Return both means of the speedups of what passed and was timed; empty where nothing was."""
    speedups = passed_speedups(records)
    if not speedups:
        return ""
    return (
        f"arithmetic mean {format_ratio(arithmetic_mean(speedups))}, "
        f"geometric mean {format_ratio(geometric_mean(speedups))}"
    )


def _score(group: Sequence[Record]) -> Score:
    timed = any(record["speedup"] is not None for record in group)
    return _row(group, passed_speedups(group), "reference", timed=timed)


def _baseline_score(group: Sequence[Record]) -> Score | None:
    """Return the score against the baseline that ran beside the solution; None where there was none."""
    gated = [
        (measurement["ratio"], measurement["gate"]["baseline"])
        for measurement in (record["measurement"] for record in group if has_passed(record))
        if measurement is not None and measurement["gate"] is not None and measurement["ratio"]
    ]
    if not gated:
        return None
    return _row(group, [1 / ratio for ratio, _ in gated], gated[0][1], timed=True)


def _row(group: Sequence[Record], speedups: Sequence[float], denominator: str, *, timed: bool) -> Score:
    """The score of a group, all of one solution on one definition, all measured."""
    measurement = group[0]["measurement"]
    assert measurement is not None
    return Score(
        solution=measurement["solution"],
        solution_hash=measurement["solution_hash"],
        definition=measurement["definition"],
        workloads=len(group),
        passed=sum(map(has_passed, group)),
        arithmetic_mean_speedup=arithmetic_mean(speedups) if speedups else None,
        geometric_mean_speedup=geometric_mean(speedups) if speedups else None,
        win_rate=win_rate(speedups, len(group)) if timed else None,
        denominator=denominator,
    )
