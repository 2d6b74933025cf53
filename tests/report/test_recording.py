from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pytest_fib.report.environment import cpu_model
from pytest_fib.report.record import RECORD_KEY
from pytest_fib.report.recording import junit_scalars, make_skip, record_evaluation


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
