"""One finished item as plain values: made where the item ran, carried on its report, kept by the controller.

Everything in a record is None, a bool, an int, a float, a str, a list or a dict with str keys, so that it survives
xdist and becomes JSON without a rule of its own. Numbers that are not finite become None, except in the
trace, where they are the strings of the official schema, and in the two worst errors, which are only displayed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

import pytest

from pytest_fib.report.environment import Machine, find_machine

if TYPE_CHECKING:
    from pytest_fib.data.evaluation import Evaluation, Gating, Timing
    from pytest_fib.data.fuzzing import Failing, Search
    from pytest_fib.data.solution import LoadedSolution
    from pytest_fib.data.trace import Trace
    from pytest_fib.data.workload import Workload

TRACE_LOG_LIMIT = 64 * 1024
"""Characters of log and output that a trace keeps."""


class StageRecord(TypedDict):
    """Milliseconds per call, block by block."""

    candidate_ms: list[float]
    baseline_ms: list[float]


class GateRecord(TypedDict):
    """What the gate knows beside verdict and ratio; latencies in milliseconds."""

    baseline: str
    margin: float
    reason: str
    latency_ms: float | None
    baseline_latency_ms: float | None
    scatter: float | None
    detectable: float | None
    unsteady: bool
    stages: list[StageRecord]


class Measurement(TypedDict):
    """One entry of the report's ``measurements``; latencies in milliseconds."""

    definition: str
    workload: str
    solution: str
    solution_hash: str
    nodeid: str
    status: str
    integrity: str
    integrity_detail: str
    latency_ms: float | None
    median_ms: float | None
    latency_ci95_ms: list[float] | None
    samples_ms: list[float | None]
    samples_per_trial: list[int]
    clock: str | None
    judge_latency_ms: float | None
    inner_latency_ms: float | None
    handover_ms: float | None
    verified_calls: int
    calls: int
    inputs: str
    seed: int | None
    wall_seconds: float | None
    error_ratio: float | None
    floor_ms: float | None
    sol_fraction: float | None
    remarks: list[str]
    synthesized: list[str]
    verdict: str | None
    ratio: float | None
    ratio_ci: list[float] | None
    failure: str | None
    gate: GateRecord | None


class SolutionInfo(TypedDict):
    """One entry of the report's ``solutions``."""

    name: str
    author: str
    definition: str
    language: str
    hash: str
    path: str
    build_seconds: float | None


class Skip(TypedDict):
    """A workload that could not be judged here, and why."""

    definition: str
    workload: str
    solution: str
    nodeid: str
    reason: str


class FuzzFailure(TypedDict):
    """A shape that failed; ``workload`` is a whole line for the definition's workload file."""

    status: str
    axes: dict[str, int]
    edges: bool
    only_after: dict[str, int] | None
    workload: dict[str, Any]


class Fuzz(TypedDict):
    """One entry of the report's ``fuzz``: what came of judging shapes that nobody published."""

    definition: str
    solution: str
    solution_hash: str
    nodeid: str
    status: str
    wanted: int
    judged: int
    out_of_time: bool
    wall_seconds: float
    failing: list[FuzzFailure]


class Record(TypedDict):
    """What is known about one item. Exactly one of ``measurement``, ``skip`` and ``fuzz`` is given.

    ``unjudged_failure`` says that what could not be judged failed its item and did not skip it;
    ``absolute_error`` and ``relative_error`` are the worst over all compared elements; ``axes`` are the workload's;
    ``device`` is what judged it, ``cpu`` or ``cuda:N``; ``sandbox`` lists the layers around the candidate: name,
    whether it holds, and why not.
    """

    measurement: Measurement | None
    trace: dict[str, Any] | None
    solution: SolutionInfo | None
    skip: Skip | None
    fuzz: Fuzz | None
    unjudged_failure: bool
    device: str | None
    sandbox: list[list[Any]]
    op_type: str
    axes: dict[str, int]
    speedup: float | None
    reference_latency_ms: float | None
    absolute_error: float | None
    relative_error: float | None


RECORD_KEY: pytest.StashKey[list[Record]] = pytest.StashKey()
"""Where an item keeps its records; one per evaluation, so a plain item has one."""

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
    """Keep why an item with a ``fib`` mark fails without a verdict, and return the record."""
    mark = item.get_closest_marker("fib")
    record = make_skip({} if mark is None else mark.kwargs, item.nodeid, reason, failed=True)
    item.stash.setdefault(RECORD_KEY, []).append(record)
    return record


def record_fuzz(item: pytest.Item, found: Search, loaded_solution: LoadedSolution) -> Record:
    """Keep what a search found with the item, and return the record; something must have been judged."""
    first = found.first
    assert first is not None
    fuzz = Fuzz(
        definition=_text(first.definition),
        solution=_text(first.solution),
        solution_hash=first.solution_hash,
        nodeid=_text(item.nodeid),
        status=found.failing[0].evaluation.status.value if found.failing else "PASSED",
        wanted=found.wanted,
        judged=found.judged,
        out_of_time=found.out_of_time,
        wall_seconds=found.seconds,
        failing=[_fuzz_failure(failing) for failing in found.failing],
    )
    record = Record(
        measurement=None,
        trace=None,
        solution=_solution_info(loaded_solution, first.build_seconds),
        skip=None,
        fuzz=fuzz,
        unjudged_failure=False,
        device=None,
        sandbox=_layers(first),
        op_type=_text(first.op_type),
        axes={},
        speedup=None,
        reference_latency_ms=None,
        absolute_error=None,
        relative_error=None,
    )
    item.stash.setdefault(RECORD_KEY, []).append(record)
    item.user_properties.extend([("status", fuzz["status"]), ("shapes", fuzz["judged"])])
    return record


def _fuzz_failure(failing: Failing) -> FuzzFailure:
    return FuzzFailure(
        status=failing.evaluation.status.value,
        axes={_text(name): size for name, size in failing.shape.axes.items()},
        edges=failing.shape.edges,
        only_after=None if failing.after is None else dict(failing.after.axes),
        workload=json.loads(failing.line),
    )


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
        unjudged_failure=False,
        device=machine.device,
        sandbox=_layers(evaluation),
        op_type=_text(evaluation.op_type),
        axes={_text(name): int(size) for name, size in evaluation.axes.items()},
        speedup=None if timing is None else _speedup(timing),
        reference_latency_ms=None if timing is None else _finite(timing.reference_latency_ms),
        absolute_error=evaluation.max_absolute_error,
        relative_error=evaluation.max_relative_error,
    )


def make_skip(mark: Mapping[str, Any], nodeid: str, reason: str, *, failed: bool = False) -> Record:
    """Return the record of an item that was skipped, or ``failed`` without a verdict.

    ``mark`` holds the arguments of its ``fib`` mark.
    """
    skip = Skip(
        definition=_text(mark.get("definition", "")),
        workload=_text(mark.get("uuid", "")),
        solution=_text(mark.get("solution", "")),
        nodeid=_text(nodeid),
        reason=_text(reason),
    )
    return Record(
        measurement=None,
        trace=None,
        solution=None,
        skip=skip,
        fuzz=None,
        unjudged_failure=failed,
        device=None,
        sandbox=[],
        op_type=_text(mark.get("op_type", "")),
        axes={},
        speedup=None,
        reference_latency_ms=None,
        absolute_error=None,
        relative_error=None,
    )


def nodeid_of(record: Record) -> str:
    """Return the id of the item that the record belongs to."""
    part = record["measurement"] or record["skip"] or record["fuzz"]
    return part["nodeid"] if part else ""


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


def make_trace(evaluation: Evaluation, workload: Workload, machine: Machine) -> Trace | None:
    """Return the official trace, or None for a pass without timing (the schema demands performance of a pass)."""
    # pydantic is loaded with the first judged item, not with the plugin.
    from pytest_fib.data import trace as official

    performance = _performance(evaluation.timing)
    if evaluation.passed and performance is None:
        return None
    compared = evaluation.status in (
        official.EvaluationStatus.PASSED,
        official.EvaluationStatus.INCORRECT_NUMERICAL,
    )
    outcome = official.TraceEvaluation(
        status=evaluation.status,
        environment=official.Environment(hardware=machine.hardware, libs=dict(machine.libs)),
        timestamp=evaluation.timestamp,
        log=_trace_log(evaluation),
        correctness=official.Correctness(**_correctness(evaluation)) if compared else None,
        performance=official.Performance(**performance) if evaluation.passed and performance else None,
    )
    return official.Trace(
        definition=evaluation.definition, workload=workload, solution=evaluation.solution, evaluation=outcome
    )


def _correctness(evaluation: Evaluation) -> dict[str, Any]:
    """Unknown errors are NaN: the official default of 0 would claim a perfect output."""
    mismatch = evaluation.mismatch
    absolute, relative = evaluation.max_absolute_error, evaluation.max_relative_error
    if mismatch is not None:
        absolute = mismatch.absolute_error if absolute is None else absolute
        relative = mismatch.relative_error if relative is None else relative
    ratio = evaluation.matched_ratio
    return {
        "max_absolute_error": math.nan if absolute is None else absolute,
        "max_relative_error": math.nan if relative is None else relative,
        "extra": None if ratio is None else {"matched_ratio": ratio},
    }


def _performance(timing: Timing | None) -> dict[str, float] | None:
    """The official figures; None where one of them is not a number that the schema accepts."""
    if timing is None:
        return None
    speedup = _speedup(timing)
    figures = {
        "latency_ms": timing.latency_ms,
        "reference_latency_ms": timing.reference_latency_ms,
        "speedup_factor": math.nan if speedup is None else speedup,
    }
    acceptable = all(math.isfinite(figure) and figure >= 0 for figure in figures.values())
    return figures if acceptable else None


def _speedup(timing: Timing) -> float | None:
    """None where the latency is zero: a kernel below the clock's resolution has no speedup to report."""
    return None if timing.latency_ms <= 0 else _finite(timing.speedup)


def _trace_log(evaluation: Evaluation) -> str:
    log = "\n".join(part for part in (evaluation.log, evaluation.output) if part)
    if len(log) > TRACE_LOG_LIMIT:
        log = log[:TRACE_LOG_LIMIT] + "\n[cut]"
    return _text(log)


def _measurement(evaluation: Evaluation, nodeid: str) -> Measurement:
    timing, gating = evaluation.timing, evaluation.gating
    interval = None if timing is None else timing.ci95_ms
    return Measurement(
        definition=_text(evaluation.definition),
        workload=_text(evaluation.workload),
        solution=_text(evaluation.solution),
        solution_hash=evaluation.solution_hash,
        nodeid=_text(nodeid),
        status=evaluation.status.value,
        integrity="violation" if evaluation.integrity_detail else "ok",
        integrity_detail=_text(evaluation.integrity_detail),
        latency_ms=None if timing is None else _finite(timing.latency_ms),
        median_ms=None if timing is None else _finite(timing.median_ms),
        latency_ci95_ms=None if interval is None or not all(map(math.isfinite, interval)) else list(interval),
        samples_ms=[] if timing is None else [_finite(sample) for sample in timing.samples_ms],
        samples_per_trial=[] if timing is None else [len(trial) for trial in timing.trials_ms],
        clock=None if timing is None else timing.clock,
        judge_latency_ms=None if timing is None or timing.clock != "judge" else _finite(timing.latency_ms),
        inner_latency_ms=None,
        handover_ms=None if timing is None else _finite(timing.handover_ms),
        verified_calls=evaluation.verified_calls,
        calls=evaluation.calls,
        inputs="predictable" if evaluation.predictable_inputs else "secret",
        seed=evaluation.seed,
        wall_seconds=_finite(evaluation.wall_seconds),
        error_ratio=None if evaluation.error_ratio is None else _finite(evaluation.error_ratio),
        floor_ms=None if timing is None else timing.floor_ms,
        sol_fraction=None
        if timing is None or timing.floor_ms is None
        else _finite(timing.floor_ms / timing.latency_ms),
        remarks=[_text(remark) for remark in evaluation.remarks],
        synthesized=[_text(name) for name in evaluation.synthesized],
        verdict=None if gating is None else gating.verdict,
        ratio=None if gating is None else gating.ratio,
        ratio_ci=None if gating is None or gating.ratio_ci is None else list(gating.ratio_ci),
        gate=None if gating is None else _gate_record(gating),
        failure=None,
    )


def _gate_record(gating: Gating) -> GateRecord:
    return GateRecord(
        baseline=_text(gating.baseline),
        margin=gating.margin,
        reason=_text(gating.reason),
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
    return [[_text(name), active, _text(reason)] for name, active, reason in evaluation.sandbox]


def _solution_info(loaded: LoadedSolution, build_seconds: float) -> SolutionInfo:
    solution = loaded.solution
    return SolutionInfo(
        name=_text(solution.name),
        author=_text(solution.author),
        definition=_text(solution.definition),
        language=_text(solution.spec.language),
        hash=solution.content_hash,
        path=_text(str(loaded.path)),
        build_seconds=_finite(build_seconds),
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _text(value: object) -> str:
    """Text that UTF-8 can hold; a broken character is spelled out."""
    return str(value).encode("utf-8", "backslashreplace").decode()
