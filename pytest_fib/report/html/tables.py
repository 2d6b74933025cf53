"""The tables of the page: scores, every result, and where and how the run was made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_fib.report.html.budget import fit, note_left_out, size
from pytest_fib.report.html.markup import Child, Markup, joined, tag, text, void
from pytest_fib.report.run import Result, Run, Suite
from pytest_fib.report.standings import Standing, standings
from pytest_fib.report.text import shorten
from pytest_fib.report.units import MISSING, format_interval, format_latency, format_ratio

_NAME_LIMIT = 44
_VALUE_LIMIT = 1000


@dataclass(frozen=True)
class Column:
    """A column of the table of results.

    It is sorted by its text, or if it is ``numeric`` by ``value``, else by the number with which the text begins.
    """

    name: str
    shown: Callable[[Result], str]
    numeric: bool = False
    value: Callable[[Result], float | None] | None = None


def scores(run: Run, limit: int) -> Markup:
    """Return a row for each solution and definition: counts, means, win rate and the gate's verdicts."""
    head = [
        "definition",
        "solution",
        "author",
        "language",
        "passed",
        "geometric mean",
        "arithmetic mean",
        "win rate",
    ]
    kept, left_out = fit((_score(standing, gated=run.gated) for standing in standings(run)), limit)
    heads = [tag("th", name, scope="col") for name in [*head, *(["gate"] if run.gated else [])]]
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *kept))
    return joined([tag("div", table, class_="scroll"), note_left_out(left_out, "row", "the report has all")])


def _score(standing: Standing, *, gated: bool) -> Markup:
    about = standing.about
    cells: list[Child] = [
        tag("td", shorten(standing.definition, 60)),
        tag("td", shorten(standing.solution, 60)),
        tag("td", shorten(about.author, 40) if about else MISSING),
        tag("td", shorten(about.language, 20) if about else MISSING),
        tag(
            "td",
            f"{standing.passed} of {standing.judged}",
            class_="n" if standing.passed == standing.judged else "n bad",
        ),
        tag("td", format_ratio(standing.geometric_mean), class_="n"),
        tag("td", format_ratio(standing.arithmetic_mean), class_="n"),
        tag("td", or_missing(standing.win_rate, ".0%"), class_="n"),
    ]
    if gated:
        cells.append(tag("td", in_words(standing.verdicts)))
    return tag("tr", *cells)


def suites(found: Sequence[Suite], limit: int) -> Markup:
    """Return a row for each solution's verdict over all its workloads, those that failed first."""
    heads = ["definition", "solution", "baseline", "workloads", "ratio over all", "allowed", "verdict"]
    ordered = sorted(found, key=lambda suite: (not suite.fails, -suite.ratio))
    kept, left_out = fit(map(_suite, ordered), limit)
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in heads)))
    table = tag("table", head, tag("tbody", *kept))
    return joined([tag("div", table, class_="scroll"), note_left_out(left_out, "row", "the report has all")])


def _suite(suite: Suite) -> Markup:
    return tag(
        "tr",
        tag("td", shorten(suite.definition, 60)),
        tag("td", shorten(suite.solution, 60)),
        tag("td", shorten(suite.baseline, 60)),
        tag("td", str(suite.workloads), class_="n"),
        tag("td", suite.shown_ratio, class_="n"),
        tag("td", f"{1 + suite.margin:.4g}", class_="n"),
        tag(
            "td",
            ("✗ " if suite.fails else "") + shorten(suite.verdict, 20),
            class_="bad" if suite.fails else None,
        ),
    )


def in_words(verdicts: Mapping[str, int]) -> str:
    """Return how often the gate said what, as in ``2 SLOWER, 5 SAME``."""
    return ", ".join(f"{count} {shorten(name, 40)}" for name, count in list(verdicts.items())[:8]) or MISSING


COLUMNS = (
    Column("definition", lambda r: shorten(r.definition, _NAME_LIMIT)),
    Column("solution", lambda r: shorten(r.solution, _NAME_LIMIT)),
    Column("workload", lambda r: shorten(r.label, _NAME_LIMIT)),
    Column("status", lambda r: ("✓ " if r.green else "✗ ") + r.outcome),
    Column("gate", lambda r: r.verdict or MISSING),
    Column("ratio", lambda r: or_missing(r.ratio, ".3f"), numeric=True),
    Column(
        "latency", lambda r: format_interval(r.latency, r.interval), numeric=True, value=lambda r: r.latency
    ),
    Column("reference", lambda r: format_latency(r.reference), numeric=True, value=lambda r: r.reference),
    Column("speedup", lambda r: format_ratio(r.speedup), numeric=True),
    Column("of floor", lambda r: or_missing(_floor_share(r), ".0%"), numeric=True),
    Column("error ratio", lambda r: or_missing(r.error_ratio, ".3g"), numeric=True),
    Column("verified calls", lambda r: f"{r.verified_calls} of {r.calls}", numeric=True),
    Column("inputs", lambda r: r.inputs or MISSING),
    Column("clock", lambda r: r.clock or MISSING),
    Column("integrity", lambda r: r.integrity or MISSING),
)
_ALWAYS = 4


def results_table(run: Run, limit: int) -> Markup:
    """Return a row for each result in at most ``limit`` bytes; what is the same in all rows is said once above."""
    columns, same = _varying(run.results)
    heads = [
        tag("th", tag("button", column.name), scope="col", class_=None if index < _ALWAYS else "n")
        for index, column in enumerate(columns)
    ]
    head = tag("thead", tag("tr", *heads))
    about = tag("p", f"In all rows that have one: {same}.", class_="note") if same else Markup("")
    room = limit - size(head) - size(about) - 1000
    kept, left_out = fit((_row(columns, result) for result in _ordered(run.results)), room)
    statuses = sorted({result.outcome for result in run.results})[:10]
    options = [
        tag("option", "any status", value=""),
        *(tag("option", shorten(name, 40)) for name in statuses),
    ]
    controls = tag(
        "p",
        void(
            "input",
            id="find",
            type="search",
            placeholder="filter: words, all of which a row has",
            aria_label="filter",
        ),
        tag("select", *options, id="status", aria_label="status"),
        tag("span", f"{len(kept)} rows", id="count", role="status"),
        class_="controls",
    )
    table = tag("table", head, tag("tbody", *kept), id="results")
    note = note_left_out(left_out, "row", "those that passed and come last; the report has all")
    return joined([about, controls, tag("div", table, class_="scroll"), note])


def _ordered(results: Sequence[Result]) -> list[Result]:
    """In the order of the report; where there may be too many for the page, those that did not pass are first."""
    return sorted(results, key=lambda result: result.green) if len(results) > 200 else list(results)


def _varying(results: Sequence[Result]) -> tuple[list[Column], str]:
    """The columns in which rows differ, and in words what the others say wherever they say anything."""
    columns, same = list(COLUMNS[:_ALWAYS]), []
    for column in COLUMNS[_ALWAYS:]:
        values = {column.shown(result) for result in results} - {MISSING}
        if len(values) > 1 or (values and column.value):
            columns.append(column)
        elif values:
            same.append(f"{column.name} {values.pop()}")
    return columns, ", ".join(same)


def _row(columns: Sequence[Column], result: Result) -> Markup:
    """Ends of cells and rows are left out, as HTML allows: there may be a thousand."""
    cells = (_cell(column, result) for column in columns)
    return Markup(f"{void('tr', class_=None if result.green else 'bad')}{joined(cells)}")


def _cell(column: Column, result: Result) -> Markup:
    value = column.value(result) if column.value else None
    start = "<td>" if value is None else f"<td data-v={value:.4g}>"
    return Markup(f"{start}{text(column.shown(result))}")


def _floor_share(result: Result) -> float | None:
    return None if result.floor is None or result.latency is None else result.floor / result.latency


def or_missing(value: float | None, spec: str) -> str:
    """Return a number as ``format`` writes it, or the sign for what is not known."""
    return MISSING if value is None else format(value, spec)


def facts(values: Mapping[str, Any], limit: int) -> Markup:
    """Return a nested mapping as rows of dotted names and values in at most ``limit`` bytes."""
    rows = (
        tag("tr", tag("th", name, scope="row"), tag("td", text(shown, _VALUE_LIMIT)))
        for name, shown in _flat(values)
    )
    kept, left_out = fit(rows, limit)
    table = tag("div", tag("table", tag("tbody", *kept), class_="facts"), class_="scroll")
    return joined([table, note_left_out(left_out, "row", "the report has all")])


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, entry in value.items():
            yield from _flat(entry, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(entry, Mapping | list) for entry in value):
        for index, entry in enumerate(value):
            yield from _flat(entry, f"{name}.{index}")
    elif isinstance(value, list):
        yield name, ", ".join(map(_plain, value)) or MISSING
    else:
        yield name, _plain(value)


def _plain(value: object) -> str:
    if value is None or value == {}:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
