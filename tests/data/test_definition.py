from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_fib.data.definition import Definition
from pytest_fib.data.readers import definition_remarks, read_definition
from pytest_fib.errors import DataError

Json = dict[str, Any]
Write = Callable[..., Path]


def test_shapes_follow_the_axes(definition_json: Json, write: Write) -> None:
    definition = read_definition(write("d.json", definition_json))
    assert definition.resolve_axes({"rows": 3}) == {"rows": 3, "n": 64}
    assert definition.input_shapes({"rows": 3}) == {"x": (3, 64), "factor": None}
    assert definition.output_shapes({"rows": 0}) == {"y": (0, 64)}


def test_constant_and_unknown_axes_may_be_stated(definition_json: Json, write: Write) -> None:
    definition = read_definition(write("d.json", definition_json))
    assert definition.resolve_axes({"rows": 3, "n": 64, "page_size": 1}) == {"rows": 3, "n": 64}


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({}, "does not say how large axis 'rows'"),
        ({"rows": 3, "n": 65}, "axis 'n' is 64"),
        ({"n": 64}, "'rows'"),
    ],
)
def test_missing_and_contradicting_axes_are_named(
    axes: dict[str, int], words: str, definition_json: Json, write: Write
) -> None:
    definition = read_definition(write("d.json", definition_json))
    with pytest.raises(DataError, match=words):
        definition.input_shapes(axes)


def test_integers_and_arithmetic_in_shapes(definition_json: Json, write: Write) -> None:
    definition_json["axes"]["half"] = {"type": "expr", "expression": "n / 2"}
    definition_json["axes"]["quarter"] = {"type": "expr", "expression": "half / 2"}
    definition_json["inputs"]["x"]["shape"] = ["rows", 1, "n / 2", "half + quarter", "quarter"]
    definition = read_definition(write("d.json", definition_json))
    assert definition.input_shapes({"rows": 3})["x"] == (3, 1, 32, 48, 16)


def test_the_official_schema_gets_axes_for_integers_and_arithmetic(
    definition_json: Json, write: Write
) -> None:
    definition_json["axes"]["half"] = {"type": "expr", "expression": "n / 2"}
    definition_json["inputs"]["x"]["shape"] = ["rows", 1, "n / 2", "half", "rows + 1"]
    definition_json["inputs"]["x"]["optional"] = True
    definition = read_definition(write("d.json", definition_json))
    written = json.loads(definition.to_json())
    assert written["inputs"]["x"] == {"shape": ["rows", "1", "n / 2", "half", "rows + 1"], "dtype": "float32"}
    assert written["axes"]["1"] == {"type": "const", "value": 1}
    assert written["axes"]["n / 2"] == {"type": "const", "value": 32}
    assert written["axes"]["half"] == {"type": "const", "value": 32}
    assert written["axes"]["rows + 1"] == {"type": "var"}
    assert read_definition(write("again.json", written)).input_shapes({"rows": 3, "rows + 1": 4})["x"] == (
        *definition.input_shapes({"rows": 3})["x"],  # type: ignore[misc]
    )


def test_a_plain_definition_is_written_as_it_was_read(definition_json: Json, write: Write) -> None:
    definition = read_definition(write("d.json", definition_json))
    assert json.loads(definition.to_json()) == definition_json
    assert read_definition(write("again.json", definition.to_json())) == definition


def test_null_is_a_python_scalar_and_an_empty_shape_a_tensor(definition_json: Json, write: Write) -> None:
    definition_json["inputs"]["factor"]["shape"] = []
    definition = read_definition(write("d.json", definition_json))
    assert definition.input_shapes({"rows": 1})["factor"] == ()


def _changed(**changes: Any) -> Callable[[Json], None]:
    def change(value: Json) -> None:
        for key, new in changes.items():
            if new is ...:
                del value[key]
            else:
                value[key] = new

    return change


def _tensor(**changes: Any) -> Callable[[Json], None]:
    return lambda value: _changed(**changes)(value["inputs"]["x"])


ACCEPTED = {
    "type instead of op_type": _changed(op_type=..., type="scale"),
    "no op_type": _changed(op_type=...),
    "null op_type": _changed(op_type=None),
    "constraints null": _changed(constraints=None),
    "constraints and tags absent": _changed(constraints=..., tags=..., description=...),
    "tags null": _changed(tags=None),
    "no reference": _changed(reference=...),
    "reference with CRLF": _changed(reference="def run(x, factor):\r\n    return x\r\n"),
    "custom inputs": _changed(custom_inputs_entrypoint="make_inputs"),
    "custom inputs null": _changed(custom_inputs_entrypoint=None),
    "unknown key": _changed(version="0.2", parent="other"),
    "axis with parent": lambda value: value["axes"]["rows"].update(parent="batch"),
    "axes without type": _changed(axes={"rows": {}, "n": {"value": 64}}),
    "expr axis": _changed(axes={"rows": {}, "n": {"type": "expr", "expression": "rows * 2"}}),
    "optional tensor": _tensor(optional=True),
    "uint8": _tensor(dtype="uint8"),
    "float64": _tensor(dtype="float64"),
    "historic float8_e4m3": _tensor(dtype="float8_e4m3"),
    "torch.float16": _tensor(dtype="torch.float16"),
    "packed fp4": _tensor(dtype="float4_e2m1fn_x2"),
    "int literal in a shape": _tensor(shape=["rows", 1]),
    "size zero": _tensor(shape=["rows", 0]),
    "digits in a shape": _tensor(shape=["rows", "64"]),
}


@pytest.mark.parametrize("change", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_definitions_in_the_wild_are_accepted(
    change: Callable[[Json], None], definition_json: Json, write: Write
) -> None:
    change(definition_json)
    definition = read_definition(write("d.json", definition_json))
    assert definition.name == "scale_rows_n64"
    assert definition.op_type in ("scale", "")


def test_names_of_old_dtypes_become_those_of_today(definition_json: Json, write: Write) -> None:
    definition_json["inputs"]["x"]["dtype"] = "float8_e4m3"
    definition_json["outputs"]["y"]["dtype"] = "float4_e2m1fn_x2"
    definition = read_definition(write("d.json", definition_json))
    assert definition.inputs["x"].dtype == "float8_e4m3fn"
    assert definition.outputs["y"].dtype == "float4_e2m1"


REJECTED = {
    "no name": (_changed(name=...), "field 'name' is missing; add it"),
    "empty name": (_changed(name=""), "field 'name'"),
    "no outputs": (_changed(outputs={}), "field 'outputs'"),
    "inputs are a list": (_changed(inputs=[1]), "field 'inputs' should be an object"),
    "undefined axis": (_tensor(shape=["rows", "k"]), "uses axis 'k', which is not defined"),
    "undefined axis in arithmetic": (_tensor(shape=["rows * k"]), "uses axis 'k', which is not defined"),
    "code in a shape": (_tensor(shape=["__import__('os').system('true')"]), "is not arithmetic"),
    "negative size": (_tensor(shape=["rows", -1]), "field 'inputs.x.shape.1'"),
    "float in a shape": (_tensor(shape=[1.5]), "field 'inputs.x.shape' has the item 1.5"),
    "bool in a shape": (_tensor(shape=[True]), "has the item true"),
    "huge size": (_tensor(shape=[2**70]), "field 'inputs.x.shape.0'"),
    "no dtype": (_tensor(dtype=...), "field 'inputs.x.dtype' is missing"),
    "unknown dtype": (_tensor(dtype="float12"), "uint8, bool, found 'float12'"),
    "no shape": (_tensor(shape=...), "field 'inputs.x.shape' is missing"),
    "unknown axis type": (
        _changed(axes={"rows": {"type": "dim"}, "n": {}}),
        "field 'axes.rows' has the type 'dim'",
    ),
    "const axis without value": (
        _changed(axes={"rows": {}, "n": {"type": "const"}}),
        "'axes.n.value' is missing",
    ),
    "axis is a number": (
        _changed(axes={"rows": {}, "n": 64}),
        "field 'axes.n' should be an object, found 64",
    ),
    "same name in and out": (
        _changed(outputs={"x": {"shape": [], "dtype": "bool"}}),
        "both an input and an output",
    ),
    "reference is a list": (_changed(reference=["def run(): pass"]), "field 'reference'"),
}


@pytest.mark.parametrize(("change", "words"), REJECTED.values(), ids=REJECTED.keys())
def test_definitions_that_cannot_be_used_are_refused_by_field(
    change: Callable[[Json], None], words: str, definition_json: Json, write: Write
) -> None:
    change(definition_json)
    path = write("d.json", definition_json)
    with pytest.raises(DataError) as caught:
        read_definition(path)
    message = str(caught.value)
    assert words in message
    assert message.startswith(f"{path}: ")
    assert message.isprintable()


def test_a_list_of_definitions_is_refused(definition_json: Json, write: Write) -> None:
    with pytest.raises(DataError, match="found a list; give each its own file"):
        read_definition(write("d.json", [definition_json, definition_json]))


def test_axes_that_define_each_other_are_refused(definition_json: Json, write: Write) -> None:
    definition_json["axes"]["a"] = {"type": "expr", "expression": "b"}
    definition_json["axes"]["b"] = {"type": "expr", "expression": "a"}
    definition = read_definition(write("d.json", definition_json))
    with pytest.raises(DataError, match="is defined by itself"):
        definition.resolve_axes({"rows": 1})


def test_a_negative_size_is_refused_when_it_appears(definition_json: Json, write: Write) -> None:
    definition_json["inputs"]["x"]["shape"] = ["rows - 5"]
    definition = read_definition(write("d.json", definition_json))
    assert definition.input_shapes({"rows": 5})["x"] == (0,)
    with pytest.raises(DataError, match="'rows - 5' is -2"):
        definition.input_shapes({"rows": 3})


def test_only_constraints_on_axes_are_checked(definition_json: Json, write: Write) -> None:
    definition_json["constraints"] = ["rows >= 1", "rows % 2 == 0", "rows == x.shape[0]", "n == 64"]
    definition = read_definition(write("d.json", definition_json))
    assert definition.check_constraints({"rows": 3}) == ["rows % 2 == 0"]
    assert definition.check_constraints({"rows": 0}) == ["rows >= 1"]


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("", "has no reference"),
        (" \n", "has no reference"),
        ("def run(x, factor):\n    ...\n", "empty body"),
        ('def run(x, factor):\n    """Scale."""\n    raise NotImplementedError\n', "empty body"),
        ("def run(x, factor):\n    pass\n", "empty body"),
        ("def other(x):\n    return x\n", "defines no function 'run'"),
        ("run = lambda x: x\n", "defines no function 'run'"),
        ("def run(x:\n", "is not valid Python (line 1: "),
        ("def run(x):\n    return '\0'\n", "is not valid Python"),
        ("(" * 5000, "is not valid Python"),
    ],
)
def test_a_reference_that_says_nothing_is_no_oracle(
    reference: str, words: str, definition_json: Json, write: Write
) -> None:
    definition_json["reference"] = reference
    problem = read_definition(write("d.json", definition_json)).reference_problem()
    assert problem is not None
    assert words in problem
    assert "'scale_rows_n64'" in problem


def test_a_real_reference_has_no_problem(definition_json: Json, write: Write) -> None:
    assert read_definition(write("d.json", definition_json)).reference_problem() is None


def test_an_unusual_place_is_a_remark(definition_json: Json, write: Write) -> None:
    usual = write("definitions/scale/scale_rows_n64.json", definition_json)
    unusual = write("definitions/other/d.json", definition_json)
    definition = read_definition(usual)
    assert definition_remarks(definition, usual) == ()
    by_name, by_folder = definition_remarks(definition, unusual)
    assert "field 'name' is 'scale_rows_n64', unlike the file's name" in by_name
    assert "field 'op_type' is 'scale', unlike the folder's name" in by_folder


def test_a_hostile_name_is_escaped_in_messages(definition_json: Json) -> None:
    definition = Definition.model_validate(definition_json | {"name": "\x1b]0;pwned\x07\n::error::"})
    with pytest.raises(DataError) as caught:
        definition.resolve_axes({})
    assert str(caught.value).isprintable()
