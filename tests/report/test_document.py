from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.report.document import build_document


@given(
    latency=st.floats(-1.0, 1e12) | st.just(float("inf")),
    reference=st.floats(0, 1e12) | st.just(float("inf")),
    errors=st.floats(0),
    log=st.text(st.characters(codec=None)),
    status=st.sampled_from(["PASSED", "INCORRECT_NUMERICAL", "RUNTIME_ERROR"]),
)
def test_whatever_the_judge_measured_the_document_is_json(
    synthetic: ModuleType, latency: float, reference: float, errors: float, log: str, status: str
) -> None:
    timing = synthetic.timing(latency, reference) if status == "PASSED" else None
    record = synthetic.record(
        status, timing=timing, max_absolute_error=errors, max_relative_error=float("nan"), log=log, output=log
    )
    document = build_document([record], environment={}, config={})
    json.dumps(document, allow_nan=False)
    assert len(document["measurements"]) == 1


def test_contract_fields(synthetic: ModuleType) -> None:
    document = build_document([synthetic.record()], environment={"os": "Linux"}, config={"report": Path("r")})
    assert list(document) == [
        "schema", "environment", "config", "solutions", "traces", "measurements", "suite_gate", "fuzz", "builds",
        "skipped", "scores"
    ]  # fmt: skip
    assert set(document["measurements"][0]) == {
        "definition", "workload", "solution", "solution_hash", "nodeid", "status", "integrity", "integrity_detail",
        "latency_ms", "median_ms", "latency_ci95_ms", "samples_ms", "clock", "judge_latency_ms", "inner_latency_ms",
        "handover_ms", "verified_calls", "calls", "inputs", "seed", "wall_seconds", "error_ratio", "floor_ms",
        "sol_fraction", "remarks", "synthesized", "verdict", "ratio", "ratio_ci", "gate", "failure",
        "samples_per_trial", "conditions", "sol_score", "device",
    }  # fmt: skip
    assert set(document["solutions"][0]) == {
        "name", "author", "definition", "language", "hash", "path", "build_seconds"
    }  # fmt: skip
    assert set(document["scores"][0]) == {
        "solution", "solution_hash", "definition", "workloads", "passed", "arithmetic_mean_speedup",
        "geometric_mean_speedup", "win_rate", "denominator",
    }  # fmt: skip


def test_a_solution_is_listed_once_with_the_build_that_was_made(synthetic: ModuleType) -> None:
    records = [synthetic.record(build_seconds=seconds) for seconds in (0.0, 4.5, 0.1)]
    (solution,) = build_document(records, environment={}, config={})["solutions"]
    assert solution["build_seconds"] == 4.5
    assert records[0]["solution"]["build_seconds"] == 0.0
