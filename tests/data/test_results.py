"""Reports that come from anywhere give a value or one sentence."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.data.results import Conditions, parse_report, read_report
from pytest_fib.errors import DataError
from pytest_fib.report.document import build_document

Json = dict[str, Any]
ENVIRONMENT = {
    "hardware": "Test CPU 9000",
    "driver": None,
    "cpu": {"model": "Test CPU 9000", "cores": 4, "usable_cores": 2},
    "libs": {"torch": "2.13.0"},
    "timer": "judge",
    "git": {"commit": "c0ffee", "dirty": False},
}
CONFIG = {"profile": "default", "warmup_runs": 10, "iterations": 30, "trials": 5, "isolation": "workload"}
CONDITIONS = Conditions("Test CPU 9000", None, 2, "judge", "default", 10, 30, 5, "workload")
MINIMAL: Json = {
    "schema": "pytest-fib/1",
    "environment": {"hardware": "Test CPU 9000"},
    "config": {},
    "solutions": [{"name": "v1", "author": "ada", "hash": "ab"}],
    "traces": [
        {
            "definition": "d",
            "workload": {"uuid": "w"},
            "evaluation": {"timestamp": "2026-01-02T03:04:05", "performance": {"reference_latency_ms": 2.0}},
        }
    ],
    "measurements": [
        {
            "definition": "d",
            "workload": "w",
            "solution": "v1",
            "solution_hash": "ab",
            "status": "PASSED",
            "latency_ms": 1.0,
            "latency_ci95_ms": [0.9, 1.1],
            "clock": "judge",
            "inputs": "secret",
        }
    ],
}


def parse(document: Json) -> Any:
    return parse_report(json.dumps(document).encode())


@pytest.fixture
def document(synthetic: ModuleType) -> Json:
    """What a run writes."""
    records = [synthetic.record(), synthetic.record("RUNTIME_ERROR", workload="other"), synthetic.record()]
    return build_document(records, environment=ENVIRONMENT, config=CONFIG)


def test_what_a_run_writes_is_read(document: Json, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(document))
    report = read_report(path)
    assert report.conditions == CONDITIONS
    assert report.finished == datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    assert report.commit == "c0ffee"
    assert list(report.authors.values()) == ["ada"]
    assert [found.timed_ms for found in report.measurements] == [0.0125, None, 0.0125]
    assert [found.passed for found in report.measurements] == [True, False, True]
    assert [latency for _, latency in report.reference_latencies()] == [0.05, 0.05]


def test_the_least_that_a_report_says() -> None:
    report = parse(MINIMAL)
    assert report.finished == datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    assert report.commit == ""
    assert list(report.reference_latencies()) == [(("d", "w"), 2.0)]
    empty = MINIMAL | {"traces": [], "measurements": []}
    assert parse(empty).finished is None


def test_what_differs_is_said() -> None:
    other = Conditions("Test CPU 9000", "580.1", 2, "judge", "default", 10, 50, 5, "workload")
    assert CONDITIONS.differences(other) == ["driver null against '580.1'", "iterations 30 against 50"]
    assert CONDITIONS.differences(CONDITIONS) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(schema="pytest-fib/9"), "is not a report of the schema"),
        (lambda d: d.pop("measurements"), "field 'measurements' is missing; add it"),
        (lambda d: d["measurements"][0].update(latency_ms=-1.0), "field 'measurements.0.latency_ms'"),
        (lambda d: d["measurements"][0].update(latency_ms=True), "field 'measurements.0.latency_ms'"),
        (lambda d: d["measurements"][0].update(latency_ci95_ms=[2.0, 1.0]), "should begin with the lower"),
        (lambda d: d["measurements"][0].update(status="FINE"), "field 'measurements.0.status'"),
        (lambda d: d["traces"][0]["evaluation"].update(timestamp="noon"), "has the time 'noon'"),
        (lambda d: d["environment"].update(hardware="x" * 3000), "field 'environment.hardware'"),
    ],
)
def test_what_is_wrong_is_one_sentence(change: Callable[[Json], Any], words: str, tmp_path: Path) -> None:
    document = copy.deepcopy(MINIMAL)
    change(document)
    path = tmp_path / "r.json"
    path.write_text(json.dumps(document))
    with pytest.raises(DataError) as error:
        read_report(path)
    assert words in str(error.value)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


@given(st.data())
def test_any_value_in_any_place_is_read_or_refused(data: st.DataObject) -> None:
    document: Any = {"": copy.deepcopy(MINIMAL)}
    *way, last = data.draw(st.sampled_from(places(document)[1:]))
    spot = document
    for key in way:
        spot = spot[key]
    spot[last] = data.draw(values)
    try:
        report = parse(document[""])
    except DataError:
        return
    assert all(found.timed_ms is None or found.timed_ms > 0 for found in report.measurements)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(DataError):
        parse_report(raw)
