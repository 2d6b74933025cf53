"""What a kernel computes: named axes, input and output tensors, and a reference in Python."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pytest_fib.data import dtypes, expressions
from pytest_fib.data.problems import Faults
from pytest_fib.data.syntax import parse_module, syntax_problem
from pytest_fib.data.text import escape
from pytest_fib.errors import DataError

Name = Annotated[str, Field(min_length=1, max_length=300)]
Size = Annotated[int, Field(strict=True, ge=0, le=expressions.LARGEST)]
Shape = tuple[int, ...]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class ConstAxis(_Frozen):
    """An axis whose size the definition fixes."""

    type: Literal["const"] = "const"
    value: Size
    description: str | None = None


class VarAxis(_Frozen):
    """An axis whose size the workload says."""

    type: Literal["var"] = "var"
    description: str | None = None


class ExprAxis(_Frozen):
    """An axis whose size follows from others, e.g. ``hidden_size / 2`` (not in the official schema)."""

    type: Literal["expr"] = "expr"
    expression: Name
    description: str | None = None


Axis = Annotated[ConstAxis | VarAxis | ExprAxis, Field(discriminator="type")]


class TensorSpec(_Frozen):
    """Shape and element type of one input or output.

    ``shape`` is None for a Python scalar and ``()`` for a tensor without dimensions; its items are axis
    names, integers or arithmetic over axis names. ``dtype`` is a canonical name (see ``data.dtypes``).
    """

    shape: tuple[Size | Name, ...] | None
    dtype: str
    optional: bool = False
    description: str | None = None

    @field_validator("dtype")
    @classmethod
    def _known_dtype(cls, value: str) -> str:
        name = dtypes.canonical(value)
        if name is None:
            raise ValueError(
                f"dtype should be one of {', '.join(dtypes.ITEMSIZE)}, found '{escape(value, 40)}'"
            )
        return name


class Definition(_Frozen):
    """A computation to be implemented: its interface and the Python code that defines its results."""

    name: Name
    op_type: Annotated[str, Field(max_length=300)] = ""
    axes: dict[Name, Axis]
    inputs: dict[Name, TensorSpec]
    outputs: Annotated[dict[Name, TensorSpec], Field(min_length=1)]
    reference: str = ""
    tags: tuple[str, ...] = ()
    description: str | None = None
    constraints: tuple[str, ...] = ()
    custom_inputs_entrypoint: str | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Definition:
        faults = [
            *(
                f"'{escape(n, 60)}' should not be both an input and an output"
                for n in self.inputs
                if n in self.outputs
            ),
            *self._undefined_axes(),
        ]
        if faults:
            raise Faults(*dict.fromkeys(faults))
        return self

    def _undefined_axes(self) -> Iterator[str]:
        for name, spec in [*self.inputs.items(), *self.outputs.items()]:
            for item in spec.shape or ():
                yield from _unknown_names(item, self.axes, f"the shape of '{escape(name, 60)}'")
        for name, axis in self.axes.items():
            if isinstance(axis, ExprAxis):
                yield from _unknown_names(axis.expression, self.axes, f"axis '{escape(name, 60)}'")

    def resolve_axes(self, axes: Mapping[str, int]) -> dict[str, int]:
        """Return the size of every axis of this definition, given those that a workload states.

        Stated axes that the definition does not know are ignored.

        Raises
        ------
        DataError
            A variable axis is missing, a stated size contradicts a constant or an expression, or an
            expression has no integer value of at least zero.
        """
        sizes: dict[str, int] = {}
        for name, axis in self.axes.items():
            if isinstance(axis, ConstAxis):
                sizes[name] = axis.value
            elif isinstance(axis, VarAxis):
                sizes[name] = self._stated(name, axes)
        sizes = self._with_expressions(sizes)
        for name, size in sizes.items():
            if axes.get(name, size) != size:
                raise DataError(
                    f"axis '{escape(name, 60)}' is {size} in definition '{escape(self.name, 80)}' "
                    f"but the workload says {axes[name]}; correct one of them"
                )
        return {name: sizes[name] for name in self.axes}

    def input_shapes(self, axes: Mapping[str, int]) -> dict[str, Shape | None]:
        """Return the shape of every input in order: None for a Python scalar, ``()`` for a 0-D tensor.

        Raises
        ------
        DataError
            As :meth:`resolve_axes`.
        """
        return self._shapes(self.inputs, axes)

    def output_shapes(self, axes: Mapping[str, int]) -> dict[str, Shape | None]:
        """Return the shape of every output in order, as :meth:`input_shapes` does for inputs."""
        return self._shapes(self.outputs, axes)

    def check_constraints(self, axes: Mapping[str, int]) -> list[str]:
        """Return the constraints that the given axis sizes violate.

        Constraints that speak of tensors or of anything but integer arithmetic over axes are not checked.
        """
        sizes = self.resolve_axes(axes)
        return [
            constraint for constraint in self.constraints if expressions.holds(constraint, sizes) is False
        ]

    def reference_problem(self) -> str | None:
        """Return why the reference cannot say what is right (there is no oracle), or None if it may."""
        if not self.reference.strip():
            return f"definition '{escape(self.name, 80)}' has no reference, so there is no oracle to judge by"
        tree = parse_module(self.reference)
        if tree is None:
            why = escape(str(syntax_problem(self.reference)), 120)
            return f"the reference of definition '{escape(self.name, 80)}' is not valid Python ({why}); correct it"
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "run"]
        if not functions:
            return f"the reference of definition '{escape(self.name, 80)}' defines no function 'run'; add it"
        if all(_says_nothing(statement) for statement in functions[-1].body):
            return (
                f"the reference of definition '{escape(self.name, 80)}' has an empty body: there is no oracle"
            )
        return None

    def to_json(self, indent: int | None = 1) -> str:
        """Return the definition as JSON text in the official schema.

        Integers and arithmetic in shapes become axes of that name, which is all that the schema can say;
        dtypes that it does not know (``uint8``, ``float64``) stay.
        """
        axes: dict[str, Any] = {}
        for name, axis in self.axes.items():
            axes[name] = self._official_axis(axis.expression) if isinstance(axis, ExprAxis) else _plain(axis)
        fields = {
            "name": self.name,
            "op_type": self.op_type,
            "axes": axes,
            "inputs": {name: self._official_tensor(spec, axes) for name, spec in self.inputs.items()},
            "outputs": {name: self._official_tensor(spec, axes) for name, spec in self.outputs.items()},
            "reference": self.reference,
            "tags": list(self.tags),
            "description": self.description,
            "constraints": list(self.constraints),
        }
        said = {key: value for key, value in fields.items() if value is not None}
        return json.dumps(said, indent=indent, ensure_ascii=False)

    def _official_tensor(self, spec: TensorSpec, axes: dict[str, Any]) -> dict[str, Any]:
        for item in spec.shape or ():
            if item not in self.axes:
                axes[str(item)] = self._official_axis(str(item))
        fields = _plain(spec)
        fields.pop("optional")
        return fields | {"shape": None if spec.shape is None else [str(item) for item in spec.shape]}

    def _official_axis(self, expression: str) -> dict[str, Any]:
        constants = {name: axis.value for name, axis in self.axes.items() if isinstance(axis, ConstAxis)}
        try:
            return {"type": "const", "value": expressions.evaluate(expression, constants)}
        except DataError:
            return {"type": "var"}

    def _stated(self, name: str, axes: Mapping[str, int]) -> int:
        if name not in axes:
            raise DataError(
                f"the workload does not say how large axis '{escape(name, 60)}' of definition "
                f"'{escape(self.name, 80)}' is; add it to the workload's axes"
            )
        return axes[name]

    def _with_expressions(self, sizes: dict[str, int]) -> dict[str, int]:
        waiting = {name: axis.expression for name, axis in self.axes.items() if isinstance(axis, ExprAxis)}
        known = dict(sizes)
        while waiting:
            ready = [name for name, text in waiting.items() if _names(text, self.axes) <= known.keys()]
            if not ready:
                raise DataError(
                    f"axis '{escape(next(iter(waiting)), 60)}' of definition '{escape(self.name, 80)}' "
                    "is defined by itself; break the circle"
                )
            for name in ready:
                known[name] = self._size(waiting.pop(name), known)
        return known

    def _shapes(self, specs: Mapping[str, TensorSpec], axes: Mapping[str, int]) -> dict[str, Shape | None]:
        sizes = self.resolve_axes(axes)
        return {
            name: None if spec.shape is None else tuple(self._size(item, sizes) for item in spec.shape)
            for name, spec in specs.items()
        }

    def _size(self, item: str | int, sizes: Mapping[str, int]) -> int:
        if isinstance(item, int):
            return item
        size = sizes[item] if item in sizes else expressions.evaluate(item, sizes)
        if size < 0:
            raise DataError(
                f"'{escape(item, 60)}' is {size} in definition '{escape(self.name, 80)}', "
                "but a size should be at least 0; correct the axes"
            )
        return size


def _names(item: str, axes: Mapping[str, Any]) -> frozenset[str]:
    return frozenset({item}) if item in axes else expressions.names(item)


def _unknown_names(item: str | int, axes: Mapping[str, Any], where: str) -> Iterator[str]:
    if isinstance(item, int):
        return
    try:
        used = _names(item, axes)
    except DataError as error:
        yield f"{where} is not understood: {error}"
        return
    for name in sorted(used):
        if name not in axes:
            yield f"{where} uses axis '{escape(name, 60)}', which is not defined"


def _plain(model: BaseModel) -> dict[str, Any]:
    fields = model.model_dump(mode="json")
    return {key: value for key, value in fields.items() if key != "description" or value is not None}


def _says_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, (ast.Pass, ast.Raise)):
        return True
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
