"""From the words on the command line to pages."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from pytest_fib.commands._library import Kind, Library, kind_of
from pytest_fib.commands.show.dataset import dataset_page
from pytest_fib.commands.show.definition import definition_page
from pytest_fib.commands.show.solution import solution_page
from pytest_fib.commands.show.trace import trace_page, traces_page
from pytest_fib.commands.show.workload import workload_page, workloads_page
from pytest_fib.data.files import read_bytes, shown
from pytest_fib.data.readers import (
    numbered_lines,
    read_definition,
    read_solution,
    read_traces,
    read_workloads,
)
from pytest_fib.data.solution import LoadedSolution
from pytest_fib.data.starterkit import CONFIG_FILE
from pytest_fib.data.text import escape
from pytest_fib.data.trace import Trace
from pytest_fib.data.traceset import Traceset
from pytest_fib.data.workload import WorkloadLine
from pytest_fib.errors import DataError, FibError
from pytest_fib.named import knows_definition

_LINE = re.compile(r"(.+):([1-9][0-9]{0,8})", re.DOTALL)
_SHORTEST_UUID = 4
_SOLUTIONS = "solutions"  # where a project keeps them, beside its datasets

Page = list[str]


class NotFound(FibError):
    """Nothing is there by that path or name."""


def pages(target: str, library: Library, width: int) -> Iterator[Page]:
    """Yield what a word on the command line names, one page for each thing of that name.

    Raises
    ------
    NotFound
        There is no such thing.
    DataError
        It is there and cannot be read.
    """
    path, line = Path(target), _LINE.fullmatch(target)
    if os.path.lexists(path):
        yield from _of_file(path, library, width)
    elif line is not None and os.path.isfile(line[1]):
        yield _of_line(Path(line[1]), int(line[2]), library, width)
    else:
        found = False
        for page in _of_name(target, library, width):
            found = True
            yield page
        if not found:
            searched = ", ".join(shown(traceset.root) for traceset in library.tracesets)
            raise NotFound(
                f"there is no file, definition, solution or workload '{escape(target, 120)}' in {searched}; "
                "correct the name or name its dataset with --fib-traceset=DIR"
            )


def _of_file(path: Path, library: Library, width: int) -> Iterator[Page]:
    kind = kind_of(path)
    if kind is Kind.DATASET:
        yield dataset_page(Traceset(path), width)
    elif kind is Kind.FOLDER:
        raise DataError("is neither a dataset nor a starter kit; name a file in it", where=shown(path))
    elif kind is Kind.DEFINITION:
        yield definition_page(read_definition(path), path, width)
    elif kind is Kind.SOLUTION:
        loaded = read_solution(path.parent if path.name == CONFIG_FILE else path)
        yield solution_page(loaded, library, width)
    elif kind is Kind.TRACES:
        traces = list(read_traces(path))
        good = [trace for trace in traces if isinstance(trace, Trace)]
        if len(traces) == 1 and good:
            yield trace_page(good[0], library, path, width)
        else:
            bad = [str(error) for error in traces if isinstance(error, DataError)]
            yield traces_page(good, bad, library, path, width)
    else:
        lines = list(read_workloads(path))
        workloads = [line for line in lines if isinstance(line, WorkloadLine)]
        if len(lines) == 1 and workloads:
            yield _workload(workloads[0], library, width)
        else:
            bad = [str(error) for error in lines if isinstance(error, DataError)]
            yield workloads_page(workloads, bad, library, path, width)


def _of_line(path: Path, number: int, library: Library, width: int) -> Page:
    if kind_of(path) is Kind.TRACES:
        return _trace_of_line(path, number, library, width)
    for line in read_workloads(path):
        if isinstance(line, WorkloadLine):
            if line.lineno == number:
                return _workload(line, library, width)
        elif line.where == f"{shown(path)}:{number}":
            raise line
    raise NotFound(f"{shown(path)} has no workload on line {number}; correct the number")


def _trace_of_line(path: Path, number: int, library: Library, width: int) -> Page:
    for (lineno, _), trace in zip(numbered_lines(path), read_traces(path), strict=True):
        if lineno == number:
            if isinstance(trace, DataError):
                raise trace
            return trace_page(trace, library, path, width)
    raise NotFound(f"{shown(path)} has no trace on line {number}; correct the number")


def _of_name(name: str, library: Library, width: int) -> Iterator[Page]:
    for traceset in library.tracesets:
        if knows_definition(traceset, name):
            yield definition_page(traceset.definition(name), traceset.definition_path(name), width)
    for loaded in _solutions(name, library):
        yield solution_page(loaded, library, width)
    for line in _workloads(name, library):
        yield _workload(line, library, width)


def _solutions(name: str, library: Library) -> Iterator[LoadedSolution]:
    paths = [path for traceset in library.tracesets for path in traceset.solution_files()]
    paths += sorted(Path(_SOLUTIONS).rglob("*.json"))
    for path in paths:
        loaded = _solution_or_none(path)
        if loaded is not None and loaded.solution.name == name:
            yield loaded


def _solution_or_none(path: Path) -> LoadedSolution | None:
    try:
        return read_solution(path)
    except DataError:
        return None


def _workloads(uuid: str, library: Library) -> Iterator[WorkloadLine]:
    """Yield the workloads with that uuid, or with one that begins so."""
    if len(uuid) < _SHORTEST_UUID:
        return
    for path in [path for traceset in library.tracesets for path in traceset.workload_files()]:
        if not _mentions(path, uuid):
            continue
        for line in read_workloads(path):
            if isinstance(line, WorkloadLine) and line.workload.uuid.startswith(uuid):
                yield line


def _mentions(path: Path, uuid: str) -> bool:
    try:
        return uuid.encode("utf-8", "surrogatepass") in read_bytes(path)
    except DataError:
        return False


def _workload(line: WorkloadLine, library: Library, width: int) -> Page:
    definition = library.definition_or_none(line.definition, line.path)
    return workload_page(line, definition, library.traceset_of(line.path), width)
