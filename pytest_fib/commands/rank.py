"""``fib rank``: leaderboards from reports."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fib.report.text import plural

if TYPE_CHECKING:
    from pytest_fib.cli import Subparsers
    from pytest_fib.data.results import Conditions, Measured, Report
    from pytest_fib.measure.board import Failures, Key, Standing
    from pytest_fib.measure.estimate import Estimate

HELP = """\
Print a leaderboard for each definition in reports of --fib-report. The score is the mean over all workloads of the
speedup; one that fails a workload scores 0. Solutions whose scores cannot be told apart share ranks. Reports of
different devices, clocks or counts get boards of their own; measurements with predictable inputs do not count.
"""
_HEADER = ["rank", "solution", "author", "arithmetic", "95 %", "geometric", "wins", "passed"]
_TRACK_HEADER = ["rank", "author", "arithmetic", "95 %", "geometric", "wins", "passed"]


@dataclass
class _Contest:
    """What is known of one definition under the same conditions: runs by solution and workload."""

    runs: dict[str, dict[str, list[Measured]]] = field(default_factory=dict)
    references: dict[str, list[float]] = field(default_factory=dict)
    authors: dict[str, str] = field(default_factory=dict)
    refused: int = 0

    def add(self, found: Measured, author: str) -> None:
        """Count a measurement, unless its inputs could be known beforehand."""
        if found.inputs != "secret":
            self.refused += 1
            return
        self.authors.setdefault(found.solution_hash, author)
        self.runs.setdefault(found.solution_hash, {}).setdefault(found.workload, []).append(found)

    def workloads(self) -> list[str]:
        """Return every workload that any solution was judged on."""
        return list(dict.fromkeys(workload for runs in self.runs.values() for workload in runs))


@dataclass(frozen=True)
class _Rules:
    failures: Failures
    key: Key
    baseline: str | None


@dataclass(frozen=True)
class _Board:
    definition: str
    standings: Sequence[Standing]
    authors: Mapping[str, str]
    notes: Sequence[str]


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser."""
    parser = subparsers.add_parser("rank", help="print leaderboards from reports", description=HELP)
    parser.add_argument("reports", metavar="REPORT.json", nargs="+", help="files that --fib-report wrote")
    parser.add_argument(
        "--baseline",
        metavar="SOLUTION",
        help="divide its latency, not the reference's; workloads that it fails do not count",
    )
    parser.add_argument(
        "--by", choices=("arithmetic", "geometric"), default="arithmetic", help="the mean that ranks"
    )
    parser.add_argument(
        "--failures",
        choices=("solution", "workload"),
        default="solution",
        help="whether a failed workload makes the whole score 0, or only its own speedup (default: solution)",
    )
    parser.add_argument(
        "--track",
        metavar="GLOB",
        action="append",
        default=[],
        help="also rank authors by the mean of their best scores over these definitions, 'gdn_*' perhaps; repeatable",
    )


def run(namespace: argparse.Namespace) -> int:
    """Rank; returns 0, or 1 if a file cannot be read or nothing can be ranked."""
    from pytest_fib.commands._output import fail, terminal_width, write
    from pytest_fib.commands._reports import conditions_text
    from pytest_fib.data.results import read_report
    from pytest_fib.errors import DataError

    rules = _Rules(namespace.failures, namespace.by, namespace.baseline)
    try:
        contests = _contests(map(read_report, dict.fromkeys(map(Path, namespace.reports))))
        boards = {
            conditions: [_board(name, contest, rules) for name, contest in by_definition.items()]
            for conditions, by_definition in contests.items()
        }
    except DataError as error:
        fail(str(error))
        return 1
    write(_rule_text(rules))
    for conditions, found in boards.items():
        write(f"\n{conditions_text(conditions)}")
        for line in _pages(found, namespace.track, rules, terminal_width()):
            write(line)
    return 0 if any(board.standings for found in boards.values() for board in found) else 1


def _contests(reports: Iterable[Report]) -> dict[Conditions, dict[str, _Contest]]:
    contests: dict[Conditions, dict[str, _Contest]] = {}
    for report in reports:
        here = contests.setdefault(report.conditions, {})
        for found in report.measurements:
            author = report.authors.get(found.solution_hash, "")
            here.setdefault(found.definition, _Contest()).add(found, author)
        for (definition, workload), latency in report.reference_latencies():
            if definition in here:
                here[definition].references.setdefault(workload, []).append(latency)
    return contests


def _board(definition: str, contest: _Contest, rules: _Rules) -> _Board:
    from pytest_fib.commands._reports import labels
    from pytest_fib.measure.board import ranked, standing

    named = labels(found for runs in contest.runs.values() for each in runs.values() for found in each)
    denominators = _denominators(contest, rules.baseline)
    workloads = contest.workloads()
    solved = {
        workload for runs in contest.runs.values() for workload, found in runs.items() if _latencies(found)
    }
    counted = [
        each for each in workloads if each in denominators or (not rules.baseline and each not in solved)
    ]
    notes = []
    if contest.refused:
        notes.append(f"{plural(contest.refused, 'measurement')} with predictable inputs not counted")
    if len(counted) < len(workloads):
        notes.append(
            f"{plural(len(workloads) - len(counted), 'workload')} without a latency to divide not counted"
        )
    standings, complete, authors = [], [], {}
    for solution, runs in contest.runs.items() if counted else ():
        name = named[definition, solution]
        speedups = {
            workload: _speedup(found, denominators.get(workload))
            for workload, found in runs.items()
            if _latencies(found) or not all(each.passed for each in found)
        }
        standings.append(standing(name, speedups, counted, rules.failures))
        complete.append(speedups.keys() >= set(counted))
        authors[name] = contest.authors[solution]
    return _Board(definition, ranked(standings, complete, rules.key), authors, notes)


def _denominators(contest: _Contest, baseline: str | None) -> dict[str, float]:
    """One latency per workload for all: noise of the reference, run beside each solution, decides no rank."""
    if baseline is None:
        return {workload: statistics.median(times) for workload, times in contest.references.items()}
    times: dict[str, list[float]] = {}
    for runs in contest.runs.values():
        for workload, found in runs.items():
            if found[0].solution == baseline:
                times.setdefault(workload, []).extend(_latencies(found))
    return {workload: statistics.median(values) for workload, values in times.items() if values}


def _latencies(runs: Sequence[Measured]) -> list[float]:
    """Those of all runs that were timed, if all passed."""
    return [each.latency_ms for each in runs if each.latency_ms] if all(each.passed for each in runs) else []


def _speedup(runs: Sequence[Measured], denominator: float | None) -> Estimate | None:
    """None where one of the runs failed, or there is nothing to divide."""
    latencies = _latencies(runs)
    return None if denominator is None or not latencies else _latency(runs, latencies).under(denominator)


def _latency(runs: Sequence[Measured], latencies: Sequence[float]) -> Estimate:
    """Of five runs or more the interval is theirs; of fewer it holds those of all."""
    from pytest_fib.measure.estimate import Estimate
    from pytest_fib.measure.interval import log_t_interval

    interval = log_t_interval(latencies)
    known = [each.latency_ci95_ms for each in runs if each.latency_ci95_ms and each.latency_ms]
    if interval is None and len(known) == len(latencies):
        interval = min(low for low, _ in known), max(high for _, high in known)
    return Estimate(statistics.median(latencies), interval)


def _rule_text(rules: _Rules) -> str:
    from pytest_fib.data.text import escape

    over = (
        f"latency of {rules.baseline}"
        if rules.baseline
        else "latency of the reference (median over the reports)"
    )
    cost = "one failed workload makes it 0" if rules.failures == "solution" else "a failed workload counts 0"
    return escape(
        f"score: {rules.key} mean over all workloads of {over} / latency; {cost}; ranks like 1-2 are ties",
        300,
    )


def _pages(boards: Sequence[_Board], tracks: Sequence[str], rules: _Rules, width: int) -> list[str]:
    from pytest_fib.commands._output import table
    from pytest_fib.data.text import escape

    page: list[str] = []
    for board in boards:
        rows = [
            [rank, escape(each.name), escape(board.authors[each.name]), *cells]
            for each in board.standings
            for rank, *cells in [_cells(each, rules.key)]
        ]
        page += ["", escape(board.definition), *(f"  {note}" for note in board.notes)]
        page += table([_HEADER, *rows], width, right=(3, 4, 5, 6, 7)) if rows else ["  nothing to rank"]
    for track in tracks:
        rows = [
            [rank, escape(each.name), *cells]
            for each in _track_standings(track, boards, rules.key)
            for rank, *cells in [_cells(each, rules.key)]
        ]
        page += ["", f"track {escape(track)}"]
        page += table([_TRACK_HEADER, *rows], width, right=(2, 3, 4, 5, 6)) if rows else ["  nothing to rank"]
    return page


def _track_standings(track: str, boards: Sequence[_Board], key: Key) -> list[Standing]:
    """Authors by the mean of their best scores over the definitions that fit."""
    from pytest_fib.measure.board import ranked, together

    fitting = [board for board in boards if fnmatchcase(board.definition, track)]
    best: list[dict[str, Standing]] = []
    for board in fitting:
        first: dict[str, Standing] = {}
        for each in board.standings:  # the best comes first
            if each.ranks:
                first.setdefault(board.authors[each.name], each)
        best.append(first)
    authors = dict.fromkeys(author for first in best for author in first)
    standings = [together(author, [first.get(author) for first in best]) for author in authors]
    return ranked(standings, [True] * len(standings), key)


def _cells(each: Standing, key: Key) -> list[str]:
    from pytest_fib.report.units import MISSING, format_ratio

    passed = f"{each.passed}/{each.workloads}"
    if each.ranks is None:
        return [*[MISSING] * 5, passed]
    score = each.by(key).interval
    return [
        "-".join(str(rank) for rank in dict.fromkeys(each.ranks)),
        format_ratio(each.arithmetic.value),
        f"{score[0]:.3g} to {score[1]:.3g}" if score else MISSING,
        format_ratio(each.geometric.value),
        f"{each.win_rate:.0%}",
        passed,
    ]
