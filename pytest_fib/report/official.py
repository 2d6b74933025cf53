"""The official trace of an evaluation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pytest_fib.report.environment import Machine
from pytest_fib.report.plain import finite, valid_text

if TYPE_CHECKING:
    from pytest_fib.data.evaluation import Evaluation, Timing
    from pytest_fib.data.trace import Trace
    from pytest_fib.data.workload import Workload


TRACE_LOG_LIMIT = 64 * 1024
"""Characters of log and output that a trace keeps."""


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


def speedup_of(timing: Timing) -> float | None:
    """Return the speedup; None where the latency is zero, below the resolution of the clock."""
    return None if timing.latency_ms <= 0 else finite(timing.speedup)


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
    speedup = speedup_of(timing)
    figures = {
        "latency_ms": timing.latency_ms,
        "reference_latency_ms": timing.reference_latency_ms,
        "speedup_factor": math.nan if speedup is None else speedup,
    }
    acceptable = all(math.isfinite(figure) and figure >= 0 for figure in figures.values())
    return figures if acceptable else None


def _trace_log(evaluation: Evaluation) -> str:
    log = "\n".join(part for part in (evaluation.log, evaluation.output) if part)
    if len(log) > TRACE_LOG_LIMIT:
        log = log[:TRACE_LOG_LIMIT] + "\n[cut]"
    return valid_text(log)
