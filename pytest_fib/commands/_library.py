"""What the words on the command line mean: kinds of files, and the datasets in which names are looked up."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from pytest_fib.data import files
from pytest_fib.data.definition import Definition
from pytest_fib.data.files import naming, shown
from pytest_fib.data.readers import numbered_lines
from pytest_fib.data.results import SCHEMA
from pytest_fib.data.starterkit import CONFIG_FILE
from pytest_fib.data.text import escape
from pytest_fib.data.traceset import Traceset
from pytest_fib.errors import DataError
from pytest_fib.named import find_tracesets, is_starter_kit, knows_definition
from pytest_fib.settings import Settings

_ROOMS = ("definitions", "workloads", "solutions", "traces")


class Kind(Enum):
    """What a path holds."""

    DATASET = "dataset"
    FOLDER = "folder"
    DEFINITION = "definition"
    WORKLOADS = "workloads"
    SOLUTION = "solution"
    TRACES = "traces"


def kind_of(path: Path) -> Kind:
    """Return what ``path`` holds, by its content.

    Raises
    ------
    DataError
        It cannot be read, or is none of these.
    """
    if path.is_dir():
        if is_starter_kit(path):
            return Kind.SOLUTION
        rooms = [room for room in _ROOMS if (path / room).is_dir()]
        return Kind.DATASET if {"definitions", "workloads"} & set(rooms) else Kind.FOLDER
    if path.name == CONFIG_FILE:
        return Kind.SOLUTION
    if path.suffix == ".jsonl":
        return _kind_of_lines(path)
    with naming(path):
        if path.suffix != ".json":
            raise DataError("is no .json or .jsonl file; name a definition, workloads, a solution or traces")
        value = files.parse_json(files.read_text(path))
        kind = _kind_of_value(value)
        if kind is None and isinstance(value, dict) and value.get("schema") == SCHEMA:
            raise DataError(
                "is a report; 'fib html', 'fib compare', 'fib rank' and 'fib history' read reports"
            )
        if kind is None:
            raise DataError("is no definition, workload, solution or trace; name one of these")
    return kind


def _kind_of_lines(path: Path) -> Kind:
    kinds = (_kind_of_line(raw) for _, raw in numbered_lines(path))
    return next(filter(None, kinds), Kind.WORKLOADS)


def _kind_of_line(raw: bytes) -> Kind | None:
    try:
        return _kind_of_value(files.parse_json(files.decode(raw)))
    except DataError:
        return None


def _kind_of_value(value: Any) -> Kind | None:
    if not isinstance(value, dict):
        return None
    if "sources" in value or "spec" in value:
        return Kind.SOLUTION
    if "workload" in value:
        return Kind.TRACES if value.get("evaluation") else Kind.WORKLOADS
    if "outputs" in value or "reference" in value:
        return Kind.DEFINITION
    return Kind.WORKLOADS if "inputs" in value or "input_shapes" in value else None


class Library:
    """The datasets of one command, and definitions that it was given by themselves.

    Parameters
    ----------
    folders
        Dataset roots that were named; without any, the datasets that a test run started here would have.

    Raises
    ------
    SettingsError
        A folder is not there.
    """

    def __init__(self, folders: Iterable[str], environ: Mapping[str, str]) -> None:
        named = tuple(Path(os.path.abspath(folder)) for folder in folders)
        self.is_named = bool(named)
        self.tracesets = find_tracesets(
            Settings(tracesets=named, tracesets_from_flag=True), Path(os.path.abspath(".")), environ
        )
        self._given: dict[str, Definition] = {}
        self._enclosing: dict[Path, Traceset | None] = {}

    def add(self, definition: Definition) -> None:
        """Keep a definition that was given by itself."""
        self._given.setdefault(definition.name, definition)

    def traceset_of(self, path: Path) -> Traceset | None:
        """Return the dataset that a file lies in, by the names of its folders; None if in none."""
        path = Path(os.path.abspath(path))
        if path.parent not in self._enclosing:
            self._enclosing[path.parent] = self._found_above(path)
        return self._enclosing[path.parent]

    def definition(self, name: str, near: Path) -> Definition:
        """Return the definition of that name: of the file's own dataset, or of the others.

        Raises
        ------
        DataError
            There is none, or it cannot be read.
        """
        own = self.traceset_of(near)
        tracesets = [*([own] if own else []), *self.tracesets]
        for traceset in tracesets:
            if knows_definition(traceset, name):
                return traceset.definition(name)
        if name in self._given:
            return self._given[name]
        searched = ", ".join(dict.fromkeys(shown(traceset.root) for traceset in tracesets))
        raise DataError(
            f"field 'definition' is '{escape(name, 120)}', which is in none of the datasets {searched}; "
            "correct it or name the dataset with --fib-traceset=DIR"
        )

    def definition_or_none(self, name: str, near: Path) -> Definition | None:
        """Return what :meth:`definition` returns, or None where it raises."""
        try:
            return self.definition(name, near)
        except DataError:
            return None

    def is_complete_for(self, path: Path) -> bool:
        """Whether a definition that is not found is a mistake, and not only one of a dataset that was not named."""
        own = self.traceset_of(path)
        return self.is_named or (own is not None and (own.root / "definitions").is_dir())

    def _found_above(self, path: Path) -> Traceset | None:
        for parent in path.parents:
            inside_definitions = (parent.parent / "definitions").is_dir()
            if parent.name == "workloads" or (parent.name in _ROOMS and inside_definitions):
                root = parent.parent
                known = [traceset for traceset in self.tracesets if traceset.root == root]
                return known[0] if known else Traceset(root)
        return None
