"""The scalar inputs of a workload: what it states, what its op type suggests, or something sensible."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pytest_fib.data.definition import Definition
from pytest_fib.data.text import escape
from pytest_fib.data.workload import RandomInput, ScalarInput, Workload
from pytest_fib.errors import DataError
from pytest_fib.inputs import scalars
from pytest_fib.inputs.scalars import Scalar
from pytest_fib.inputs.structured import GENERATORS


def scalar_values(
    definition: Definition, workload: Workload, axes: Mapping[str, int], rng: np.random.Generator
) -> dict[str, Scalar]:
    """Return the value of every scalar input, in the definition's order; ``axes`` are all that are resolved.

    Raises
    ------
    DataError
        The workload states a scalar as something else, or a value that its dtype cannot hold.
    """
    generator = GENERATORS.get(definition.op_type)
    suggested = generator.scalars(axes, rng) if generator else {}
    values: dict[str, Scalar] = {}
    for name, spec in definition.inputs.items():
        if spec.shape is None:
            item = workload.inputs.get(name, RandomInput())
            if isinstance(item, ScalarInput):
                value: Scalar = item.value
            elif isinstance(item, RandomInput):
                value = suggested.get(name, scalars.suggested(name, spec.dtype, axes, rng))
            else:
                raise DataError(
                    f"input '{escape(name, 60)}' of workload {escape(workload.uuid, 80)} is a scalar but has type "
                    f"'{item.type}'; state it as a scalar with its value"
                )
            values[name] = scalars.converted(name, spec.dtype, value, workload.uuid)
    return values
