"""Files by themselves and against each other."""

from __future__ import annotations

import ast
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pytest_fib.commands._library import Kind, Library, kind_of
from pytest_fib.commands.validate.findings import Findings
from pytest_fib.commands.validate.schema import (
    definition_deviations,
    solution_deviations,
    workload_deviations,
)
from pytest_fib.commands.validate.workloads import WorkloadCheck
from pytest_fib.data import files
from pytest_fib.data.definition import Definition
from pytest_fib.data.files import shown
from pytest_fib.data.readers import (
    definition_remarks,
    numbered_lines,
    read_definition,
    read_solution,
    read_traces,
    read_workloads,
)
from pytest_fib.data.solution import Solution
from pytest_fib.data.starterkit import CONFIG_FILE
from pytest_fib.data.syntax import parse_module, syntax_problem
from pytest_fib.data.text import escape
from pytest_fib.data.traceset import Traceset
from pytest_fib.data.workload import WorkloadLine
from pytest_fib.errors import DataError
from pytest_fib.named import is_starter_kit


class Checker:
    """Checks paths and gathers what is wrong in ``findings``; ``counts`` says what was looked at."""

    def __init__(self, library: Library) -> None:
        self.findings = Findings()
        self.counts: Counter[str] = Counter()
        self._library = library
        self._definitions: dict[tuple[Path | None, str], Path] = {}
        self._solutions: dict[str, Path] = {}

    def check(self, paths: Iterable[Path]) -> None:
        """Check whatever the paths are, definitions first."""
        kinds = [(path, self._kind(path)) for path in paths]
        for path, kind in sorted(kinds, key=lambda pair: pair[1] is not Kind.DEFINITION):
            if kind is Kind.DATASET:
                self._dataset(Traceset(path))
            elif kind is Kind.FOLDER:
                self._folder(path)
            elif kind is Kind.DEFINITION:
                self._definition(path)
            elif kind is Kind.WORKLOADS:
                self._workloads(path)
            elif kind is Kind.TRACES:
                self._traces(path)
            elif kind is Kind.SOLUTION:
                self._solution(path.parent if path.name == CONFIG_FILE else path)

    def _kind(self, path: Path) -> Kind | None:
        try:
            return kind_of(path)
        except DataError as error:
            self.findings.error(error, path)
            return None

    def _dataset(self, traceset: Traceset) -> None:
        names = [self._definition(path) for path in traceset.definition_files()]
        for path in traceset.workload_files():
            self._workloads(path)
        for path in traceset.solution_files():
            self._solution(path)
        for path in traceset.trace_files():
            self._traces(path)
        for name, path in filter(None, names):
            self._has_workloads(traceset, name, path)

    def _has_workloads(self, traceset: Traceset, name: str, path: Path) -> None:
        try:
            if traceset.workload_file(name) is None:
                self.findings.remark(path, "there is no workload file of this definition; add one")
        except DataError as error:
            self.findings.error(error, path)

    def _folder(self, folder: Path) -> None:
        """Check every file of a folder that is no dataset; nothing hidden, no link to a folder."""
        found: list[Path] = []
        for parent, folders, names in os.walk(folder):
            kits = [name for name in folders if is_starter_kit(Path(parent, name))]
            folders[:] = sorted(name for name in folders if name not in kits and not name.startswith("."))
            listed = [name for name in names if name.endswith((".json", ".jsonl")) and name[0] != "."]
            found += [Path(parent, name) for name in sorted([*listed, *kits])]
        self.check(found)
        if not found:
            self.findings.problem(folder, "there is no .json or .jsonl file in this folder; name a dataset")

    def _definition(self, path: Path) -> tuple[str, Path] | None:
        self.counts["definition"] += 1
        try:
            definition = read_definition(path)
        except DataError as error:
            self.findings.error(error, path)
            self._unread_reference(path)
            return None
        self._library.add(definition)
        for sentence in (
            *definition_remarks(definition, path),
            *definition_deviations(_json(path), definition),
        ):
            self.findings.remark(path, sentence)
        traceset = self._library.traceset_of(path)
        first = self._definitions.setdefault((traceset.root if traceset else None, definition.name), path)
        if first != path:
            self.findings.problem(path, f"field 'name' is also that of {shown(first)}; rename one of them")
        problem = definition.reference_problem()
        if problem:
            self.findings.problem(path, f"field 'reference': {problem}")
        else:
            self._reference(path, definition)
        return definition.name, path

    def _unread_reference(self, path: Path) -> None:
        """Say why a reference is not Python also where other fields have faults."""
        try:
            value = _json(path)
        except DataError:
            return
        text = value.get("reference") if isinstance(value, dict) else None
        why = syntax_problem(text) if isinstance(text, str) else None
        if why:
            self.findings.problem(
                path, f"field 'reference': it is not valid Python ({escape(why, 120)}); correct it"
            )

    def _reference(self, path: Path, definition: Definition) -> None:
        parameters = _parameters(definition.reference)
        if parameters is None:
            return
        names, least = parameters
        inputs = list(definition.inputs)
        if set(names) == set(inputs):
            if names != inputs:
                self.findings.remark(
                    path,
                    "field 'reference': run takes its parameters in another order than 'inputs', and "
                    "FlashInfer-Bench passes them by position; put them in one order",
                )
        elif not least <= len(inputs) <= len(names):
            self.findings.problem(
                path,
                f"field 'reference': run takes {len(names)} parameters, but there are {len(inputs)} inputs; "
                "correct one of them",
            )

    def _workloads(self, path: Path) -> None:
        lines: list[WorkloadLine] = []
        try:
            for line in read_workloads(path):
                if isinstance(line, DataError):
                    self.findings.error(line, path)
                else:
                    lines.append(line)
        except DataError as error:
            self.findings.error(error, path)
        self.counts["workload"] += len(lines)
        self._deviations(path, {line.lineno for line in lines})
        check = WorkloadCheck(self.findings, path, self._library.traceset_of(path))
        first = {line.definition: line.lineno for line in reversed(lines)}
        definitions = {name: self._looked_up(name, path, number) for name, number in first.items()}
        for line in lines:
            definition = definitions[line.definition]
            if definition is not None:
                check.line(line, definition)

    def _deviations(self, path: Path, good: set[int]) -> None:
        raws: Iterator[tuple[int, Any]] = (
            iter([(1, _json(path))])
            if path.suffix == ".json" and good
            else ((number, _parsed(raw)) for number, raw in numbered_lines(path) if number in good)
        )
        for number, value in raws if good else ():
            for sentence in workload_deviations(value):
                self.findings.remark(path, sentence, number)

    def _looked_up(self, name: str, path: Path, line: int | None = None) -> Definition | None:
        try:
            return self._library.definition(name, path)
        except DataError as error:
            if error.where:
                sentence = f"field 'definition': '{escape(name, 120)}' cannot be read; see {error.where}"
                self.findings.problem(path, sentence, line)
            elif self._library.is_complete_for(path):
                self.findings.problem(path, str(error), line)
            else:
                self.findings.remark(path, str(error), line)
        return None

    def _solution(self, path: Path) -> None:
        self.counts["solution"] += 1
        try:
            loaded = read_solution(path)
        except DataError as error:
            self.findings.error(error, path)
            return
        file = path / CONFIG_FILE if path.is_dir() else path
        value = None if path.is_dir() else _json(path)
        for sentence in (*loaded.notes, *solution_deviations(loaded.solution, value)):
            self.findings.remark(file, sentence)
        first = self._solutions.setdefault(loaded.solution.name, file)
        if first != file:
            self.findings.remark(file, f"field 'name' is also that of {shown(first)}; rename one of them")
        self._sources(file, loaded.solution)
        self._looked_up(loaded.solution.definition, file)

    def _sources(self, file: Path, solution: Solution) -> None:
        for number, source in enumerate(solution.sources):
            field = f"sources.{number}" if file.name != CONFIG_FILE else ""
            name = escape(source.path, 80)
            problem = syntax_problem(source.content) if source.path.endswith(".py") else None
            if problem is not None:
                why = f"is not valid Python on this version ({escape(problem, 120)})"
                self.findings.problem(file, f"field '{field}': '{name}' {why}; correct it")
            symbol = solution.entry_symbol.partition(".")[0]
            if source.path == solution.entry_file and not re.search(
                rf"\b{re.escape(symbol)}\b", source.content
            ):
                self.findings.remark(
                    file,
                    f"field 'spec.entry_point' names '{escape(symbol, 60)}', which '{name}' does not mention",
                )

    def _traces(self, path: Path) -> None:
        known: set[str] = set()
        try:
            for number, trace in enumerate(read_traces(path), 1):
                if isinstance(trace, DataError):
                    self.findings.error(trace, path)
                    continue
                self.counts["trace"] += 1
                if trace.definition not in known:
                    known.add(trace.definition)
                    self._looked_up(trace.definition, path, number)
        except DataError as error:
            self.findings.error(error, path)


def _json(path: Path) -> Any:
    return files.parse_json(files.read_text(path))


def _parsed(raw: bytes) -> Any:
    return files.parse_json(files.decode(raw))


def _parameters(source: str) -> tuple[list[str], int] | None:
    """Names of the parameters of ``run`` and how many it needs; None if there is no saying."""
    tree = parse_module(source)
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)] if tree else []
    runs = [function.args for function in functions if function.name == "run"]
    if not runs or runs[-1].vararg or runs[-1].kwarg or runs[-1].kwonlyargs:
        return None
    named = [*runs[-1].posonlyargs, *runs[-1].args]
    return [each.arg for each in named], len(named) - len(runs[-1].defaults)
