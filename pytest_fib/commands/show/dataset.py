"""The page of a dataset."""

from __future__ import annotations

from pathlib import Path

from pytest_fib.commands._output import place, table
from pytest_fib.data.definition import Definition
from pytest_fib.data.readers import read_definition, read_workloads
from pytest_fib.data.text import escape
from pytest_fib.data.traceset import Traceset
from pytest_fib.data.workload import WorkloadLine
from pytest_fib.errors import DataError
from pytest_fib.report.text import plural


def dataset_page(traceset: Traceset, width: int) -> list[str]:
    """Return a row for each definition, with the number of its workloads."""
    rows = [["op type", "definition", "workloads"]]
    rows += sorted(_row(traceset, path) for path in traceset.definition_files())
    lines = [f"{plural(len(rows) - 1, 'definition')} in {place(traceset.root)}"]
    return [*lines, *table(rows, width, right=(2,))]


def _row(traceset: Traceset, path: Path) -> list[str]:
    definition = _read(path)
    if definition is None:
        return ["", escape(path.stem), "cannot be read"]
    return [escape(definition.op_type, 60), escape(definition.name), _count(traceset, definition.name)]


def _read(path: Path) -> Definition | None:
    try:
        return read_definition(path)
    except DataError:
        return None


def _count(traceset: Traceset, name: str) -> str:
    try:
        path = traceset.workload_file(name)
        return (
            "0" if path is None else str(sum(isinstance(line, WorkloadLine) for line in read_workloads(path)))
        )
    except DataError:
        return "?"
