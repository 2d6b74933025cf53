"""What we write is accepted by the official models, which are asked only where they are installed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.data.definition import Definition
from pytest_fib.data.readers import read_definition, read_solution, read_traces, read_workloads
from pytest_fib.data.solution import LANGUAGES, BuildSpec, Solution, SourceFile
from pytest_fib.data.trace import (
    Correctness,
    Environment,
    EvaluationStatus,
    Performance,
    Trace,
    TraceEvaluation,
)
from pytest_fib.data.workload import (
    CustomInput,
    RandomInput,
    SafetensorsInput,
    ScalarInput,
    Workload,
    WorkloadLine,
)

official: Any = pytest.importorskip("flashinfer_bench.data")

NAMES = st.text(min_size=1, max_size=20)
TEXTS = st.text(max_size=30)
SCALARS = st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats()
INPUTS = st.one_of(
    st.builds(RandomInput),
    st.builds(CustomInput),
    st.builds(ScalarInput, value=SCALARS),
    st.builds(SafetensorsInput, path=NAMES, tensor_key=NAMES),
)
WORKLOADS = st.builds(
    Workload,
    axes=st.dictionaries(NAMES, st.integers(0, 2**63 - 1), max_size=3),
    inputs=st.dictionaries(NAMES, INPUTS, max_size=3),
    uuid=NAMES,
    tolerance=st.none(),
)
MILLISECONDS = st.floats(0, allow_infinity=False)
ERRORS = st.floats(0) | st.just(math.nan)
EXTRAS = st.none() | st.dictionaries(
    NAMES, st.floats() | TEXTS | st.none() | st.lists(st.integers()), max_size=3
)


@st.composite
def evaluations(draw: st.DrawFn) -> TraceEvaluation:
    status = draw(st.sampled_from(EvaluationStatus))
    passed = status is EvaluationStatus.PASSED
    compared = passed or status is EvaluationStatus.INCORRECT_NUMERICAL
    correctness = st.builds(Correctness, max_relative_error=ERRORS, max_absolute_error=ERRORS, extra=EXTRAS)
    performance = st.builds(
        Performance, latency_ms=MILLISECONDS, reference_latency_ms=MILLISECONDS, speedup_factor=MILLISECONDS
    )
    return TraceEvaluation(
        status=status,
        environment=Environment(hardware=draw(NAMES), libs=draw(st.dictionaries(NAMES, TEXTS, max_size=2))),
        timestamp=draw(NAMES),
        log=draw(st.text(st.characters(), max_size=30)),
        correctness=draw(correctness) if compared else None,
        performance=draw(performance) if passed else None,
    )


@given(
    st.builds(
        Trace, definition=NAMES, workload=WORKLOADS, solution=st.none() | TEXTS, evaluation=evaluations()
    )
)
def test_every_trace_that_we_can_write_is_accepted(trace: Trace) -> None:
    line = trace.to_json_line()
    theirs = official.Trace.model_validate_json(line)
    assert theirs.definition == trace.definition
    assert theirs.workload.axes == trace.workload.axes
    assert trace.evaluation is not None
    assert theirs.evaluation.status.value == trace.evaluation.status.value


@given(
    st.builds(Trace, definition=NAMES, workload=WORKLOADS, solution=st.just("s"), evaluation=evaluations())
)
def test_what_they_write_of_it_is_what_we_wrote(trace: Trace) -> None:
    ours = json.loads(trace.to_json_line())
    theirs = json.loads(official.Trace.model_validate_json(trace.to_json_line()).model_dump_json())
    for value in (ours, theirs):
        for item in value["workload"]["inputs"].values():
            if item["type"] == "scalar" and not isinstance(item["value"], int):
                del item["value"]  # they lose infinite scalars
    assert list(ours) == list(theirs)
    assert ours == theirs


PATHS = st.lists(
    st.sampled_from(["a.py", "b.cu", "lib/c.h", "lib/d e.py"]), min_size=1, max_size=4, unique=True
)


@st.composite
def solutions(draw: st.DrawFn) -> Solution:
    paths = draw(PATHS)
    return Solution(
        name=draw(NAMES),
        definition=draw(NAMES),
        author=draw(NAMES),
        spec=BuildSpec(
            language=draw(st.sampled_from(sorted(LANGUAGES))),
            target_hardware=tuple(draw(st.lists(TEXTS, min_size=1, max_size=2))),
            entry_point=f"{paths[0]}::run",
            dependencies=tuple(draw(st.lists(NAMES, max_size=2))),
            destination_passing_style=draw(st.none() | st.booleans()),
            binding=draw(st.sampled_from([None, "torch", "tvm-ffi"])),
        ),
        sources=tuple(SourceFile(path=path, content=draw(st.text(min_size=1))) for path in paths),
        description=draw(st.none() | TEXTS),
    )


@given(solutions())
def test_solutions_are_accepted_and_have_their_official_hash(solution: Solution) -> None:
    theirs = official.Solution.model_validate_json(solution.to_json())
    assert theirs.hash() == solution.official_hash
    said = solution.spec.destination_passing_style
    assert theirs.spec.destination_passing_style is (True if said is None else said)


def test_definitions_are_accepted(definition_json: dict[str, Any]) -> None:
    definition_json["axes"]["half"] = {"type": "expr", "expression": "n / 2"}
    definition_json["inputs"]["x"] |= {"shape": ["rows", 1, "half", "rows * 2"], "optional": True}
    definition = Definition.model_validate(definition_json | {"custom_inputs_entrypoint": "make"})
    theirs = official.Definition.model_validate_json(definition.to_json())
    assert theirs.inputs["x"].shape == ["rows", "1", "half", "rows * 2"]
    assert theirs.const_axes == {"n": 64, "half": 32, "1": 1}


def test_definitions_and_workloads_of_this_repository_are_accepted(pytestconfig: pytest.Config) -> None:
    root = pytestconfig.rootpath / "tracesets"
    definitions = sorted(root.glob("*/definitions/**/*.json"))
    assert definitions
    for path in definitions:
        theirs = official.Definition.model_validate_json(read_definition(path).to_json())
        assert theirs == official.Definition.model_validate_json(path.read_bytes())
    for path in sorted(root.glob("*/workloads/**/*.jsonl")):
        for line in read_workloads(path):
            assert isinstance(line, WorkloadLine)
            written = Trace(definition=line.definition, workload=line.workload).to_json_line()
            assert official.Trace.model_validate_json(written).is_workload_trace()


def test_solutions_of_this_repository_are_accepted(pytestconfig: pytest.Config) -> None:
    for path in sorted((pytestconfig.rootpath / "solutions").rglob("*.json")):
        solution = read_solution(path).solution
        theirs = official.Solution.model_validate_json(solution.to_json())
        assert theirs.hash() == solution.official_hash
        assert theirs == official.Solution.model_validate_json(path.read_bytes())


def test_all_interfaces_are_accepted_once_they_have_a_reference(shared_dataset: Path) -> None:
    for path in sorted((shared_dataset / "interfaces").rglob("*.json")):
        written = json.loads(read_definition(path).to_json()) | {"reference": "def run(): ..."}
        assert official.Definition.model_validate(written).name == path.stem


def test_traces_that_they_write_are_read(trace_json: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(official.Trace.model_validate(trace_json).model_dump_json())
    (trace,) = read_traces(path)
    assert isinstance(trace, Trace)
    assert json.loads(trace.to_json_line()) == trace_json
