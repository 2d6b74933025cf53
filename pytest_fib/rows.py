"""What collection makes of the lines of a workload file: names for ids, marks, and what is wrong with bad lines."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pytest_fib.data.definition import Definition, VarAxis
from pytest_fib.data.files import shown
from pytest_fib.data.readers import read_workloads
from pytest_fib.data.solution import Solution
from pytest_fib.data.text import escape, slug
from pytest_fib.data.workload import Workload, WorkloadLine
from pytest_fib.errors import DataError

AXES_LIMIT = 80
UUID_LIMIT = 40

_HEX_UUID = re.compile(r"[0-9a-fA-F]{8}[0-9a-fA-F-]{8,}")
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_.-]+")


class Row(NamedTuple):
    """What collection keeps of a workload's line; the workload itself is read again when it runs."""

    name: str
    lineno: int
    facts: dict[str, Any]


def read_lines(path: Path, definition: Definition) -> Iterator[WorkloadLine | DataError]:
    """The lines of a definition's workload file, one by one; raises DataError when it cannot be read."""
    return (_checked(line, definition) for line in read_workloads(path))


def read_rows(path: Path, definition: Definition) -> tuple[list[Row], list[str]]:
    """The rows of a definition's workload file and what is wrong with its bad lines; raises DataError."""
    rows, problems = [], []
    name_of = _namer(definition)
    for line in read_lines(path, definition):
        if isinstance(line, DataError):
            problems.append(str(line))
        else:
            workload = line.workload
            rows.append(Row(name_of(workload), line.lineno, {**workload.axes, "uuid": workload.uuid}))
    return rows, problems


def item_names(lines: Iterable[WorkloadLine], definition: Definition) -> list[str]:
    """Names of a file's items, ``<var axes>-<uuid>`` in ``[A-Za-z0-9_.-]``, each of them once."""
    name_of = _namer(definition)
    return [name_of(line.workload) for line in lines]


def describe(definition: Definition, solution: Solution) -> dict[str, str]:
    """What the marks of all workloads of one solution say."""
    return {
        "definition": definition.name,
        "op_type": definition.op_type,
        "solution": solution.name,
        "author": solution.author,
        "language": solution.spec.language,
    }


def fib_mark(workload: Workload, about: dict[str, str]) -> pytest.MarkDecorator:
    """The mark of one workload: its axes, its uuid and what is said about the solution."""
    return pytest.mark.fib(**{**workload.axes, **about, "uuid": workload.uuid})


def _namer(definition: Definition) -> Callable[[Workload], str]:
    variable = [name for name, axis in definition.axes.items() if isinstance(axis, VarAxis)]
    axes = [(name, _NOT_IN_IDS.sub("_", name)) for name in variable]
    used: set[str] = set()

    def name_of(workload: Workload) -> str:
        name = _item_name(workload, axes)
        if name in used:
            numbered = (f"{name}-{number}" for number in itertools.count(2))
            name = next(candidate for candidate in numbered if candidate not in used)
        used.add(name)
        return name

    return name_of


def _item_name(workload: Workload, axes: Iterable[tuple[str, str]]) -> str:
    sizes = workload.axes
    shape = "-".join([f"{shown}{sizes[name]}" for name, shown in axes if name in sizes])
    uuid = workload.uuid
    short = uuid[:8] if _HEX_UUID.fullmatch(uuid) else slug(uuid)[:UUID_LIMIT]
    return f"{shape[:AXES_LIMIT]}-{short}" if shape else short


def _checked(line: WorkloadLine | DataError, definition: Definition) -> WorkloadLine | DataError:
    if isinstance(line, DataError) or line.definition == definition.name:
        return line
    return DataError(
        f"{shown(line.path)}:{line.lineno}: the line is a workload of '{escape(line.definition, 120)}', "
        f"but the file is that of '{escape(definition.name, 120)}'; move the line or correct the name"
    )
