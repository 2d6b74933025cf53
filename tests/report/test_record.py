from __future__ import annotations

import json
import math
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pytest_fib.data.trace import Trace
from pytest_fib.report.environment import cpu_model
from pytest_fib.report.record import RECORD_KEY, TRACE_LOG_LIMIT, junit_scalars, make_skip, record_evaluation


def test_measurement_of_a_pass(synthetic: ModuleType) -> None:
    measurement = synthetic.record(seed=7, predictable_inputs=True, remarks=("r",))["measurement"]
    assert measurement["status"] == "PASSED"
    assert measurement["latency_ms"] == pytest.approx(0.0125)
    assert measurement["judge_latency_ms"] == measurement["latency_ms"]
    assert measurement["latency_ci95_ms"] == [pytest.approx(0.012125), pytest.approx(0.013)]
    assert len(measurement["samples_ms"]) == 15
    assert (measurement["inputs"], measurement["seed"]) == ("predictable", 7)
    assert (measurement["integrity"], measurement["integrity_detail"]) == ("ok", "")
    assert measurement["remarks"] == ["r"]
    assert measurement["nodeid"] == synthetic.NODEID


def test_no_interval_below_five_trials(synthetic: ModuleType) -> None:
    assert synthetic.record(timing=synthetic.timing(trials=3))["measurement"]["latency_ci95_ms"] is None


def test_an_integrity_violation_is_told(synthetic: ModuleType) -> None:
    measurement = synthetic.record("RUNTIME_ERROR", integrity_detail="late write")["measurement"]
    assert (measurement["integrity"], measurement["integrity_detail"]) == ("violation", "late write")


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


def test_junit_gets_scalars_only(synthetic: ModuleType) -> None:
    assert dict(junit_scalars(synthetic.record())) == {
        "status": "PASSED",
        "latency_ms": pytest.approx(0.0125),
        "speedup": pytest.approx(4.0),
    }
    assert junit_scalars(synthetic.record("TIMEOUT")) == [("status", "TIMEOUT")]
    assert junit_scalars(make_skip({}, "n", "r")) == []


def test_a_test_that_judges_twice_keeps_both_and_names_the_first_in_junit(synthetic: ModuleType) -> None:
    config = SimpleNamespace(stash=pytest.Stash())
    item: Any = SimpleNamespace(
        stash=pytest.Stash(), config=config, nodeid="test_x.py::t", user_properties=[]
    )
    for status in ("TIMEOUT", "PASSED"):
        found = synthetic.evaluation(status)
        record_evaluation(item, found, synthetic.workload(), synthetic.loaded())
    records = item.stash[RECORD_KEY]
    assert [record["measurement"]["status"] for record in records] == ["TIMEOUT", "PASSED"]
    assert item.user_properties == [("status", "TIMEOUT")]
    assert records[0]["device"] == "cpu"
    assert records[1]["trace"]["evaluation"]["environment"]["hardware"] == cpu_model()


def test_a_skip_keeps_what_its_mark_says() -> None:
    mark = {"definition": "d", "uuid": "u", "solution": "s\udc80", "op_type": "gemm", "m": 3}
    record = make_skip(mark, "f.jsonl::w", "no device")
    assert record["skip"] == {
        "definition": "d", "workload": "u", "solution": "s\\udc80", "nodeid": "f.jsonl::w", "reason": "no device"
    }  # fmt: skip
    assert record["measurement"] is None
