"""Makes the records of an item, and keeps them with it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fib.measure.roof import sol_score
from pytest_fib.report.conditions import conditions_record
from pytest_fib.report.environment import Machine, find_machine
from pytest_fib.report.official import make_trace, speedup_of
from pytest_fib.report.plain import finite, valid_text
from pytest_fib.report.record import (
    RECORD_KEY,
    BuildRecord,
    Fuzz,
    FuzzFailure,
    GateRecord,
    Measurement,
    Record,
    Skip,
    SolutionInfo,
    StageRecord,
)

if TYPE_CHECKING:
    from pytest_fib.data.evaluation import Build, Evaluation, Gating
    from pytest_fib.data.fuzzing import Failing, Search
    from pytest_fib.data.solution import LoadedSolution
    from pytest_fib.data.workload import Workload

_MACHINES_KEY: pytest.StashKey[dict[str, Machine]] = pytest.StashKey()


def record_evaluation(
    item: pytest.Item,
    evaluation: Evaluation,
    workload: Workload,
    loaded_solution: LoadedSolution,
    *,
    device: str | None = None,
) -> Record:
    """Keep what the judge found with the item, add JUnit's scalars, and return the record.

    ``device`` is the resolved one, ``cpu`` or ``cuda:N`` (None: the evaluation's); the trace names its hardware.
    """
    device = device or evaluation.device
    machines = item.config.stash.setdefault(_MACHINES_KEY, {})
    if device not in machines:
        machines[device] = find_machine(device)
    record = make_record(evaluation, workload, loaded_solution, item.nodeid, machines[device])
    records = item.stash.setdefault(RECORD_KEY, [])
    if not records:
        item.user_properties.extend(junit_scalars(record))
    records.append(record)
    return record


def record_unjudged(item: pytest.Item, reason: str) -> Record:
    """Keep why an item fails without a verdict, and return the record."""
    mark = item.get_closest_marker("fib")
    record = make_skip({} if mark is None else mark.kwargs, item.nodeid, reason, failed=True)
    item.stash.setdefault(RECORD_KEY, []).append(record)
    return record


def record_fuzz(item: pytest.Item, found: Search, loaded_solution: LoadedSolution) -> Record:
    """Keep what a search found with the item, and return the record; something must have been judged."""
    first = found.first
    assert first is not None
    fuzz = Fuzz(
        definition=valid_text(first.definition),
        solution=valid_text(first.solution),
        solution_hash=first.solution_hash,
        nodeid=valid_text(item.nodeid),
        status=found.failing[0].evaluation.status.value if found.failing else "PASSED",
        wanted=found.wanted,
        judged=found.judged,
        out_of_time=found.out_of_time,
        wall_seconds=found.seconds,
        failing=[_fuzz_failure(failing) for failing in found.failing],
    )
    record = _unmeasured(first.op_type)
    record["fuzz"] = fuzz
    record["solution"] = _solution_info(loaded_solution, first.build_seconds)
    record["sandbox"] = _layers(first)
    item.stash.setdefault(RECORD_KEY, []).append(record)
    item.user_properties.extend([("status", fuzz["status"]), ("shapes", fuzz["judged"])])
    return record


def record_build(item: pytest.Item, built: Build, loaded_solution: LoadedSolution) -> Record:
    """Keep with the item that a solution was built, and return the record."""
    solution = loaded_solution.solution
    mark = item.get_closest_marker("fib")
    record = _unmeasured("" if mark is None else mark.kwargs.get("op_type", ""))
    record["build"] = BuildRecord(
        definition=valid_text(solution.definition),
        solution=valid_text(solution.name),
        solution_hash=solution.content_hash,
        nodeid=valid_text(item.nodeid),
        seconds=finite(built.seconds),
        architecture=valid_text(built.architecture),
        kernels=[valid_text(name) for name in built.kernels],
        remarks=[valid_text(remark) for remark in built.remarks],
    )
    record["solution"] = _solution_info(loaded_solution, built.seconds)
    item.stash.setdefault(RECORD_KEY, []).append(record)
    return record


def make_record(
    evaluation: Evaluation,
    workload: Workload,
    loaded_solution: LoadedSolution,
    nodeid: str,
    machine: Machine,
) -> Record:
    """Return the record of one evaluation that was made on ``machine``."""
    timing = evaluation.timing
    trace = make_trace(evaluation, workload, machine)
    return Record(
        measurement=_measurement(evaluation, nodeid),
        trace=None if trace is None else json.loads(trace.to_json_line()),
        solution=_solution_info(loaded_solution, evaluation.build_seconds),
        skip=None,
        fuzz=None,
        build=None,
        unjudged_failure=False,
        device=machine.device,
        sandbox=_layers(evaluation),
        op_type=valid_text(evaluation.op_type),
        axes={valid_text(name): int(size) for name, size in evaluation.axes.items()},
        speedup=None if timing is None else speedup_of(timing),
        reference_latency_ms=None if timing is None else finite(timing.reference_latency_ms),
        absolute_error=evaluation.max_absolute_error,
        relative_error=evaluation.max_relative_error,
    )


def make_skip(mark: Mapping[str, Any], nodeid: str, reason: str, *, failed: bool = False) -> Record:
    """Return the record of an item that was skipped, or ``failed`` without a verdict.

    ``mark`` holds the arguments of its ``fib`` mark.
    """
    skip = Skip(
        definition=valid_text(mark.get("definition", "")),
        workload=valid_text(mark.get("uuid", "")),
        solution=valid_text(mark.get("solution", "")),
        nodeid=valid_text(nodeid),
        reason=valid_text(reason),
    )
    record = _unmeasured(mark.get("op_type", ""))
    record["skip"] = skip
    record["unjudged_failure"] = failed
    return record


def junit_scalars(record: Record) -> list[tuple[str, object]]:
    """Return the properties that JUnit XML shows: status; latency, speedup, verdict, ratio if known."""
    measurement = record["measurement"]
    if measurement is None:
        return []
    scalars: dict[str, object] = {
        "status": measurement["status"],
        "latency_ms": measurement["latency_ms"],
        "speedup": record["speedup"],
        "verdict": measurement["verdict"],
        "ratio": measurement["ratio"],
    }
    return [(name, value) for name, value in scalars.items() if value is not None]


def _unmeasured(op_type: object) -> Record:
    """A record of which nothing is known yet but what the op is."""
    return Record(
        measurement=None,
        trace=None,
        solution=None,
        skip=None,
        fuzz=None,
        build=None,
        unjudged_failure=False,
        device=None,
        sandbox=[],
        op_type=valid_text(op_type),
        axes={},
        speedup=None,
        reference_latency_ms=None,
        absolute_error=None,
        relative_error=None,
    )


def _measurement(evaluation: Evaluation, nodeid: str) -> Measurement:
    timing, gating = evaluation.timing, evaluation.gating
    interval = None if timing is None else timing.ci95_ms
    return Measurement(
        definition=valid_text(evaluation.definition),
        workload=valid_text(evaluation.workload),
        solution=valid_text(evaluation.solution),
        solution_hash=evaluation.solution_hash,
        nodeid=valid_text(nodeid),
        device=evaluation.device,
        status=evaluation.status.value,
        integrity="violation" if evaluation.integrity_detail else "ok",
        integrity_detail=valid_text(evaluation.integrity_detail),
        latency_ms=None if timing is None else finite(timing.latency_ms),
        median_ms=None if timing is None else finite(timing.median_ms),
        latency_ci95_ms=None if interval is None or not all(map(math.isfinite, interval)) else list(interval),
        samples_ms=[] if timing is None else [finite(sample) for sample in timing.samples_ms],
        samples_per_trial=[] if timing is None else [len(trial) for trial in timing.trials_ms],
        clock=None if timing is None else timing.clock,
        judge_latency_ms=None if timing is None or timing.clock != "judge" else finite(timing.latency_ms),
        inner_latency_ms=None,
        handover_ms=None if timing is None else finite(timing.handover_ms),
        verified_calls=evaluation.verified_calls,
        calls=evaluation.calls,
        inputs="predictable" if evaluation.predictable_inputs else "secret",
        seed=evaluation.seed,
        wall_seconds=finite(evaluation.wall_seconds),
        error_ratio=None if evaluation.error_ratio is None else finite(evaluation.error_ratio),
        floor_ms=None if timing is None else timing.floor_ms,
        sol_fraction=None
        if timing is None or timing.floor_ms is None
        else finite(timing.floor_ms / timing.latency_ms),
        sol_score=_sol_score(evaluation),
        remarks=[valid_text(remark) for remark in evaluation.remarks],
        synthesized=[valid_text(name) for name in evaluation.synthesized],
        verdict=None if gating is None else gating.verdict,
        ratio=None if gating is None else gating.ratio,
        ratio_ci=None if gating is None or gating.ratio_ci is None else list(gating.ratio_ci),
        gate=None if gating is None else _gate_record(gating),
        failure=None,
        conditions=conditions_record(evaluation.conditions),
    )


def _sol_score(evaluation: Evaluation) -> float | None:
    """SOL-ExecBench's score, of a solution that ran beside a baseline where the op type's work is known."""
    timing, gating = evaluation.timing, evaluation.gating
    if timing is None or timing.floor_ms is None or gating is None or not evaluation.passed:
        return None
    latency = timing.latency_ms if gating.latency_ms is None else gating.latency_ms
    if gating.baseline_latency_ms is None:
        return None
    return finite(sol_score(latency, gating.baseline_latency_ms, timing.floor_ms))


def _gate_record(gating: Gating) -> GateRecord:
    return GateRecord(
        baseline=valid_text(gating.baseline),
        margin=gating.margin,
        reason=valid_text(gating.reason),
        latency_ms=gating.latency_ms,
        baseline_latency_ms=gating.baseline_latency_ms,
        scatter=gating.scatter,
        detectable=gating.detectable,
        unsteady=gating.unsteady,
        stages=[
            StageRecord(candidate_ms=list(stage.candidate_ms), baseline_ms=list(stage.baseline_ms))
            for stage in gating.stages
        ],
    )


def _layers(evaluation: Evaluation) -> list[list[Any]]:
    return [[valid_text(name), active, valid_text(reason)] for name, active, reason in evaluation.sandbox]


def _fuzz_failure(failing: Failing) -> FuzzFailure:
    return FuzzFailure(
        status=failing.evaluation.status.value,
        axes={valid_text(name): size for name, size in failing.shape.axes.items()},
        edges=failing.shape.edges,
        only_after=None if failing.after is None else dict(failing.after.axes),
        workload=json.loads(failing.line),
    )


def _solution_info(loaded: LoadedSolution, build_seconds: float) -> SolutionInfo:
    solution = loaded.solution
    return SolutionInfo(
        name=valid_text(solution.name),
        author=valid_text(solution.author),
        definition=valid_text(solution.definition),
        language=valid_text(solution.spec.language),
        hash=solution.content_hash,
        path=valid_text(str(loaded.path)),
        build_seconds=finite(build_seconds),
    )
