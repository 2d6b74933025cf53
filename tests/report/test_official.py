from __future__ import annotations

import json
import math
from types import ModuleType

import pytest

from pytest_fib.data.trace import Trace
from pytest_fib.report.official import TRACE_LOG_LIMIT


def test_trace_of_a_pass_is_official(synthetic: ModuleType) -> None:
    record = synthetic.record(log="l", output="o")
    trace = Trace.model_validate(record["trace"])
    assert json.loads(trace.to_json_line()) == record["trace"]
    assert record["trace"]["evaluation"] == {
        "status": "PASSED",
        "environment": {"hardware": "Test CPU 9000", "libs": {"torch": "2.13.0"}},
        "timestamp": "2026-01-02T03:04:05+00:00",
        "log": "l\no",
        "correctness": {
            "max_relative_error": 2e-3,
            "max_absolute_error": 1e-3,
            "extra": {"matched_ratio": 1.0},
        },
        "performance": {
            "latency_ms": pytest.approx(0.0125),
            "reference_latency_ms": 0.05,
            "speedup_factor": pytest.approx(4.0),
        },
    }


def test_a_wrong_result_has_correctness_alone_and_unknown_errors_are_nan(synthetic: ModuleType) -> None:
    evaluation = synthetic.record("INCORRECT_NUMERICAL", timing=synthetic.timing())["trace"]["evaluation"]
    assert evaluation["performance"] is None
    assert evaluation["correctness"]["max_absolute_error"] == "NaN"
    known = synthetic.record("INCORRECT_NUMERICAL", mismatch=synthetic.mismatch())["trace"]["evaluation"]
    assert known["correctness"]["max_absolute_error"] == 0.07


@pytest.mark.parametrize(
    "status", ["INCORRECT_SHAPE", "INCORRECT_DTYPE", "RUNTIME_ERROR", "COMPILE_ERROR", "TIMEOUT"]
)
def test_other_failures_have_neither(synthetic: ModuleType, status: str) -> None:
    evaluation = synthetic.record(status, max_absolute_error=1.0, timing=synthetic.timing())["trace"][
        "evaluation"
    ]
    assert (evaluation["correctness"], evaluation["performance"]) == (None, None)


def test_a_pass_without_timing_is_measured_but_not_traced(synthetic: ModuleType) -> None:
    record = synthetic.record(timing=None)
    assert record["trace"] is None
    assert record["measurement"]["clock"] is None


@pytest.mark.parametrize(
    ("latency", "reference"), [(0.0, 1.0), (-0.1, 1.0), (math.inf, 1.0), (1.0, math.nan)]
)
def test_a_latency_that_the_schema_refuses_gives_no_trace(
    synthetic: ModuleType, latency: float, reference: float
) -> None:
    record = synthetic.record(timing=synthetic.timing(latency, reference))
    assert record["trace"] is None
    assert not any(isinstance(x, float) and not math.isfinite(x) for x in record["measurement"].values())


def test_a_huge_log_is_cut(synthetic: ModuleType) -> None:
    log = synthetic.record("RUNTIME_ERROR", log="x" * 10**6)["trace"]["evaluation"]["log"]
    assert len(log) <= TRACE_LOG_LIMIT + 10
    assert log.endswith("[cut]")
