"""The page of a definition."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

from pytest_fib.commands._output import is_cut, place, table
from pytest_fib.data.definition import ConstAxis, Definition, ExprAxis, TensorSpec
from pytest_fib.data.text import escape

_LONGEST_LINE = 10_000


def definition_page(definition: Definition, path: Path, width: int) -> list[str]:
    """Return what a definition says, its reference included."""
    lines = [escape(definition.name), *_about(definition, path, width)]
    axes = [[escape(name, 60), *_axis(axis)] for name, axis in definition.axes.items()]
    lines += ["", "axes", *table(axes, width)]
    for title, specs in (("inputs", definition.inputs), ("outputs", definition.outputs)):
        lines += ["", title, *table(_tensors(specs), width)]
    if definition.constraints:
        lines += ["", "constraints", *(f"  {escape(text, width - 2)}" for text in definition.constraints)]
    lines += ["", "reference", *code(definition.reference, width)]
    return lines


def code(text: str, width: int) -> list[str]:
    """Return a text of several lines indented, each cut off where the terminal ends, if there is one."""
    most = width - 2 if is_cut() else _LONGEST_LINE
    return [f"  {escape(line.expandtabs(4), most)}".rstrip() for line in text.splitlines()]


def facts(rows: Mapping[str, str], width: int) -> list[str]:
    """Return named facts, aligned and wrapped, those that are empty left out."""
    said = {name: value for name, value in rows.items() if value}
    indent = max(map(len, said), default=0) + 4
    lines = []
    for name, value in said.items():
        first, *rest = textwrap.wrap(value, max(20, width - indent)) or [""]
        lines.append(f"  {name}".ljust(indent) + first)
        lines += [" " * indent + line for line in rest]
    return lines


def shape_text(spec: TensorSpec) -> str:
    """Return the shape as the definition says it."""
    if spec.shape is None:
        return "scalar"
    return f"[{', '.join(escape(str(item), 60) for item in spec.shape)}]"


def _about(definition: Definition, path: Path, width: int) -> list[str]:
    said = {
        "op type": escape(definition.op_type, 80),
        "file": place(path),
        "tags": ", ".join(escape(tag, 80) for tag in definition.tags),
        "about": escape(definition.description or "", 1000),
        "problem": definition.reference_problem() or "",
    }
    return facts(said, width)


def _axis(axis: object) -> tuple[str, str, str]:
    description = escape(getattr(axis, "description", None) or "")
    if isinstance(axis, ConstAxis):
        return "const", str(axis.value), description
    if isinstance(axis, ExprAxis):
        return "expr", escape(axis.expression, 80), description
    return "var", "", description


def _tensors(specs: Mapping[str, TensorSpec]) -> list[list[str]]:
    return [
        [
            escape(name, 60),
            spec.dtype,
            shape_text(spec),
            " ".join(filter(None, ("optional" if spec.optional else "", escape(spec.description or "")))),
        ]
        for name, spec in specs.items()
    ]
