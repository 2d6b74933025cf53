"""Evaluations made up for tests, and a tiny plugin whose items carry them instead of asking a judge."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pytest_fib.bridge.benchmark import add_samples, timing_disabled, wants_fixture
from pytest_fib.data.evaluation import Evaluation, Mismatch, Timing
from pytest_fib.data.solution import BuildSpec, LoadedSolution, Solution, SourceFile
from pytest_fib.data.trace import EvaluationStatus
from pytest_fib.data.workload import RandomInput, Workload
from pytest_fib.report.environment import Machine
from pytest_fib.report.failure import failure_text
from pytest_fib.report.plugin import ReportPlugin
from pytest_fib.report.record import Record
from pytest_fib.report.recording import make_record, record_evaluation

MACHINE = Machine("cpu", "Test CPU 9000", {"torch": "2.13.0"})
NODEID = "tracesets/mini/workloads/rmsnorm/rmsnorm_h128.jsonl::triton_v1::batch_size7-33bf737d"

CONFTEST = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import synthetic

def pytest_addoption(parser):
    synthetic.add_options(parser)

def pytest_configure(config):
    synthetic.configure(config)

def pytest_collect_file(file_path, parent):
    return synthetic.collect_file(file_path, parent)
"""


def workload(uuid: str = "33bf737d-0000-4000-8000-000000000000", **axes: int) -> Workload:
    return Workload(axes=axes or {"batch_size": 7}, inputs={"x": RandomInput()}, uuid=uuid)


def loaded(
    name: str = "triton_v1", author: str = "ada", definition: str = "rmsnorm_h128", language: str = "triton"
) -> LoadedSolution:
    spec = BuildSpec(language=language, target_hardware=("cpu",), entry_point="main.py::run")
    source = SourceFile(path="main.py", content="def run(x): ...")
    solution = Solution(name=name, definition=definition, author=author, spec=spec, sources=(source,))
    return LoadedSolution(solution, Path("solutions") / "v1.json", ())


def timing(latency_ms: float = 0.0125, reference_ms: float = 0.05, trials: int = 5) -> Timing:
    samples = tuple(tuple(latency_ms * (1 + 0.01 * (i - 1)) for i in range(3)) for _ in range(trials))
    interval = (latency_ms * 0.97, latency_ms * 1.04) if trials >= 5 else None
    return Timing(samples, reference_ms, 0.0003, 1, interval)


def mismatch(**changes: Any) -> Mismatch:
    base = Mismatch(
        output="y",
        call=3,
        problem="elements out of tolerance",
        failed=12,
        total=896,
        index=(3, 17),
        expected=0.4312,
        got=0.5012,
        absolute_error=0.07,
        relative_error=0.1623,
        atol=0.01,
        rtol=0.02,
        rule="abs > 0.01 and rel > 0.02",
        required_matched_ratio=1.0,
        matched_ratio=1 - 12 / 896,
    )
    return replace(base, **changes)


def evaluation(status: str = "PASSED", **changes: Any) -> Evaluation:
    passed = status == "PASSED"
    base = Evaluation(
        definition="rmsnorm_h128",
        op_type="rmsnorm",
        workload="33bf737d-0000-4000-8000-000000000000",
        axes={"batch_size": 7},
        solution="triton_v1",
        solution_hash="ab" * 32,
        status=EvaluationStatus(status),
        timestamp="2026-01-02T03:04:05+00:00",
        max_absolute_error=1e-3 if passed else None,
        max_relative_error=2e-3 if passed else None,
        matched_ratio=1.0 if passed else None,
        timing=timing() if passed else None,
        verified_calls=20,
        calls=45,
        wall_seconds=1.5,
        build_seconds=0.25,
    )
    return replace(base, **changes)


def record(status: str = "PASSED", *, nodeid: str = NODEID, author: str = "ada", **changes: Any) -> Record:
    found = evaluation(status, **changes)
    solution = loaded(name=found.solution, author=author, definition=found.definition)
    return make_record(found, workload(found.workload, **found.axes), solution, nodeid, MACHINE)


@dataclass(frozen=True)
class Settings:
    report: Path | None
    traces: Path | None
    html: Path | None = None
    aa: bool = False

    def resolved(self) -> dict[str, Any]:
        return {"report": self.report, "traces": self.traces}


def add_options(parser: pytest.Parser) -> None:
    parser.addoption("--out-report", type=Path)
    parser.addoption("--out-traces", type=Path)
    parser.addoption("--out-html", type=Path)


def configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fib: a workload")
    settings = Settings(*(config.getoption(f"out_{name}") for name in ("report", "traces", "html")))
    config.pluginmanager.register(ReportPlugin(settings))


def collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    return Cases.from_parent(parent, path=file_path) if file_path.suffix == ".jsonl" else None


class Cases(pytest.Module):
    """Each line is ``{"name": …, "kind": status | skip | interrupt | die, "solution": …, "latency_ms": …}``."""

    obj: Any = None

    def collect(self) -> Iterator[pytest.Item]:
        function = run_with_benchmark if wants_fixture(self.config) else run
        for line in self.path.read_text().splitlines():
            case = json.loads(line)
            item = pytest.Function.from_parent(self, name=case["name"], callobj=function)
            item.case = case
            item.add_marker(
                pytest.mark.fib(
                    definition=self.path.stem,
                    op_type="rmsnorm",
                    solution=case.get("solution", "v1"),
                    uuid=case["name"],
                )
            )
            yield item


def run(request: pytest.FixtureRequest) -> None:
    run_case(request.node, None)


def run_with_benchmark(request: pytest.FixtureRequest, benchmark: Any) -> None:
    run_case(request.node, benchmark)


def run_case(item: Any, benchmark: Any) -> None:
    case = item.case
    kind = case.get("kind", "PASSED")
    if kind == "skip":
        pytest.skip("the blob is not here; fetch it")
    if kind == "die":
        os._exit(7)
    if kind == "interrupt":
        raise KeyboardInterrupt
    latency = timing(case.get("latency_ms", 0.0125))
    found = evaluation(
        kind,
        definition=case.get("definition", item.path.stem),
        workload=item.name,
        solution=case.get("solution", "v1"),
        timing=latency if kind == "PASSED" and not timing_disabled(item.config) else None,
        mismatch=mismatch() if kind == "INCORRECT_NUMERICAL" else None,
        log=case.get("log", ""),
    )
    solution = loaded(found.solution, case.get("author", "ada"), found.definition)
    found = replace(found, solution_hash=solution.solution.content_hash)
    record_evaluation(item, found, workload(found.workload), solution)
    add_samples(benchmark, found)
    if not found.passed:
        pytest.fail(failure_text(found, command="pytest --fib-solution=v1.json"), pytrace=False)


def write_cases(folder: Path, *cases: dict[str, Any], definition: str = "rmsnorm_h128") -> Path:
    """Write the conftest and a file of cases into an inner run's folder."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text("[pytest]\n")
    path = folder / f"{definition}.jsonl"
    path.write_text("".join(json.dumps(case) + "\n" for case in cases))
    return path
