"""Workloads against their definition and the tensor files that they name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pytest_fib.commands.validate.findings import Findings
from pytest_fib.data.definition import Definition
from pytest_fib.data.tensors import TensorHeader, read_header
from pytest_fib.data.text import escape
from pytest_fib.data.traceset import Traceset
from pytest_fib.data.workload import SafetensorsInput, ScalarInput, WorkloadLine
from pytest_fib.errors import DataError, NotJudgeable


class WorkloadCheck:
    """The workloads of one file against their definition and the dataset's tensor files."""

    def __init__(self, findings: Findings, path: Path, traceset: Traceset | None) -> None:
        self._findings = findings
        self._path = path
        self._traceset = traceset
        self._header = cache(self._read)

    def line(self, line: WorkloadLine, definition: Definition) -> None:
        """Check one workload."""
        number, workload = line.lineno, line.workload
        if self._traceset is not None and self._path.stem != line.definition:
            self._findings.problem(
                self._path,
                f"field 'definition' is '{escape(line.definition, 120)}', unlike the file's name; move the line",
                number,
            )
        for name in workload.axes.keys() - definition.axes.keys():
            self._findings.remark(
                self._path, f"field 'axes.{escape(name, 60)}' is no axis of the definition; remove it", number
            )
        try:
            shapes = definition.input_shapes(workload.axes)
            broken = definition.check_constraints(workload.axes)
        except DataError as error:
            self._findings.error(DataError(*error.sentences), self._path, number)
            return
        for constraint in broken:
            self._findings.remark(
                self._path, f"field 'axes': constraint '{escape(constraint, 120)}' does not hold", number
            )
        for name in workload.inputs:
            self._input(line, definition, name, shapes)

    def _input(
        self,
        line: WorkloadLine,
        definition: Definition,
        name: str,
        shapes: Mapping[str, tuple[int, ...] | None],
    ) -> None:
        field, item = f"field 'inputs.{escape(name, 60)}'", line.workload.inputs[name]
        problem = ""
        if name not in shapes:
            problem = "is no input of the definition; correct its name"
        elif isinstance(item, ScalarInput) and shapes[name]:
            problem = "is a scalar, but the definition has a tensor there; correct one of them"
        elif item.type in ("safetensors", "custom") and shapes[name] is None:
            problem = f"has type '{item.type}', but the definition has a scalar there; state its value"
        if problem:
            self._findings.problem(self._path, f"{field} {problem}", line.lineno)
        elif isinstance(item, SafetensorsInput):
            expected = TensorHeader(definition.inputs[name].dtype, shapes[name] or ())
            self._captured(field, item, expected, line.lineno)

    def _captured(self, field: str, item: SafetensorsInput, expected: TensorHeader, number: int) -> None:
        header = self._header(item.path)
        if isinstance(header, DataError):
            self._findings.problem(self._path, f"{field}: {header}", number)
        elif isinstance(header, NotJudgeable):
            said = str(header)
            group = said.replace(escape(item.path), "")
            self._findings.remark(self._path, f"{field}: {said}", number, group)
        else:
            problem = _tensor_problem(header, item, expected)
            if problem:
                self._findings.problem(self._path, f"{field}: {problem}", number)

    def _read(self, path: str) -> Mapping[str, TensorHeader] | DataError | NotJudgeable:
        try:
            if self._traceset is None:
                return NotJudgeable(f"tensor file '{escape(path)}' belongs to no dataset folder")
            return read_header(self._traceset.resolve_blob(path))
        except (DataError, NotJudgeable) as error:
            return error


def _tensor_problem(
    header: Mapping[str, TensorHeader], item: SafetensorsInput, expected: TensorHeader
) -> str | None:
    path, found = escape(item.path), header.get(item.tensor_key)
    if found is None:
        return f"'{path}' has no tensor '{escape(item.tensor_key, 60)}'; correct tensor_key"
    if found == expected:
        return None
    return (
        f"'{path}' has it as {escape(found.dtype, 40)} {list(found.shape)}, but it should be "
        f"{expected.dtype} {list(expected.shape)}; correct the file or the axes"
    )
