"""Tolerant readers: any bytes give a value or a DataError of one sentence, never anything else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pytest_fib.data import files, starterkit, wild
from pytest_fib.data.definition import Definition
from pytest_fib.data.files import naming, shown
from pytest_fib.data.problems import validated
from pytest_fib.data.solution import LoadedSolution, Solution
from pytest_fib.data.text import escape
from pytest_fib.data.workload import Workload, WorkloadLine
from pytest_fib.errors import DataError

if TYPE_CHECKING:
    from pytest_fib.data.trace import Trace

_Item = TypeVar("_Item")


def read_definition(path: Path) -> Definition:
    """Read a definition file.

    Raises
    ------
    DataError
        The file cannot be read as a definition.
    """
    with naming(path):
        return validated(Definition, wild.definition_fields(_json(path)))


def definition_remarks(definition: Definition, path: Path) -> tuple[str, ...]:
    """Return what is unusual about where a definition lies, one sentence each, without the file's name."""
    remarks = []
    if path.stem not in (definition.name, "definition"):
        remarks.append(
            f"field 'name' is '{escape(definition.name, 80)}', unlike the file's name; rename one of them"
        )
    if definition.op_type and path.parent.name not in (definition.op_type, "definitions"):
        remarks.append(
            f"field 'op_type' is '{escape(definition.op_type, 80)}', unlike the folder's name; move the file"
        )
    return tuple(remarks)


def read_workloads(path: Path) -> Iterator[WorkloadLine | DataError]:
    """Yield the workloads of a ``.jsonl`` file (or the one of a ``.json`` file), for a bad line a DataError.

    A line that names no definition is about the one in ``definition.json`` beside the file, else about the
    one that the file is named after. A line without ``uuid`` gets one that is made of its content.

    Raises
    ------
    DataError
        On the first step: the file itself cannot be read.
    """
    file = _WorkloadFile(path)
    if path.suffix == ".json":
        with naming(path):
            yield file.from_json(_json(path), 1)
        return
    for lineno, raw in numbered_lines(path):
        yield _or_error(file.from_line, raw, path, lineno)


def read_traces(path: Path) -> Iterator[Trace | DataError]:
    """Yield the traces of a ``.jsonl`` file (or the one of a ``.json`` file), for a bad line a DataError.

    Raises
    ------
    DataError
        On the first step: the file itself cannot be read.
    """
    if path.suffix == ".json":
        with naming(path):
            yield _trace(_json(path))
        return
    for lineno, raw in numbered_lines(path):
        yield _or_error(_trace_from_line, raw, path, lineno)


def read_solution(path: Path) -> LoadedSolution:
    """Read a solution: a JSON file, or a starter-kit folder (``config.toml`` and ``solution/<language>/``).

    Raises
    ------
    DataError
        It cannot be read as a solution.
    """
    file, renamed = path, dict[str, str]()
    if os.path.isdir(path):
        file = path / starterkit.CONFIG_FILE
        fields, notes = starterkit.read_kit(path)
        renamed["spec"] = starterkit.SPEC_TABLE
    else:
        with naming(path):
            fields, notes = wild.solution_fields(
                _solution_json(path), sibling=lambda name: _beside(path, name)
            )
    with naming(file):
        return LoadedSolution(validated(Solution, fields, renamed), path, tuple(notes))


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a ``.jsonl`` file that are not blank, with their numbers from 1.

    Raises
    ------
    DataError
        The file cannot be read.
    """
    with naming(path), files.open_regular(path, files.LINES_LIMIT) as handle:
        for lineno, raw in enumerate(handle, 1):
            line = raw.removeprefix(b"\xef\xbb\xbf") if lineno == 1 else raw
            if not line.isspace() and line:
                yield lineno, line


class _CanonicalLine(BaseModel):
    model_config = ConfigDict(frozen=True)

    definition: str
    workload: Workload
    solution: None = None
    evaluation: None = None


class _WorkloadFile:
    """The lines of one file, which must not repeat an id."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[str, int] = {}

    def from_line(self, raw: bytes, lineno: int) -> WorkloadLine:
        # Almost every line is canonical: pydantic's own JSON parser then needs 5 us instead of 30.
        try:
            line = _CanonicalLine.model_validate_json(raw)
        except ValidationError:
            return self.from_json(files.parse_json(files.decode(raw)), lineno)
        return self._placed(line.definition or self._implied_definition, line.workload, lineno)

    def from_json(self, value: Any, lineno: int) -> WorkloadLine:
        definition, fields = wild.workload_fields(value)
        if "uuid" not in fields:
            fields["uuid"] = self._new_uuid(fields)
        return self._placed(definition or self._implied_definition, validated(Workload, fields), lineno)

    def _placed(self, definition: str, workload: Workload, lineno: int) -> WorkloadLine:
        first = self._seen.setdefault(workload.uuid, lineno)
        if first != lineno:
            raise DataError(
                f"uuid '{escape(workload.uuid, 80)}' is already that of line {first}; give it one of its own"
            )
        return WorkloadLine(definition, workload, self._path, lineno)

    def _new_uuid(self, fields: dict[str, Any]) -> str:
        made = candidate = wild.synthetic_uuid(fields)
        repeat = 1
        while candidate in self._seen:
            repeat += 1
            candidate = f"{made}-{repeat}"
        return candidate

    @cached_property
    def _implied_definition(self) -> str:
        beside = self._path.parent / "definition.json"
        return read_definition(beside).name if os.path.isfile(beside) else self._path.stem


def _or_error(read: Callable[[bytes, int], _Item], raw: bytes, path: Path, lineno: int) -> _Item | DataError:
    try:
        return read(raw, lineno)
    except DataError as error:
        return DataError(*error.sentences, where=f"{shown(path)}:{lineno}")


def _trace_from_line(raw: bytes, _: int) -> Trace:
    return _trace(files.parse_json(files.decode(raw)))


def _trace(value: Any) -> Trace:
    from pytest_fib.data.trace import Trace

    fields = wild.trace_fields(value)
    workload = fields["workload"]
    if "uuid" not in workload:
        workload["uuid"] = wild.synthetic_uuid(workload)
    return validated(Trace, fields)


def _json(path: Path) -> Any:
    return files.parse_json(files.read_text(path))


def _solution_json(path: Path) -> Any:
    text = files.read_text(path)
    try:
        return files.parse_json(text)
    except DataError:
        if path.suffix == ".json":
            raise
    kit = next((folder for folder in path.parents[:4] if (folder / starterkit.CONFIG_FILE).is_file()), None)
    if kit is not None:
        raise DataError(
            f"is not a solution, but lies in a starter-kit folder; name that folder, {shown(kit)}"
        )
    raise DataError(
        "is not a solution; name a solution's JSON, whose 'sources' hold the code, or a starter-kit folder "
        "(config.toml and solution/<language>/)"
    )


def _beside(path: Path, name: str) -> str | None:
    with naming(Path(name)):
        return starterkit.text_inside(path.parent, path.parent / name)
