"""Whatever happens to a file, a reader gives a value or one sentence."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_fib.data.definition import Definition
from pytest_fib.data.readers import read_definition, read_solution, read_traces, read_workloads
from pytest_fib.data.solution import path_problem
from pytest_fib.data.trace import Trace
from pytest_fib.data.workload import Workload
from pytest_fib.errors import DataError

DEFINITION = {
    "name": "scale",
    "op_type": "scale",
    "axes": {
        "rows": {"type": "var"},
        "n": {"type": "const", "value": 64, "description": "columns"},
        "half": {"type": "expr", "expression": "n / 2"},
    },
    "inputs": {
        "x": {"shape": ["rows", "n", "half * 2", 1], "dtype": "float8_e4m3fn", "optional": True},
        "factor": {"shape": None, "dtype": "float32"},
    },
    "outputs": {"y": {"shape": ["rows", "n"], "dtype": "float32", "description": "scaled"}},
    "reference": "def run(x, factor):\n    return x * factor\n",
    "constraints": ["rows >= 1", "n == x.shape[1]"],
    "tags": ["status:verified"],
    "custom_inputs_entrypoint": None,
}
WORKLOAD = {
    "axes": {"rows": 3, "n": 64},
    "inputs": {
        "a": {"type": "random"},
        "b": {"type": "custom"},
        "c": {"type": "scalar", "value": 0.5},
        "x": {"type": "safetensors", "path": "./blob/x.safetensors", "tensor_key": "x"},
    },
    "uuid": "linbwd-001",
    "tolerance": {"max_atol": 0.1},
}
LINE = {"definition": "scale", "solution": None, "workload": WORKLOAD, "evaluation": None}
SOLUTION = {
    "name": "plain",
    "definition": "scale",
    "author": "someone",
    "spec": {
        "language": "python",
        "target_hardware": ["cpu"],
        "entry_point": "main.py::run",
        "dependencies": ["torch"],
        "destination_passing_style": False,
        "binding": None,
        "build_steps": ["make"],
    },
    "sources": [
        {"path": "main.py", "content": "def run(x): ...\n"},
        {"path": "lib/helper.py", "content": "PYBIND11_MODULE"},
    ],
    "description": None,
}
TRACE = {
    "definition": "scale",
    "workload": WORKLOAD,
    "solution": "plain",
    "evaluation": {
        "status": "PASSED",
        "environment": {"hardware": "cpu", "libs": {"torch": "2"}},
        "timestamp": "now",
        "log": "text",
        "correctness": {
            "max_relative_error": "inf",
            "max_absolute_error": 1,
            "extra": {"ratio": [0.5, None]},
        },
        "performance": {"latency_ms": 1.5, "reference_latency_ms": 3, "speedup_factor": 2},
    },
}

TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            "../../etc/passwd",
            "main.py",
            "Main.py",
            "main.py/x",
            "a::b",
            "::error::",
            "\x1b[2J",
            "\u202e",
            "n / 0",
        ]
    ),
    st.sampled_from(
        [
            "rows",
            "n",
            "type",
            "const",
            "expr",
            "scalar",
            "uuid",
            "inf",
            "PASSED",
            "TIMEOUT",
            "()" * 50,
            "-" * 399,
        ]
    ),
)
NUMBERS = st.one_of(
    st.integers(-3, 3), st.sampled_from([2**31, 2**63, -(2**63), 2**64, 10**400]), st.floats()
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
TOKENS = st.sampled_from(
    [
        *(b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"null", b"true", b"-1", b"0.5"),
        *(b"[" * 3000, b"{", b"}", b'"', b",", b":", b"\\", b"\\ud800", b"\\u0000"),
        *(b"\xff", b"\x00", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\r", b"\n"),
    ]
)
KIT_CONFIG = b"""[solution]
name = "a"
definition = "d"
author = "b"
[build]
language = "python"
entry_point = "m.py::run"
"""


def containers(value: Any) -> Iterator[Any]:
    """Every non-empty object and list in a JSON value."""
    if isinstance(value, (dict, list)) and value:
        yield value
        for child in value.values() if isinstance(value, dict) else value:
            yield from containers(child)


@st.composite
def mutated(draw: st.DrawFn, seed: Any) -> Any:
    """A JSON value with one to three things replaced, removed, renamed, doubled or moved."""
    value = copy.deepcopy(seed)
    for _ in range(draw(st.integers(1, 3))):
        places = list(containers(value))
        if not places:
            break
        place = draw(st.sampled_from(places))
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        action = draw(st.sampled_from(["replace", "remove", "rename", "double", "move"]))
        if action == "replace":
            place[key] = draw(VALUES)
        elif action == "remove":
            del place[key]
        elif action == "rename" and isinstance(place, dict):
            place[draw(TEXTS)] = place.pop(key)
        elif action == "double" and isinstance(place, list):
            place.insert(0, copy.deepcopy(place[key]))
        elif action == "move":
            place[key] = copy.deepcopy(draw(st.sampled_from(places)))
    return value


@st.composite
def damaged(draw: st.DrawFn, raw: bytes) -> bytes:
    """Bytes with one to four stretches overwritten, inserted or cut."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(raw)))
        stop = min(len(raw), start + draw(st.sampled_from([0, 0, 1, 2, 7, 50, 10_000])))
        raw = raw[:start] + draw(TOKENS | st.binary(max_size=4)) + raw[stop:]
    return raw


def files_like(seed: Any) -> st.SearchStrategy[bytes]:
    """Files that began as ``seed``."""
    whole = mutated(seed).map(lambda value: json.dumps(value).encode())
    return st.one_of(whole, damaged(json.dumps(seed).encode()), whole.flatmap(damaged))


def write(folder: Path, name: str, raw: bytes) -> Path:
    path = folder / name
    path.write_bytes(raw)
    return path


def read_or_sentence(read: Callable[[Path], Any], path: Path) -> Any:
    try:
        return read(path)
    except DataError as error:
        check_sentence(error, path)
        return None


def check_sentence(error: Exception, path: Path | None = None) -> None:
    message = str(error)
    assert path is None or message.startswith(f"{path}")
    assert message.isprintable(), "one line that a terminal can show"
    assert len(message) < 1500
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__, "no traceback behind it"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutations")


@given(raw=files_like(DEFINITION))
@example(raw=b"")
@example(raw=json.dumps(DEFINITION).encode())
def test_definitions(raw: bytes, folder: Path) -> None:
    definition = read_or_sentence(read_definition, write(folder, "definition.json", raw))
    if definition is None:
        return
    again = read_definition(write(folder, "again.json", definition.to_json().encode()))
    assert (again.name, list(again.inputs), again.reference) == (
        definition.name,
        list(definition.inputs),
        definition.reference,
    )
    problem = definition.reference_problem()
    assert problem is None or problem.isprintable()
    shapes = shapes_or_sentence(definition)
    assert all(size >= 0 for shape in shapes for size in shape or ())


def shapes_or_sentence(definition: Definition) -> list[tuple[int, ...] | None]:
    try:
        violated = definition.check_constraints({"rows": 3})
        shapes = [
            *definition.input_shapes({"rows": 3}).values(),
            *definition.output_shapes({"rows": 3}).values(),
        ]
    except DataError as error:
        check_sentence(error)
        return []
    assert set(violated) <= set(definition.constraints)
    return shapes


def check_workload(workload: Workload) -> None:
    assert workload.uuid
    assert all(type(size) is int and 0 <= size < 2**63 for size in workload.axes.values())
    line = Trace(definition="d", workload=workload).to_json_line()
    written = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert written["workload"]["axes"] == workload.axes
    assert set(written["workload"]) == {"axes", "inputs", "uuid"}


@given(raw=st.one_of(files_like(LINE), files_like(WORKLOAD), files_like(TRACE)))
@example(raw=json.dumps(LINE).encode())
def test_workloads(raw: bytes, folder: Path) -> None:
    for name in ("w.jsonl", "w.json"):
        path = write(folder, name, raw)
        for line in read_or_sentence(lambda path: list(read_workloads(path)), path) or ():
            if isinstance(line, DataError):
                check_sentence(line, path)
            else:
                assert line.definition
                check_workload(line.workload)


@given(raw=st.one_of(files_like(TRACE), files_like(LINE)))
@example(raw=json.dumps(TRACE).encode())
def test_traces(raw: bytes, folder: Path) -> None:
    path = write(folder, "t.jsonl", raw)
    for trace in read_traces(path):
        if isinstance(trace, DataError):
            check_sentence(trace, path)
            continue
        line = trace.to_json_line()
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
        (again,) = read_traces(write(folder, "again.jsonl", line.encode()))
        assert isinstance(again, Trace)
        assert again.to_json_line() == line


@given(raw=files_like(SOLUTION))
@example(raw=json.dumps(SOLUTION).encode())
def test_solutions(raw: bytes, folder: Path) -> None:
    loaded = read_or_sentence(read_solution, write(folder, "solution.json", raw))
    if loaded is None:
        return
    solution = loaded.solution
    assert all(note.isprintable() for note in loaded.notes)
    assert not any(path_problem(source.path) for source in solution.sources)
    assert solution.entry_file in [source.path for source in solution.sources]
    assert len(solution.official_hash) == 40
    again = read_solution(write(folder, "again.json", solution.to_json().encode()))
    assert again.solution.content_hash == solution.content_hash


@given(raw=st.binary(max_size=200))
def test_any_bytes(raw: bytes, folder: Path) -> None:
    read_or_sentence(read_definition, write(folder, "any.json", raw))
    read_or_sentence(read_solution, folder / "any.json")
    for line in read_workloads(write(folder, "any.jsonl", raw)):
        assert isinstance(line, DataError)


@given(config=damaged(KIT_CONFIG))
def test_starter_kits(config: bytes, folder: Path) -> None:
    kit = folder / "kit"
    source = kit / "solution" / "python"
    source.mkdir(parents=True, exist_ok=True)
    (source / "m.py").write_text("def run(): ...\n")
    write(kit, "config.toml", config)
    loaded = read_or_sentence(read_solution, kit)
    assert loaded is None or [source.path for source in loaded.solution.sources] == ["m.py"]
