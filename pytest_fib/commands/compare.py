"""``fib compare``: two reports, workload by workload."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fib.report.text import plural

if TYPE_CHECKING:
    from pytest_fib.cli import Subparsers
    from pytest_fib.data.results import Measured, Report
    from pytest_fib.measure.estimate import Estimate

HELP = """\
Compare the latencies in two reports of --fib-report, workload by workload: second divided by first, so that less
than 1 is faster. The intervals know how trials differed within each run, not how runs differ. The exit status is 1 if
nothing can be compared, or what passed in the first fails in the second.
"""
_HEADER = ["workload", "first", "second", "ratio", "95 %"]


@dataclass(frozen=True)
class Pair:
    """What two reports say about one workload and the solutions that are compared on it."""

    definition: str
    workload: str
    solutions: str
    first: Measured | None
    second: Measured | None

    @property
    def obstacle(self) -> str:
        """Why the latencies cannot be compared; empty if they can."""
        first, second = self.first, self.second
        if first is None or second is None:
            return f"only in the {'second' if first is None else 'first'} report"
        if not first.passed or not second.passed:
            return f"{first.status.value} in the first report, {second.status.value} in the second"
        if first.latency_ms is None or second.latency_ms is None:
            return f"not timed in the {'first' if first.latency_ms is None else 'second'} report"
        for what in ("clock", "inputs"):
            one, other = getattr(first, what), getattr(second, what)
            if one != other:
                return f"{what} '{one}' against '{other}'"
        return ""

    @property
    def is_broken(self) -> bool:
        """Whether it passed in the first report and was judged and failed in the second."""
        return bool(self.first and self.first.passed and self.second and not self.second.passed)


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser."""
    parser = subparsers.add_parser("compare", help="compare two reports", description=HELP)
    parser.add_argument("first", metavar="A.json", help="the older report, or the baseline's")
    parser.add_argument("second", metavar="B.json", help="the newer one")


def run(namespace: argparse.Namespace) -> int:
    """Compare; returns 0, or 1 if nothing is comparable, something broke, or a file cannot be read."""
    from pytest_fib.commands._output import fail, terminal_width, write
    from pytest_fib.data.results import read_report
    from pytest_fib.errors import DataError

    paths = Path(namespace.first), Path(namespace.second)
    try:
        first, second = map(read_report, paths)
    except DataError as error:
        fail(str(error))
        return 1
    differences = first.conditions.differences(second.conditions)
    pairs = paired(first, second)
    for line in _page(paths, (first, second), differences, pairs, terminal_width()):
        write(line)
    comparable = not differences and any(not pair.obstacle for pair in pairs)
    return 1 if any(pair.is_broken for pair in pairs) or not comparable else 0


def paired(first: Report, second: Report) -> list[Pair]:
    """Return what the reports have in common and what only one of them has, by definition and solution.

    Solutions of one name belong together; so do two of different names if each is its report's only one on the
    definition.
    """
    one, other = _by_solution(first), _by_solution(second)
    pairs: list[Pair] = []
    for definition, names in _names([*one, *other]).items():
        mine = [name for name in names if (definition, name) in one]
        others = [name for name in names if (definition, name) in other]
        couples: list[tuple[str | None, str | None]]
        if len(mine) == len(others) == 1:
            couples = [(mine[0], others[0])]
        else:
            couples = [(n if n in mine else None, n if n in others else None) for n in names]
        for left, right in couples:
            pairs += _of_couple(
                definition,
                " against ".join(dict.fromkeys(name for name in (left, right) if name)),
                one.get((definition, left or ""), {}),
                other.get((definition, right or ""), {}),
            )
    return pairs


def _of_couple(
    definition: str, names: str, first: dict[str, Measured], second: dict[str, Measured]
) -> list[Pair]:
    workloads = dict.fromkeys([*first, *second])
    return [Pair(definition, uuid, names, first.get(uuid), second.get(uuid)) for uuid in workloads]


def _by_solution(report: Report) -> dict[tuple[str, str], dict[str, Measured]]:
    """Measurements by definition and name, then by workload; equal names are told apart by their hashes."""
    from pytest_fib.commands._reports import labels

    named = labels(report.measurements)
    table: dict[tuple[str, str], dict[str, Measured]] = {}
    for found in report.measurements:
        key = found.definition, named[found.definition, found.solution_hash]
        table.setdefault(key, {})[found.workload] = found
    return table


def _names(keys: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for definition, name in dict.fromkeys(keys):
        names.setdefault(definition, []).append(name)
    return names


def _page(
    paths: Sequence[Path],
    reports: Sequence[Report],
    differences: Sequence[str],
    pairs: Sequence[Pair],
    width: int,
) -> list[str]:
    from pytest_fib.commands._reports import source_line
    from pytest_fib.data.text import escape

    page = [
        f"{word}: {source_line(path, report)}"
        for word, path, report in zip(("first ", "second"), paths, reports, strict=True)
    ]
    page += [f"note: {note}" for note in _other_libraries(*reports)]
    if differences:
        page += [
            "",
            "not comparable, because the runs differ:",
            *(f"  {escape(each, 300)}" for each in differences),
        ]
    else:
        page += _tables([pair for pair in pairs if not pair.obstacle], width)
    obstacles = [pair for pair in pairs if pair.obstacle]
    if obstacles:
        page += ["", f"not comparable: {plural(len(obstacles), 'workload')}"]
        page += [
            "  "
            + escape(
                f"{pair.definition} {pair.workload[:13]}, {pair.solutions}: {pair.obstacle}",
                max(width - 2, 40),
            )
            for pair in obstacles
        ]
    return page


def _tables(pairs: Sequence[Pair], width: int) -> list[str]:
    from pytest_fib.commands._output import table
    from pytest_fib.data.text import escape
    from pytest_fib.measure.estimate import mean

    page: list[str] = []
    groups: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        groups.setdefault((pair.definition, pair.solutions), []).append(pair)
    every = []
    for (definition, solutions), group in groups.items():
        ratios = [_ratio(pair) for pair in group]
        every += [found.log() for found in ratios]
        rows = [_HEADER, *(_row(pair, found) for pair, found in zip(group, ratios, strict=True))]
        if len(group) > 1:
            rows.append(
                ["geometric mean", "", "", *_ratio_cells(mean([found.log() for found in ratios]).exp())]
            )
        page += ["", f"{escape(definition)}: {escape(solutions)}", *table(rows, width, right=(1, 2, 3, 4))]
    if len(groups) > 1:
        text = "  ".join(_ratio_cells(mean(every).exp()))
        page += ["", f"geometric mean of all {len(every)} ratios: {text}"]
    return page


def _ratio(pair: Pair) -> Estimate:
    from pytest_fib.measure.estimate import Estimate, ratio

    assert pair.first is not None
    assert pair.second is not None
    second, first = (
        Estimate(found.latency_ms or 0.0, found.latency_ci95_ms) for found in (pair.second, pair.first)
    )
    return ratio(second, first)


def _row(pair: Pair, found: Estimate) -> list[str]:
    from pytest_fib.data.text import escape
    from pytest_fib.report.units import format_latency

    latencies = [format_latency(each.latency_ms) for each in (pair.first, pair.second) if each]
    return [escape(pair.workload[:13]), *latencies, *_ratio_cells(found)]


def _ratio_cells(found: Estimate) -> list[str]:
    from pytest_fib.report.units import MISSING

    ends = found.interval
    return [f"{found.value:.3f}", f"{ends[0]:.3f} to {ends[1]:.3f}" if ends else MISSING]


def _other_libraries(first: Report, second: Report) -> list[str]:
    """Versions that differ are not an obstacle: they may be what is to be compared."""
    from pytest_fib.data.text import escape

    mine, others = first.environment.libs, second.environment.libs
    return [
        escape(
            f"{name} {mine.get(name, 'absent')} in the first, {others.get(name, 'absent')} in the second", 200
        )
        for name in sorted({*mine, *others})
        if mine.get(name) != others.get(name)
    ]
