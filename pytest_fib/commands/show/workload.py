"""The pages of one workload and of a workload file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pytest_fib.commands._library import Library
from pytest_fib.commands._output import place, table
from pytest_fib.commands.show.definition import facts
from pytest_fib.data.definition import Definition, TensorSpec
from pytest_fib.data.dtypes import ITEMSIZE
from pytest_fib.data.text import escape, show
from pytest_fib.data.traceset import Traceset
from pytest_fib.data.workload import Input, RandomInput, SafetensorsInput, ScalarInput, Workload, WorkloadLine
from pytest_fib.errors import DataError, NotJudgeable
from pytest_fib.report.text import plural
from pytest_fib.report.units import format_bytes

Shape = tuple[int, ...] | None


def workload_page(
    line: WorkloadLine, definition: Definition | None, traceset: Traceset | None, width: int
) -> list[str]:
    """Return the axes of a workload, and of every input and output its shape, size and source.

    Without the definition there are sources only.
    """
    workload = line.workload
    lines = [f"workload {escape(workload.uuid, 80)}"]
    about = {
        "definition": escape(line.definition, 120) + ("" if definition else " (not found)"),
        "file": f"{place(line.path)}:{line.lineno}",
        "axes": axes_text(workload.axes),
        "tolerance": show(workload.tolerance.model_dump(exclude_none=True), 200)
        if workload.tolerance
        else "",
    }
    lines += facts(about, width)
    if definition is None:
        rows = [[escape(name, 60), _source(item, traceset)] for name, item in workload.inputs.items()]
        return [*lines, "", "inputs", *table(rows, width)]
    try:
        return [*lines, *_tensors(workload, definition, traceset, width)]
    except DataError as error:
        return [*lines, *facts({"problem": str(error)}, width)]


def workloads_page(
    lines: Sequence[WorkloadLine], problems: Iterable[str], library: Library, path: Path, width: int
) -> list[str]:
    """Return a row for each workload of a file, then what is wrong with lines that cannot be read."""
    page = [f"{plural(len(lines), 'workload')} in {place(path)}"]
    for name in dict.fromkeys(line.definition for line in lines):
        page += ["", escape(name)]
        rows = [["line", "uuid", "axes", "size", "inputs"]]
        definition = library.definition_or_none(name, path)
        rows += [
            _row(line, definition, library.traceset_of(path)) for line in lines if line.definition == name
        ]
        page += table(rows, width, right=(0, 3))
    return page + [escape(f"problem: {problem}", 500) for problem in problems]


def axes_text(axes: Mapping[str, int]) -> str:
    """Return axis sizes on one line."""
    return " ".join(f"{escape(name, 60)}={size}" for name, size in axes.items())


def nbytes(spec: TensorSpec, shape: Shape) -> int:
    """Return the bytes of a tensor; 0 for a scalar."""
    return 0 if shape is None else math.ceil(math.prod(shape) * ITEMSIZE[spec.dtype])


def _tensors(
    workload: Workload, definition: Definition, traceset: Traceset | None, width: int
) -> Iterable[str]:
    total = 0
    given = definition.input_shapes(workload.axes), definition.output_shapes(workload.axes)
    for title, specs, shapes in zip(
        ("inputs", "outputs"), (definition.inputs, definition.outputs), given, strict=True
    ):
        rows = []
        for name, spec in specs.items():
            size = nbytes(spec, shapes[name])
            total += size
            source = _source(workload.inputs.get(name), traceset) if title == "inputs" else ""
            rows.append(
                [
                    escape(name, 60),
                    spec.dtype,
                    _shape(shapes[name]),
                    format_bytes(size) if shapes[name] is not None else "",
                    source,
                ]
            )
        yield from ("", title, *table(rows, width, right=(3,)))
    yield ""
    yield f"together {format_bytes(total)}"
    for constraint in definition.check_constraints(workload.axes):
        yield escape(f"constraint that does not hold: {constraint}", width)


def _row(line: WorkloadLine, definition: Definition | None, traceset: Traceset | None) -> list[str]:
    workload = line.workload
    return [
        str(line.lineno),
        escape(workload.uuid, 40),
        axes_text(workload.axes),
        _size(workload, definition),
        _summary(workload, traceset),
    ]


def _size(workload: Workload, definition: Definition | None) -> str:
    if definition is None:
        return ""
    try:
        shapes = definition.input_shapes(workload.axes) | definition.output_shapes(workload.axes)
    except DataError:
        return "?"
    specs = {**definition.inputs, **definition.outputs}
    return format_bytes(sum(nbytes(specs[name], shape) for name, shape in shapes.items()))


def _summary(workload: Workload, traceset: Traceset | None) -> str:
    captured = [item for item in workload.inputs.values() if isinstance(item, SafetensorsInput)]
    missing = sum(bool(_trouble(item, traceset)) for item in captured)
    words = [f"{len(captured)} captured" if captured else "", f"{missing} missing" if missing else ""]
    return ", ".join(filter(None, words))


def _shape(shape: Shape) -> str:
    return "scalar" if shape is None else str(list(shape))


def _source(item: Input | None, traceset: Traceset | None) -> str:
    if item is None or isinstance(item, RandomInput):
        return "random"
    if isinstance(item, ScalarInput):
        return show(item.value)
    if isinstance(item, SafetensorsInput):
        where = f"'{escape(item.tensor_key, 60)}' in {escape(item.path)}"
        return f"{_trouble(item, traceset)}{where}"
    return item.type


def _trouble(item: SafetensorsInput, traceset: Traceset | None) -> str:
    """What keeps a captured tensor from being read, as the beginning of a phrase; empty if nothing does."""
    try:
        if traceset is None:
            return "no dataset: "
        traceset.resolve_blob(item.path)
    except NotJudgeable as reason:
        return "git-LFS pointer: " if "git-LFS" in str(reason) else "missing: "
    except DataError:
        return "outside the dataset: "
    return ""
