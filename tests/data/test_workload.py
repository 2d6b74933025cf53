from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_fib.data.readers import read_workloads
from pytest_fib.data.workload import CustomInput, RandomInput, SafetensorsInput, ScalarInput, WorkloadLine
from pytest_fib.errors import DataError

Json = dict[str, Any]
Write = Callable[..., Path]


def lines_of(path: Path) -> list[WorkloadLine]:
    found = list(read_workloads(path))
    assert not [line for line in found if isinstance(line, DataError)]
    return [line for line in found if isinstance(line, WorkloadLine)]


def errors_of(path: Path) -> list[str]:
    return [str(line) for line in read_workloads(path) if isinstance(line, DataError)]


def test_a_canonical_line(workload_json: Json, write: Write) -> None:
    path = write(
        "w.jsonl", {"definition": "d", "solution": None, "workload": workload_json, "evaluation": None}
    )
    (line,) = lines_of(path)
    assert (line.definition, line.path, line.lineno) == ("d", path, 1)
    assert line.workload.uuid == workload_json["uuid"]
    assert line.workload.axes == {"rows": 3}
    assert line.workload.inputs == {
        "x": SafetensorsInput(path="./blob/x.safetensors", tensor_key="x"),
        "factor": ScalarInput(value=0.5),
    }


def wrapped(**changes: Any) -> Callable[[Json], Json]:
    return lambda workload: {"definition": "named", "workload": workload, **changes}


def inner(**changes: Any) -> Callable[[Json], Json]:
    def change(workload: Json) -> Json:
        workload = {**workload, **changes}
        return {
            "definition": "named",
            "workload": {key: value for key, value in workload.items() if value is not ...},
        }

    return change


ACCEPTED = {
    "without solution and evaluation": wrapped(),
    "legacy empty solution and evaluation": wrapped(solution="", evaluation={}),
    "empty solution, no evaluation": wrapped(solution=""),
    "flat": lambda workload: workload,
    "flat without uuid": lambda workload: {key: workload[key] for key in ("axes", "inputs")},
    "flat with unknown key": lambda workload: workload | {"note": "x"},
    "uuid null": inner(uuid=None),
    "free uuid": inner(uuid="linbwd-001"),
    "axis of size zero": inner(axes={"rows": 0}),
    "garbage axis": inner(axes={"rows": 10**12}),
    "tolerance null": inner(tolerance=None),
    "no inputs at all": inner(inputs={}),
}


@pytest.mark.parametrize("shape", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_workloads_in_the_wild_are_accepted(
    shape: Callable[[Json], Json], workload_json: Json, write: Write
) -> None:
    (line,) = lines_of(write("stem.jsonl", shape(workload_json)))
    assert line.definition in ("named", "stem")
    assert line.workload.uuid


def test_every_kind_of_input(workload_json: Json, write: Write) -> None:
    workload_json["inputs"] = {
        "a": {"type": "random", "ignored": 1},
        "b": {"type": "custom"},
        "c": {"type": "scalar", "value": True},
        "d": {"type": "scalar", "value": 7},
        "e": {"type": "scalar", "value": "Infinity"},
    }
    (line,) = lines_of(write("w.jsonl", workload_json))
    assert line.workload.inputs == {
        "a": RandomInput(),
        "b": CustomInput(),
        "c": ScalarInput(value=True),
        "d": ScalarInput(value=7),
        "e": ScalarInput(value=float("inf")),
    }
    assert [type(item.value) for item in line.workload.inputs.values() if isinstance(item, ScalarInput)] == [
        bool,
        int,
        float,
    ]


def test_a_workload_may_have_its_own_tolerance_which_is_never_written(
    workload_json: Json, write: Write
) -> None:
    tolerance = {
        "max_atol": 0.1,
        "max_rtol": 0.2,
        "required_matched_ratio": 0.9,
        "allow_negative_inf": True,
        "else": 1,
    }
    (line,) = lines_of(write("w.jsonl", workload_json | {"tolerance": tolerance}))
    assert line.workload.tolerance is not None
    assert line.workload.tolerance.max_rtol == 0.2
    assert "tolerance" not in json.loads(line.workload.model_dump_json())


def test_a_flat_line_is_about_the_definition_beside_it(
    workload_json: Json, definition_json: Json, write: Write
) -> None:
    write("problem/definition.json", definition_json)
    (line,) = lines_of(write("problem/workload.jsonl", workload_json))
    assert line.definition == "scale_rows_n64"


def test_one_workload_may_be_a_json_file(workload_json: Json, write: Write) -> None:
    path = write("w.json", json.dumps({"definition": "d", "workload": workload_json}, indent=2))
    (line,) = lines_of(path)
    assert (line.definition, line.lineno) == ("d", 1)


def test_made_ids_depend_on_content_only(workload_json: Json, write: Write) -> None:
    del workload_json["uuid"]
    other = {"inputs": workload_json["inputs"], "axes": {"rows": 4}}
    swapped = dict(reversed(workload_json.items()))
    first = lines_of(write("a.jsonl", workload_json, other))
    second = lines_of(write("b.jsonl", "", other, "  ", swapped))
    assert [line.workload.uuid for line in first] == [line.workload.uuid for line in reversed(second)]
    assert [line.lineno for line in second] == [2, 4]


def test_equal_lines_without_ids_get_different_ones(workload_json: Json, write: Write) -> None:
    del workload_json["uuid"]
    first, second = lines_of(write("w.jsonl", workload_json, workload_json))
    assert second.workload.uuid == first.workload.uuid + "-2"


def test_a_repeated_id_is_an_error_of_that_line_alone(workload_json: Json, write: Write) -> None:
    path = write("w.jsonl", workload_json, workload_json, workload_json | {"uuid": "other"})
    first, second, third = read_workloads(path)
    assert isinstance(first, WorkloadLine)
    assert str(second) == (
        f"{path}:2: uuid '{workload_json['uuid']}' is already that of line 1; give it one of its own"
    )
    assert isinstance(third, WorkloadLine)


REJECTED = {
    "trace": (wrapped(solution="s", evaluation={"status": "PASSED"}), "this is a trace"),
    "a list": (lambda workload: [workload], "a workload should be one JSON object, found a list"),
    "a number": (lambda _: 5, "a workload should be a JSON object, found 5"),
    "workload is null": (
        lambda _: {"definition": "d", "workload": None},
        "field 'workload' should be a JSON object",
    ),
    "definition is a number": (wrapped(definition=5), "field 'definition' should be a name, found 5"),
    "input_shapes": (inner(inputs=..., input_shapes={}), "there is 'input_shapes' instead of 'inputs'"),
    "no axes": (inner(axes=...), "field 'axes' is missing; add it"),
    "negative axis": (
        inner(axes={"rows": -3}),
        "field 'axes.rows' should be at least 0, found -3",
    ),
    "axis is a float": (inner(axes={"rows": 1.5}), "field 'axes.rows'"),
    "axis is a bool": (inner(axes={"rows": True}), "field 'axes.rows'"),
    "axis is huge": (inner(axes={"rows": 2**63}), "field 'axes.rows'"),
    "format instead of type": (
        inner(inputs={"x": {"format": "npy", "path": "/x"}}),
        "input 'x' has no 'type', only 'format'",
    ),
    "input without type": (inner(inputs={"x": {}}), "input 'x' has no 'type'; write random, scalar"),
    "unknown type": (
        inner(inputs={"x": {"type": "zeros"}}),
        "field 'inputs.x' has the type 'zeros'; use one of",
    ),
    "input is a text": (
        inner(inputs={"x": "random"}),
        "field 'inputs.x' should be an object, found 'random'",
    ),
    "scalar without value": (inner(inputs={"x": {"type": "scalar"}}), "input 'x' is a scalar of value null"),
    "scalar text": (
        inner(inputs={"x": {"type": "scalar", "value": "yes"}}),
        "input 'x' is a scalar of value 'yes'",
    ),
    "scalar too large": (
        inner(inputs={"x": {"type": "scalar", "value": 2**64}}),
        "a scalar should fit 64 bits",
    ),
    "no tensor key": (
        inner(inputs={"x": {"type": "safetensors", "path": "x"}}),
        "'inputs.x.tensor_key' is missing",
    ),
    "uuid is a number": (inner(uuid=5), "field 'uuid'"),
}


@pytest.mark.parametrize(("shape", "words"), REJECTED.values(), ids=REJECTED.keys())
def test_lines_that_cannot_be_used_are_refused_by_field(
    shape: Callable[[Json], Any], words: str, workload_json: Json, write: Write
) -> None:
    path = write("w.jsonl", shape(workload_json), workload_json)
    first, second = read_workloads(path)
    assert isinstance(first, DataError)
    assert words in str(first)
    assert str(first).startswith(f"{path}:1: ")
    assert str(first).isprintable()
    assert isinstance(second, WorkloadLine), "one bad line leaves the others alone"


def test_bytes_that_are_not_json_spoil_their_own_line_only(workload_json: Json, write: Write) -> None:
    good = json.dumps(workload_json)
    path = write(
        "w.jsonl", b"\xff\xfe", b'{"axes": {}', b"\x00", "[" * 100_000, '"\\ud800"', "{" + "1" * 5000, good
    )
    messages = errors_of(path)
    assert [message.removeprefix(f"{path}:").split(":")[0] for message in messages] == list("123456")
    assert all(message.isprintable() for message in messages)


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_line_ends_and_byte_order_marks(bom: bytes, end: bytes, workload_json: Json, tmp_path: Path) -> None:
    path = tmp_path / "w.jsonl"
    path.write_bytes(bom + json.dumps(workload_json).encode() + end)
    assert len(lines_of(path)) == 1


def test_reading_is_lazy(workload_json: Json, write: Write) -> None:
    reader = read_workloads(write("w.jsonl", workload_json, "nonsense"))
    assert isinstance(next(reader), WorkloadLine)


def test_a_missing_file_is_said_on_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"w\.jsonl: cannot be read \(no such file or directory\); check the path"
    ):
        next(read_workloads(tmp_path / "w.jsonl"))


def test_reading_costs_little_more_than_parsing(workload_json: Json, write: Write) -> None:
    values = [
        {
            "definition": "d",
            "solution": None,
            "workload": workload_json | {"uuid": f"u{i}"},
            "evaluation": None,
        }
        for i in range(2000)
    ]
    path = write("w.jsonl", *values)

    def seconds(action: Callable[[], object]) -> float:
        start = time.perf_counter()
        action()
        return time.perf_counter() - start

    reading = min(seconds(lambda: list(read_workloads(path))) for _ in range(5))
    parsing = min(
        seconds(lambda: [json.loads(raw) for raw in path.read_bytes().splitlines()]) for _ in range(5)
    )
    assert reading < 6 * parsing  # measured: 1.5 to 2
