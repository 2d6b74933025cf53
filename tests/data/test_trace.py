from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pytest_fib.data.readers import read_traces
from pytest_fib.data.trace import (
    Correctness,
    Environment,
    EvaluationStatus,
    Performance,
    Trace,
    TraceEvaluation,
)
from pytest_fib.data.workload import CustomInput, ScalarInput, Workload, WorkloadTolerance
from pytest_fib.errors import DataError

Json = dict[str, Any]
Write = Callable[..., Path]
WITHOUT_NUMBERS = ["INCORRECT_SHAPE", "INCORRECT_DTYPE", "RUNTIME_ERROR", "COMPILE_ERROR", "TIMEOUT"]


def traces_of(path: Path) -> list[Trace]:
    found = list(read_traces(path))
    assert not [trace for trace in found if isinstance(trace, DataError)]
    return [trace for trace in found if isinstance(trace, Trace)]


def test_a_trace_is_written_as_it_was_read(trace_json: Json, write: Write) -> None:
    (trace,) = traces_of(write("t.jsonl", trace_json))
    line = trace.to_json_line()
    assert line.endswith("}\n")
    assert "\n" not in line[:-1]
    assert json.loads(line) == trace_json
    assert traces_of(write("again.jsonl", line)) == [trace]


def test_only_official_fields_are_written() -> None:
    workload = Workload(
        axes={"n": 1},
        inputs={"x": CustomInput(), "s": ScalarInput(value=-math.inf)},
        uuid="u",
        tolerance=WorkloadTolerance(max_atol=1.0),
    )
    line = json.loads(Trace(definition="d", workload=workload).to_json_line())
    assert line == {
        "definition": "d",
        "workload": {
            "axes": {"n": 1},
            "inputs": {"x": {"type": "random"}, "s": {"type": "scalar", "value": "-Infinity"}},
            "uuid": "u",
        },
        "solution": None,
        "evaluation": None,
    }


def test_errors_may_be_infinite_or_unknown_and_the_line_stays_json() -> None:
    correctness = Correctness(
        max_relative_error=math.inf, max_absolute_error=math.nan, extra={"worst": math.inf}
    )
    written = json.loads(correctness.model_dump_json(), parse_constant=lambda name: pytest.fail(name))
    assert written == {
        "max_relative_error": "Infinity",
        "max_absolute_error": "NaN",
        "extra": {"worst": "Infinity"},
    }
    again = Correctness.model_validate(written)
    assert again.max_relative_error == math.inf
    assert math.isnan(again.max_absolute_error)


def test_what_a_candidate_printed_is_always_encodable() -> None:
    evaluation = TraceEvaluation(
        status=EvaluationStatus.RUNTIME_ERROR,
        environment=Environment(hardware="cpu"),
        timestamp="now",
        log="half \ud83d a character\x00\x1b[0m\u2028",
    )
    assert json.loads(evaluation.model_dump_json())["log"] == "half \\ud83d a character\x00\x1b[0m\u2028"


def test_a_status_prints_as_its_name() -> None:
    assert f"{EvaluationStatus.TIMEOUT} {EvaluationStatus.PASSED!s}" == "TIMEOUT PASSED"


@pytest.mark.parametrize("status", EvaluationStatus)
@pytest.mark.parametrize("with_correctness", [False, True])
@pytest.mark.parametrize("with_performance", [False, True])
def test_numbers_are_given_exactly_where_the_schema_has_them(
    status: EvaluationStatus, with_correctness: bool, with_performance: bool
) -> None:
    fields = {
        "status": status,
        "environment": Environment(hardware="cpu"),
        "timestamp": "now",
        "correctness": Correctness() if with_correctness else None,
        "performance": Performance() if with_performance else None,
    }
    passed = status is EvaluationStatus.PASSED
    fits = with_performance == passed and with_correctness == (
        passed or status.value == "INCORRECT_NUMERICAL"
    )
    if fits:
        assert TraceEvaluation.model_validate(fields).status is status
    else:
        with pytest.raises(ValidationError, match="should be"):
            TraceEvaluation.model_validate(fields)


@pytest.mark.parametrize("latency", [-1.0, math.inf, math.nan])
def test_latencies_are_finite_and_not_negative(latency: float) -> None:
    with pytest.raises(ValidationError):
        Performance(latency_ms=latency)


def test_workload_traces_have_no_solution(trace_json: Json, write: Write) -> None:
    trace_json |= {"solution": "", "evaluation": {}}
    (trace,) = traces_of(write("t.jsonl", trace_json))
    assert trace.solution is None
    assert trace.evaluation is None


@pytest.mark.parametrize("status", WITHOUT_NUMBERS)
def test_numbers_of_legacy_failures_are_dropped(status: str, trace_json: Json, write: Write) -> None:
    trace_json["evaluation"]["status"] = status
    (trace,) = traces_of(write("t.jsonl", trace_json))
    assert trace.evaluation is not None
    assert (trace.evaluation.correctness, trace.evaluation.performance) == (None, None)


def test_a_legacy_evaluation(trace_json: Json, write: Write) -> None:
    trace_json["evaluation"] = {
        "status": "PASSED",
        "environment": {"device": "NVIDIA H100", "hardware_id": 7, "libs": None},
        "timestamp": "2025-09-20T10:00:00",
        "log_file": "/tmp/x.log",
        "error": None,
        "correctness": {"max_relative_error": "inf", "max_absolute_error": "nan", "matched_ratio": 0.5},
        "performance": {"latency_ms": 1, "reference_latency_ms": 3, "speedup_factor": 3},
    }
    (trace,) = traces_of(write("t.jsonl", trace_json))
    assert trace.evaluation is not None
    assert trace.evaluation.environment == Environment(hardware="NVIDIA H100")
    assert trace.evaluation.log == ""
    assert trace.evaluation.correctness is not None
    assert trace.evaluation.correctness.max_relative_error == math.inf
    assert trace.evaluation.correctness.extra == {"matched_ratio": 0.5}


def test_one_trace_may_be_a_json_file(trace_json: Json, write: Write) -> None:
    (trace,) = traces_of(write("t.json", json.dumps(trace_json, indent=2)))
    assert trace.solution == "scale_rows_plain"


def _evaluation(**changes: Any) -> Callable[[Json], Any]:
    def change(trace: Json) -> Any:
        fields = {**trace["evaluation"], **changes}
        return trace | {"evaluation": {key: value for key, value in fields.items() if value is not ...}}

    return change


REJECTED: dict[str, tuple[Callable[[Json], Any], str]] = {
    "results of the starter kit": (lambda _: {"def": {"uuid": {"status": "PASSED"}}}, "this is not a trace"),
    "a list": (lambda trace: [trace], "a trace should be one JSON object"),
    "unknown status": (_evaluation(status="FAILED"), "field 'evaluation.status'"),
    "no status": (_evaluation(status=...), "field 'evaluation.status' is missing"),
    "no timestamp": (_evaluation(timestamp=...), "field 'evaluation.timestamp' is missing"),
    "passed without correctness": (_evaluation(correctness=None), "correctness should be given with PASSED"),
    "passed without performance": (_evaluation(performance=None), "performance should be given with PASSED"),
    "negative error": (
        _evaluation(correctness={"max_relative_error": -1}),
        "an error should not be negative",
    ),
    "no environment": (_evaluation(environment=None), "field 'evaluation.environment'"),
    "evaluation is a text": (
        lambda trace: trace | {"evaluation": "PASSED"},
        "field 'evaluation' should be a JSON object",
    ),
    "solution is a number": (lambda trace: trace | {"solution": 7}, "field 'solution'"),
}


@pytest.mark.parametrize(("change", "words"), REJECTED.values(), ids=REJECTED.keys())
def test_lines_that_are_no_traces_are_refused_by_field(
    change: Callable[[Json], Any], words: str, trace_json: Json, write: Write
) -> None:
    path = write("t.jsonl", change(trace_json), trace_json)
    first, second = read_traces(path)
    assert isinstance(first, DataError)
    assert words in str(first)
    assert str(first).startswith(f"{path}:1: ")
    assert isinstance(second, Trace)
