from __future__ import annotations

import json
import os
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.data.trace import EvaluationStatus
from pytest_fib.errors import SettingsError
from pytest_fib.report.document import build_document, check_target, jsonable, score_rows, write_document

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None))
    | st.binary(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(codec=None)) | st.integers(), inner)
    ),
    max_leaves=20,
)


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@given(values)
def test_anything_becomes_valid_json_in_utf8(value: Any) -> None:
    text = json.dumps(jsonable(value), allow_nan=False)
    strict(text)
    json.dumps(strict(text), ensure_ascii=False).encode("utf-8")


@given(values)
def test_what_is_json_already_stays_as_it_is(value: Any) -> None:
    once = jsonable(value)
    assert jsonable(once) == once


def test_special_values() -> None:
    @dataclass(frozen=True)
    class Inner:
        path: Path
        secret: bytes

    plain = jsonable({"a": Inner(Path("x"), b"key"), "s": EvaluationStatus.PASSED, "t": (1, float("nan"))})
    assert plain == {"a": {"path": "x", "secret": "<3 bytes>"}, "s": "PASSED", "t": [1, None]}
    assert type(plain["s"]) is str


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
    strict(json.dumps(document, allow_nan=False))
    assert len(document["measurements"]) == 1


def test_contract_fields(synthetic: ModuleType) -> None:
    document = build_document([synthetic.record()], environment={"os": "Linux"}, config={"report": Path("r")})
    assert list(document) == [
        "schema", "environment", "config", "solutions", "traces", "measurements", "fuzz", "skipped", "scores"
    ]  # fmt: skip
    assert set(document["measurements"][0]) == {
        "definition", "workload", "solution", "solution_hash", "nodeid", "status", "integrity", "integrity_detail",
        "latency_ms", "median_ms", "latency_ci95_ms", "samples_ms", "clock", "judge_latency_ms", "inner_latency_ms",
        "handover_ms", "verified_calls", "calls", "inputs", "seed", "wall_seconds", "error_ratio", "floor_ms",
        "sol_fraction", "remarks", "synthesized", "verdict", "ratio", "ratio_ci", "gate", "failure",
        "samples_per_trial",
    }  # fmt: skip
    assert set(document["solutions"][0]) == {
        "name", "author", "definition", "language", "hash", "path", "build_seconds"
    }  # fmt: skip
    assert set(document["scores"][0]) == {
        "solution", "solution_hash", "definition", "workloads", "passed", "arithmetic_mean_speedup",
        "geometric_mean_speedup", "win_rate", "denominator",
    }  # fmt: skip


def test_scores_are_per_solution_and_definition(synthetic: ModuleType) -> None:
    records = [
        synthetic.record(timing=synthetic.timing(0.01, 0.04)),
        synthetic.record(timing=synthetic.timing(0.01, 0.01)),
        synthetic.record("TIMEOUT"),
        synthetic.record(solution_hash="cd" * 32, solution="other", timing=synthetic.timing(0.01, 0.02)),
    ]
    first, second = score_rows(records)
    assert (first["workloads"], first["passed"]) == (3, 2)
    assert first["arithmetic_mean_speedup"] == pytest.approx(2.5)
    assert first["geometric_mean_speedup"] == pytest.approx(2.0)
    assert first["win_rate"] == pytest.approx(1 / 3)
    assert second["solution"] == "other"
    assert second["win_rate"] == 1.0


def test_nothing_passed_has_no_mean(synthetic: ModuleType) -> None:
    (score,) = score_rows([synthetic.record("TIMEOUT")])
    assert (score["arithmetic_mean_speedup"], score["geometric_mean_speedup"]) == (None, None)


def test_a_solution_is_listed_once_with_the_build_that_was_made(synthetic: ModuleType) -> None:
    records = [synthetic.record(build_seconds=seconds) for seconds in (0.0, 4.5, 0.1)]
    (solution,) = build_document(records, environment={}, config={})["solutions"]
    assert solution["build_seconds"] == 4.5
    assert records[0]["solution"]["build_seconds"] == 0.0


def test_a_reader_never_sees_half_a_document(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_document(path, {"n": 0, "pad": ""})
    done = threading.Event()
    seen: set[int] = set()

    def read() -> None:
        while not done.is_set():
            seen.add(strict(path.read_text())["n"])

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(20):
        write_document(path, {"n": n, "pad": "x" * 200_000})
    done.set()
    reader.join()
    assert seen <= set(range(20))
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.json"]


def test_a_failed_write_keeps_the_old_document(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_document(path, {"n": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_document(path, {"n": float("nan")})
    assert strict(path.read_text()) == {"n": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.json"]


def test_the_document_has_the_users_ordinary_permissions(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        write_document(tmp_path / "r.json", {})
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "r.json").stat().st_mode) == 0o644


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()
    write_document(pipe, {"n": 1})
    reader.join()
    assert strict(received[0]) == {"n": 1}
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize(("name", "words"), [("", "is a folder"), ("file/r.json", "cannot be made")])
def test_a_target_that_cannot_be_written_is_named(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=words):
        check_target(tmp_path / name)


def test_the_folder_of_a_report_is_made(tmp_path: Path) -> None:
    check_target(tmp_path / "a" / "b" / "r.json")
    assert (tmp_path / "a" / "b").is_dir()
