"""Tolerant readers: any bytes give a value or a DataError of one sentence, never anything else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from pytest_fib.data import files, wild
from pytest_fib.data.definition import Definition
from pytest_fib.data.files import shown
from pytest_fib.data.solution import LoadedSolution, Solution, path_problem
from pytest_fib.data.text import escape, show
from pytest_fib.data.trace import Trace
from pytest_fib.data.workload import Workload, WorkloadLine
from pytest_fib.errors import DataError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_Model = TypeVar("_Model", bound=BaseModel)
_KIT_LIMIT = 16 << 20
_KIT_SKIPPED = ("__pycache__",)
_KIT_SUFFIXES = frozenset(
    ".py .cu .cuh .cpp .cc .cxx .c .h .hpp .hh .inl .inc .ptx .hip .ll .mlir .txt .json .toml".split()
)


class _CanonicalLine(BaseModel):
    model_config = ConfigDict(frozen=True)
    definition: str
    workload: Workload
    solution: None = None
    evaluation: None = None


def read_definition(path: Path) -> Definition:
    """Read a definition file.

    Raises
    ------
    DataError
        The file cannot be read as a definition.
    """
    with _naming(path):
        return _validated(Definition, wild.definition_fields(_json(path)))


def read_workloads(path: Path) -> Iterator[WorkloadLine | DataError]:
    """Yield the workloads of a ``.jsonl`` file (or the one of a ``.json`` file), a DataError for each bad line.

    Raises
    ------
    DataError
        On the first step: the file itself cannot be read.
    """
    if path.suffix == ".json":
        with _naming(path):
            yield _wild_line(_json(path), path, 1)
        return
    seen: dict[str, int] = {}
    for lineno, raw in _lines(path):
        line = _attempt(path, lineno, lambda raw=raw, lineno=lineno: _workload_line(raw, path, lineno))  # type: ignore[misc]
        yield line if isinstance(line, DataError) else _once(line, seen)


def read_traces(path: Path) -> Iterator[Trace | DataError]:
    """Yield the traces of a ``.jsonl`` file (or the one of a ``.json`` file), a DataError for each bad line.

    Raises
    ------
    DataError
        On the first step: the file itself cannot be read.
    """
    if path.suffix == ".json":
        with _naming(path):
            yield _validated(Trace, wild.trace_fields(_json(path)))
        return
    for lineno, raw in _lines(path):
        yield _attempt(path, lineno, lambda raw=raw: _trace_line(raw))  # type: ignore[misc]


def read_solution(path: Path) -> LoadedSolution:
    """Read a solution: a JSON file, or a starter-kit folder (``config.toml`` and ``solution/<language>/``).

    Raises
    ------
    DataError
        It cannot be read as a solution.
    """
    with _naming(path):
        if path.is_dir():
            fields, notes = _starter_kit(path)
        else:
            fields, notes = wild.solution_fields(_json(path), lambda name: _sibling(path.parent, name))
        return LoadedSolution(_validated(Solution, fields), path, tuple(notes))


def definition_remarks(definition: Definition, path: Path) -> tuple[str, ...]:
    """Return what is unusual about where a definition lies, one sentence each."""
    remarks = []
    if path.stem not in (definition.name, "definition"):
        remarks.append(f"{shown(path)} holds definition '{escape(definition.name, 80)}'; rename one of them")
    if definition.op_type and path.parent.name not in (definition.op_type, "definitions"):
        remarks.append(
            f"{shown(path)} is of op_type '{escape(definition.op_type, 80)}' but lies in another folder"
        )
    return tuple(remarks)


@contextmanager
def _naming(path: Path, lineno: int | None = None) -> Iterator[None]:
    """Make every DataError begin with the file that it is about."""
    try:
        yield
    except DataError as error:
        text, name = str(error), shown(path)
        where = name if lineno is None else f"{name}:{lineno}"
        raise DataError(text if text.startswith(name) else f"{where}: {text}") from None


def _attempt(path: Path, lineno: int, read: Callable[[], Any]) -> Any:
    try:
        with _naming(path, lineno):
            return read()
    except DataError as error:
        return error


def _json(path: Path) -> Any:
    return files.parse_json(files.read_text(path))


def _validated(model: type[_Model], fields: dict[str, Any]) -> _Model:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise DataError(sentence(error)) from None


def sentence(error: ValidationError) -> str:
    """Return the first problem of a failed validation as one sentence that names the field."""
    first = error.errors(include_url=False, include_context=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "value_error":
        return escape(f"{f'field {escape(field, 120)!r}: ' if field else ''}{message}; correct it", 400)
    found = "" if first["type"] == "missing" else f", found {show(first['input'])}"
    return escape(f"field '{escape(field, 120)}': {message}{found}; correct it", 400)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with files.open_regular(path, files.LINES_LIMIT) as handle:
        for lineno, raw in enumerate(handle, 1):
            if raw.strip():
                yield lineno, raw.removeprefix(b"\xef\xbb\xbf") if lineno == 1 else raw


_CANONICAL = TypeAdapter(_CanonicalLine)


def _workload_line(raw: bytes, path: Path, lineno: int) -> WorkloadLine:
    try:
        line = _CANONICAL.validate_json(raw)
    except ValidationError:
        return _wild_line(_parsed(raw), path, lineno)
    return WorkloadLine(line.definition or _implied_definition(path), line.workload, path, lineno)


def _wild_line(value: Any, path: Path, lineno: int) -> WorkloadLine:
    definition, fields = wild.workload_fields(value, _implied_definition(path))
    return WorkloadLine(definition, _validated(Workload, fields), path, lineno)


def _trace_line(raw: bytes) -> Trace:
    return _validated(Trace, wild.trace_fields(_parsed(raw)))


def _parsed(raw: bytes) -> Any:
    try:
        return files.parse_json(files.decode(raw))
    except UnicodeDecodeError as error:
        raise DataError(f"is not UTF-8 text (byte {error.start} of the line); convert it") from None


def _implied_definition(path: Path) -> str:
    """The definition of a line that names none: that of a ``definition.json`` beside it, else the file's stem."""
    beside = path.parent / "definition.json"
    if not beside.is_file():
        return path.stem
    return read_definition(beside).name


def _once(line: WorkloadLine, seen: dict[str, int]) -> WorkloadLine | DataError:
    first = seen.setdefault(line.workload.uuid, line.lineno)
    if first == line.lineno:
        return line
    return DataError(
        f"{shown(line.path)}:{line.lineno}: workload '{escape(line.workload.uuid, 80)}' is already on line {first}; "
        "give it a uuid of its own"
    )


def _sibling(folder: Path, name: str) -> str | None:
    """The text of ``folder/name`` if that is a file inside the folder (symbolic links followed), else None."""
    if path_problem(name):
        return None
    return _inside(folder, folder / name)


def _inside(folder: Path, file: Path) -> str | None:
    try:
        resolved = file.resolve(strict=True)
        if not resolved.is_relative_to(folder.resolve()):
            return None
    except (OSError, RuntimeError, ValueError):
        return None
    return files.read_text(resolved, _KIT_LIMIT)


def _starter_kit(folder: Path) -> tuple[dict[str, Any], list[str]]:
    config = _toml(folder / "config.toml")
    solution, build = config.get("solution"), config.get("build")
    if not isinstance(solution, dict) or not isinstance(build, dict):
        raise DataError("config.toml should have the tables [solution] and [build]; add them")
    notes: list[str] = []
    language = build.get("language")
    if not isinstance(language, str) or path_problem(language) or "/" in language:
        raise DataError(
            f"config.toml: 'build.language' should name a language, found {show(language)}; correct it"
        )
    sources = _kit_sources(folder, folder / "solution" / language, notes)
    value = {**solution, "sources": sources, "spec": {"target_hardware": ["cuda"], **build}}
    fields, more = wild.solution_fields(value, lambda _: None)
    return fields, notes + more


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(files.read_text(path, _KIT_LIMIT))
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise DataError(f"config.toml is not TOML: {escape(str(error), 120)}; correct it") from None


def _kit_sources(kit: Path, folder: Path, notes: list[str]) -> list[dict[str, Any]]:
    if not folder.is_dir():
        raise DataError(f"there is no folder solution/{escape(folder.name, 60)}; put the sources there")
    sources = []
    for file in _kit_files(folder):
        name = file.relative_to(folder).as_posix()
        if file.suffix.lower() not in _KIT_SUFFIXES:
            notes.append(f"'{escape(name, 80)}' in solution/ is not a source file and is left out")
            continue
        content = _inside(kit, file)
        if content is None:
            raise DataError(f"source '{escape(name, 80)}' leaves the folder; replace the link by the file")
        sources.append({"path": name, "content": content})
    return sources


def _kit_files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _KIT_SKIPPED and not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and not name.endswith(".pyc"):
                yield Path(parent) / name
