from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytest_fib.data.definition import Definition
from pytest_fib.data.workload import Workload
from pytest_fib.judge.neighbours import described, neighbours


def found(
    axes: dict[str, int],
    output: list[str],
    constraints: tuple[str, ...] = (),
    inputs: dict[str, Any] | None = None,
) -> list[dict[str, int]]:
    definition = Definition.model_validate(
        {
            "name": "d",
            "op_type": "t",
            "axes": {**{name: {"type": "var"} for name in axes}, "h": {"type": "const", "value": 64}},
            "inputs": {"x": {"shape": [*axes, "h"], "dtype": "float32"}},
            "outputs": {"y": {"shape": output, "dtype": "float32"}},
            "reference": "def run(x): return x",
            "constraints": constraints,
        }
    )
    case = Workload.model_validate({"uuid": "w", "axes": axes, "inputs": inputs or {}})
    near = list(neighbours(definition, case, np.random.default_rng(0)))
    assert len({other.uuid for other in near} | {"w"}) == len(near) + 1
    assert all(described(other, case) for other in near)
    return [other.axes for other in near]


def test_an_axis_of_rows_changes_by_one_either_way() -> None:
    near = found({"rows": 5}, ["rows", "h"])
    assert sorted(axes["rows"] for axes in near) == [4, 6]


def test_no_axis_becomes_empty() -> None:
    assert found({"rows": 1}, ["rows", "h"]) == [{"rows": 2}]


def test_widths_stay() -> None:
    assert {axes["n"] for axes in found({"m": 8, "n": 32}, ["m", "n"])} == {32}
    assert found({"m": 8}, ["m", "m"]) == []
    assert found({"m": 8}, ["h"]) == []


def test_axes_that_constraints_tie_stay() -> None:
    assert found({"rows": 8, "ends": 9}, ["rows", "h"], ("ends == rows + 1",)) == []
    assert found({"rows": 8}, ["rows", "h"], ("rows % 8 == 0",)) == []


@pytest.mark.parametrize(
    "item", [{"type": "custom"}, {"type": "safetensors", "path": "a", "tensor_key": "x"}]
)
def test_inputs_that_belong_to_one_shape_stay(item: dict[str, str]) -> None:
    assert found({"rows": 5}, ["rows", "h"], inputs={"x": item}) == []


def test_which_one_comes_first_is_random() -> None:
    definition = Definition.model_validate(
        {
            "name": "d",
            "op_type": "t",
            "axes": {"rows": {"type": "var"}},
            "inputs": {"x": {"shape": ["rows"], "dtype": "float32"}},
            "outputs": {"y": {"shape": ["rows"], "dtype": "float32"}},
            "reference": "def run(x): return x",
        }
    )
    case = Workload.model_validate({"uuid": "w", "axes": {"rows": 5}, "inputs": {}})
    first = {
        next(neighbours(definition, case, np.random.default_rng(seed))).axes["rows"] for seed in range(20)
    }
    assert first == {4, 6}
