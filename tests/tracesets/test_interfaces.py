"""Our definitions have the official interfaces, and every official interface has a reference of ours."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pytest_fib.data.definition import Definition
from pytest_fib.data.readers import definition_remarks, read_definition

TRACESETS = Path(__file__).resolve().parents[2] / "tracesets"
FULL_SIZE = sorted(
    path for group in ("flashinfer", "mlsys26") for path in TRACESETS.glob(f"{group}/definitions/*/*")
)
FIELDS = ("name", "op_type", "axes", "inputs", "outputs", "constraints")


@pytest.mark.parametrize("path", FULL_SIZE, ids=lambda path: f"{path.parents[2].name}-{path.stem}")
def test_a_definition_of_full_size_is_an_official_interface(path: Path, shared_dataset: Path) -> None:
    ours = read_definition(path)
    official = read_definition(shared_dataset / "interfaces" / ours.op_type / path.name)
    for field in FIELDS:
        assert getattr(ours, field) == getattr(official, field)
    assert [list(ours.axes), list(ours.inputs), list(ours.outputs)] == [
        list(official.axes),
        list(official.inputs),
        list(official.outputs),
    ]


def test_no_definition_is_in_two_trace_sets() -> None:
    names = [path.stem for path in TRACESETS.glob("*/definitions/*/*.json")]
    assert len(names) == len(set(names))


def test_every_official_op_type_has_a_definition_of_full_size_and_a_small_one(shared_dataset: Path) -> None:
    op_types = {path.name for path in (shared_dataset / "interfaces").iterdir()}
    assert {path.parent.name for path in FULL_SIZE} == op_types
    assert {path.name for path in (TRACESETS / "mini" / "definitions").iterdir()} == op_types


def interface_shape(definition: Definition) -> Any:
    """What stays of an interface when the sizes of its constant axes are not looked at."""
    return (
        definition.op_type,
        {name: axis.type for name, axis in definition.axes.items()},
        dict(definition.inputs),
        dict(definition.outputs),
        definition.constraints,
    )


@pytest.mark.parametrize(
    "path", sorted(TRACESETS.glob("mini/definitions/*/*.json")), ids=lambda path: path.stem
)
def test_a_small_definition_is_an_official_interface_but_for_its_sizes(
    path: Path, shared_dataset: Path
) -> None:
    ours = read_definition(path)
    official = [
        read_definition(file) for file in (shared_dataset / "interfaces" / ours.op_type).glob("*.json")
    ]
    assert interface_shape(ours) in [interface_shape(definition) for definition in official]


def test_every_official_interface_gets_a_reference_that_takes_its_inputs(
    generate: ModuleType, shared_dataset: Path
) -> None:
    paths = sorted((shared_dataset / "interfaces").glob("*/*.json"))
    assert len(paths) == 156
    for path in paths:
        definition = Definition.model_validate(
            generate.definition_for_interface(json.loads(path.read_text()))
        )
        assert definition.reference_problem() is None
        assert not definition_remarks(definition, path)
        namespace: dict[str, Any] = {}
        exec(definition.reference, namespace)
        assert set(inspect.signature(namespace["run"]).parameters) == set(definition.inputs)
