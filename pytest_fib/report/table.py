"""The table on the terminal: a block per definition and solution, a row per judged workload."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_fib.data.text import escape
from pytest_fib.report import gate
from pytest_fib.report.record import Measurement, Record, has_passed, stopped_by_gate
from pytest_fib.report.scores import means_text
from pytest_fib.report.text import Line, shorten
from pytest_fib.report.units import MISSING, format_error, format_interval, format_latency, format_ratio

COLUMNS = ("workload", "status", "latency", "reference", "speedup", "SOL", "vs baseline", "worst abs/rel")


SPEED_OF_LIGHT = "SOL"
"""The share of the speed of light, where the least time of the work is known."""


BASELINE = "vs baseline"
"""The column that is there only where a baseline was named."""


ROW_LIMIT = 200
"""Rows that are shown without ``-v``."""


_TIMED = ("latency", "reference", "speedup")


_DROPPED_FIRST = ("worst abs/rel", SPEED_OF_LIGHT, "reference", "speedup")


_LEAST_LABEL = 14


_LEAST_SIZES = 30
"""Columns that the sizes of a label's axes are given at most before other columns are left out."""


_AXIS = re.compile(r"([A-Za-z_.][A-Za-z0-9_.]*?)(\d+)")


_GAP = "  "


_LONGEST_NAME = 12
"""Letters of an axis' name from which labels that are too long are shortened."""


_LONGEST_STATUS = len("INCORRECT_NUMERICAL")


def table_lines(records: Sequence[Record], *, width: int, row_limit: int | None = ROW_LIMIT) -> list[Line]:
    """Return the table of all judged records, at most ``width`` columns wide; empty when nothing was judged."""
    groups = _grouped(records)
    count = sum(len(group.rows) for group in groups)
    if not count:
        return []
    left = count if row_limit is None else min(count, row_limit)
    hidden = count - left
    layout = _Layout.fit([row for group in groups for row in group.rows][:left], width)
    lines = [Line(layout.header(), {"bold": True})]
    for group in groups:
        if left <= 0:
            break
        lines.append(Line(_heading(group, width), {"bold": True}))
        lines += [
            Line(
                layout.line(row), {} if has_passed(record) and not stopped_by_gate(record) else {"red": True}
            )
            for row, record in zip(layout.labelled(group.rows)[:left], group.records, strict=False)
        ]
        left -= len(group.rows)
    if hidden:
        lines.append(Line(shorten(f"… {hidden} more rows (-v shows all)", width)))
    return lines


@dataclass(frozen=True)
class _Layout:
    """Which columns are shown, and how wide each is."""

    columns: tuple[str, ...]
    widths: tuple[int, ...]

    @classmethod
    def fit(cls, rows: Sequence[Mapping[str, str]], width: int) -> _Layout:
        """Leave out what nothing was timed or gated for; shorten the label, then drop columns, until it fits."""
        columns = tuple(
            column
            for column in COLUMNS
            if column not in (*_TIMED, SPEED_OF_LIGHT, BASELINE)
            or any(row[column] != MISSING for row in rows)
        )
        shortest = max((len(_abbreviated(row, 1)) for row in rows), default=0)
        least = min(max(shortest, _LEAST_LABEL), _LEAST_SIZES)
        for dropped in ("", *_DROPPED_FIRST):
            columns = tuple(column for column in columns if column != dropped)
            natural = [_natural_width(column, rows, columns) for column in columns]
            excess = sum(natural) + len(_GAP) * len(columns) - width
            if natural[0] - excess >= min(natural[0], least):
                break
        label = max(natural[0] - max(excess, 0), 1)
        return cls(columns, (label, *natural[1:]))

    def header(self) -> str:
        """The names of the columns."""
        names = {column: column for column in self.columns}
        return self.line({**names, "workload": shorten("workload", self.widths[0])})

    def labelled(self, rows: Sequence[Mapping[str, str]]) -> Sequence[Mapping[str, str]]:
        """The rows of a group with labels that fit: names of axes are cut before sizes are.

        If two would look the same, all end in their uuids.
        """
        width = self.widths[0]
        labels = [row["workload"] for row in rows]
        for letters in range(_LONGEST_NAME, 0, -1):
            if all(len(label) <= width for label in labels):
                break
            labels = [_abbreviated(row, letters) for row in rows]
        labels = [shorten(label, width) for label in labels]
        if len(set(labels)) < len({row["workload"] for row in rows}):
            labels = [_label_by_uuid(row, width) for row in rows]
        return [{**row, "workload": label} for row, label in zip(rows, labels, strict=True)]

    def line(self, cells: Mapping[str, str]) -> str:
        """One row, indented; text to the left, numbers to the right. Without a latency the status takes its room."""
        label, status, *numbers = zip(self.columns, self.widths, strict=True)
        parts = [cells[label[0]].ljust(label[1])]
        room = status[1]
        if numbers and numbers[0][0] == "latency" and cells["latency"] == MISSING:
            room += len(_GAP) + numbers.pop(0)[1]
        parts.append(cells[status[0]].ljust(room))
        parts += [cells[column].rjust(width) for column, width in numbers]
        return _GAP + _GAP.join(parts).rstrip()


def _abbreviated(row: Mapping[str, str], letters: int) -> str:
    """The label with so many letters of each axis' name."""
    parts = row["workload"].split("-")
    axes = [None if part == row["uuid"] else _AXIS.fullmatch(part) for part in parts]
    return "-".join(
        _cut(axis[1], letters) + axis[2] if axis else part for part, axis in zip(parts, axes, strict=True)
    )


def _cut(name: str, letters: int) -> str:
    return name[:letters].rstrip("_") or name[:1]


def _label_by_uuid(row: Mapping[str, str], width: int) -> str:
    """As much of the axes as ``width`` columns hold beside the beginning of the uuid."""
    uuid = shorten(row["uuid"], width)
    head = row["workload"][: max(width - len(uuid) - 1, 0)]
    return f"{head}…{uuid}" if head else uuid


def _natural_width(column: str, rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> int:
    """The width that shows every cell; a status without a latency needs no more than both columns have."""
    if column == "status" and "latency" in columns:
        rows = [row for row in rows if row["latency"] != MISSING]
    width = max([len(column), *(len(row[column]) for row in rows)])
    return max(width, _LONGEST_STATUS - len("PASSED") - len(_GAP)) if column == "latency" else width


@dataclass(frozen=True)
class _Group:
    """The judged records of one definition and solution, and their cells by column."""

    definition: str
    solution: str
    records: Sequence[Record]
    rows: Sequence[Mapping[str, str]]

    @classmethod
    def of(cls, judged: Sequence[tuple[Record, Measurement]]) -> _Group:
        """The group of records that share definition and solution; at least one."""
        first = judged[0][1]
        labels = workload_labels([measurement for _, measurement in judged])
        rows = [_cells(label, *entry) for label, entry in zip(labels, judged, strict=True)]
        return cls(first["definition"], first["solution"], [record for record, _ in judged], rows)


def _grouped(records: Iterable[Record]) -> list[_Group]:
    groups: dict[tuple[str, str], list[tuple[Record, Measurement]]] = {}
    for record in records:
        measurement = record["measurement"]
        if measurement is not None:
            key = (measurement["definition"], measurement["solution_hash"])
            groups.setdefault(key, []).append((record, measurement))
    found = [_Group.of(judged) for judged in groups.values()]
    names = Counter((group.definition, group.solution) for group in found)
    return [
        replace(group, solution=f"{group.solution}-{digest[:8]}")
        if names[group.definition, group.solution] > 1
        else group
        for group, (_, digest) in zip(found, groups, strict=True)
    ]


def _cells(label: str, record: Record, measurement: Measurement) -> dict[str, str]:
    interval = measurement["latency_ci95_ms"]
    cells = (
        escape(label),
        escape(measurement["status"], 40),
        format_interval(measurement["latency_ms"], None if interval is None else (interval[0], interval[1])),
        format_latency(record["reference_latency_ms"]),
        format_ratio(record["speedup"]),
        _share(measurement["sol_fraction"]),
        gate.cell(measurement),
        _worst_error(record),
    )
    return {**dict(zip(COLUMNS, cells, strict=True)), "uuid": escape(measurement["workload"][:8])}


def workload_labels(measurements: Sequence[Measurement]) -> list[str]:
    """Return how each workload is called in its item's id; by its axes alone where those tell them all apart."""
    labels = [measurement["nodeid"].rpartition("::")[2] for measurement in measurements]
    short = [
        label.removesuffix(f"-{measurement['workload'][:8]}")
        for label, measurement in zip(labels, measurements, strict=True)
    ]
    return short if len(set(short)) == len(short) else labels


def _share(fraction: float | None) -> str:
    return MISSING if fraction is None else f"{100 * fraction:.1g}%" if fraction < 0.01 else f"{fraction:.0%}"


def _worst_error(record: Record) -> str:
    if record["absolute_error"] is None and record["relative_error"] is None:
        return MISSING
    return f"{format_error(record['absolute_error'])}/{format_error(record['relative_error'])}"


def _heading(group: _Group, width: int) -> str:
    means = means_text(group.records)
    names = f"{escape(group.definition)} · {escape(group.solution)}"
    count = f": {sum(map(has_passed, group.records))}/{len(group.records)} passed"
    stopped = sum(map(stopped_by_gate, group.records))
    count += f", {stopped} not through the gate" if stopped else ""
    whole = names + count + (f", speedup {means}" if means else "")
    if len(whole) <= width:
        return whole
    return shorten(shorten(names, max(1, width - len(count))) + count, width)
