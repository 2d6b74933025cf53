"""Shapes that nobody published: a workload's own, with one axis that counts rows larger or smaller by one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pytest_fib.data.definition import Definition, VarAxis
from pytest_fib.data.workload import CustomInput, SafetensorsInput, Workload
from pytest_fib.errors import DataError


def neighbours(definition: Definition, workload: Workload, random: np.random.Generator) -> Iterator[Workload]:
    """Yield workloads beside ``workload`` in a secret order; whether they have valid inputs is not known yet.

    An axis counts rows if it is the first dimension of an output and no other dimension of any: kernels rely on
    multiples of widths, not of rows. Nothing is yielded where inputs are captured or made by the definition.
    """
    if any(isinstance(item, (SafetensorsInput, CustomInput)) for item in workload.inputs.values()):
        return
    names = sorted(_row_axes(definition) & workload.axes.keys())
    changes = [(name, step) for name in names for step in (-1, 1)]
    for index in random.permutation(len(changes)):
        name, step = changes[index]
        size = workload.axes[name] + step
        axes = {**workload.axes, name: size}
        if size >= 1 and _is_allowed(definition, axes):
            yield workload.model_copy(update={"axes": axes, "uuid": f"{workload.uuid} with {name}={size}"})


def described(near: Workload, workload: Workload) -> str:
    """Return what is different about ``near``, e.g. ``rows=5``."""
    return ", ".join(f"{name}={size}" for name, size in near.axes.items() if size != workload.axes.get(name))


def _row_axes(definition: Definition) -> set[str]:
    shapes = [spec.shape for spec in definition.outputs.values() if spec.shape]
    rows = {shape[0] for shape in shapes}
    widths = {item for shape in shapes for item in shape[1:]}
    return {
        name for name, axis in definition.axes.items() if isinstance(axis, VarAxis) and name in rows - widths
    }


def _is_allowed(definition: Definition, axes: dict[str, int]) -> bool:
    try:
        return not definition.check_constraints(axes)
    except DataError:
        return False
