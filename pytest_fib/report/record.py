"""One finished item as plain values: made where the item ran, carried on its report, kept by the controller.

Everything in a record is None, a bool, an int, a float, a str, a list or a dict with str keys, so that it survives
xdist and becomes JSON without a rule of its own. Numbers that are not finite become None, except in the
trace, where they are the strings of the official schema, and in the two worst errors, which are only displayed.
"""

from __future__ import annotations

from typing import Any, TypedDict

import pytest


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


class ConditionsRecord(TypedDict):
    """What a device was like around the measured blocks; the fields are those of ``data.evaluation.Conditions``."""

    problem: str
    driver: str
    sm_mhz: list[int] | None
    memory_mhz: list[int] | None
    idle_sm_mhz: int | None
    max_sm_mhz: int | None
    reasons: list[str]
    locked: bool | None
    blocks: int
    slowed_blocks: int
    repeated_blocks: int
    others: int | None


class Measurement(TypedDict):
    """One entry of the report's ``measurements``; latencies in milliseconds."""

    definition: str
    workload: str
    solution: str
    solution_hash: str
    nodeid: str
    device: str
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
    sol_score: float | None
    remarks: list[str]
    synthesized: list[str]
    verdict: str | None
    ratio: float | None
    ratio_ci: list[float] | None
    failure: str | None
    gate: GateRecord | None
    conditions: ConditionsRecord | None


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


class BuildRecord(TypedDict):
    """One entry of the report's ``builds``: a solution that was built and not run.

    ``kernels`` are those of Triton that were compiled for ``architecture``; empty where none was to be compiled.
    """

    definition: str
    solution: str
    solution_hash: str
    nodeid: str
    seconds: float | None
    architecture: str
    kernels: list[str]
    remarks: list[str]


class Record(TypedDict):
    """What is known about one item. Exactly one of ``measurement``, ``skip``, ``fuzz`` and ``build`` is given.

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
    build: BuildRecord | None
    unjudged_failure: bool
    device: str | None
    sandbox: list[list[Any]]
    op_type: str
    axes: dict[str, int]
    speedup: float | None
    reference_latency_ms: float | None
    absolute_error: float | None
    relative_error: float | None


SKIP_KEY = pytest.StashKey[str]()
"""Why an item was skipped, in words that it shares with other items of its file."""

RECORD_KEY: pytest.StashKey[list[Record]] = pytest.StashKey()
"""Where an item keeps its records; one per evaluation, so a plain item has one."""


def nodeid_of(record: Record) -> str:
    """Return the id of the item that the record belongs to."""
    part = record["measurement"] or record["skip"] or record["fuzz"] or record["build"]
    return part["nodeid"] if part else ""


def has_passed(record: Record) -> bool:
    """Whether the record is that of a judged workload with status PASSED."""
    measurement = record["measurement"]
    return measurement is not None and measurement["status"] == "PASSED"


def stopped_by_gate(record: Record) -> bool:
    """Whether the record's solution was right and its item failed all the same."""
    measurement = record["measurement"]
    return has_passed(record) and measurement is not None and measurement["failure"] is not None
