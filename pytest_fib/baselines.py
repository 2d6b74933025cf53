"""What solutions are compared with: other solutions, which run beside them, or the numbers of earlier runs."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_fib.data import files
from pytest_fib.data.evaluation import Evaluation, Gating, Stage
from pytest_fib.data.files import shown
from pytest_fib.data.readers import read_solution, read_traces
from pytest_fib.data.results import SCHEMA, Conditions, Report, read_report
from pytest_fib.data.solution import LoadedSolution
from pytest_fib.data.text import escape
from pytest_fib.data.trace import EvaluationStatus, Trace
from pytest_fib.errors import DataError, SettingsError
from pytest_fib.measure.gate import LEAST_RUNS, find_of_numbers
from pytest_fib.named import is_starter_kit
from pytest_fib.settings import Settings

_OURS = "pytest-fib"


@dataclass(frozen=True)
class Key:
    """Where and how a latency was measured; what a file does not say is None, and then nobody knows.

    ``versions`` are those of the libraries that a trace names, of which nothing else is known.
    """

    hardware: str
    driver: str | None
    clock: str | None
    how: tuple[object, ...] | None
    versions: tuple[tuple[str, str], ...] | None = None

    def difference(self, now: Key) -> str:
        """Return what of this is not so now, in words; empty if all is as it was."""
        parts: list[tuple[str, object, object]] = [
            ("device", self.hardware, now.hardware),
            ("driver", self.driver, now.driver),
            ("clock", self.clock, now.clock),
        ]
        parts += [("profile", self.how, now.how)] if self.how is not None else []
        parts += [("library versions", self.versions, now.versions)] if self.versions is not None else []
        return ", ".join(name for name, then, current in parts if then != current)


@dataclass(frozen=True)
class Run:
    """The latency of one solution on one workload in an earlier run."""

    definition: str
    workload: str
    solution: str
    solution_hash: str | None
    key: Key
    latency_ms: float


@dataclass(frozen=True)
class Numbers:
    """The runs of one solution that is a baseline without being there; ``others`` are other versions of its code."""

    name: str
    runs: tuple[Run, ...]

    def gate(self, evaluation: Evaluation, now: Key, margin: float) -> Evaluation:
        """Return the evaluation, of a solution that passed and was timed under ``now``, with what the numbers say."""
        assert evaluation.timing is not None
        runs = [run for run in self.runs if run.workload == evaluation.workload]
        alike = [run.latency_ms for run in runs if not run.key.difference(now)]
        latency = evaluation.timing.latency_ms
        gating = Gating(self.name, margin, latency_ms=latency)
        finding = find_of_numbers(latency, alike, margin)
        if finding is not None:
            gating = replace(
                gating,
                verdict=finding.verdict,
                ratio=finding.ratio,
                ratio_ci=finding.ratio_ci,
                baseline_latency_ms=latency / finding.ratio,
                stages=(Stage((latency,), tuple(alike)),),
            )
        elif alike:
            centre = math.exp(math.fsum(map(math.log, alike)) / len(alike))
            reason = (
                f"reported, not gated: {len(alike)} earlier runs are there, an interval needs {LEAST_RUNS}"
            )
            gating = replace(gating, reason=reason, ratio=latency / centre, baseline_latency_ms=centre)
        else:
            differences = sorted({run.key.difference(now) for run in runs})
            reason = (
                f"not comparable: another {differences[0]}"
                if differences
                else "the baseline has no such workload"
            )
            gating = replace(gating, reason=reason)
        return replace(evaluation, gating=gating)


Baseline = LoadedSolution | Numbers


def check_gate(settings: Settings) -> None:
    """Raise SettingsError where the gate's settings make no sense together."""
    if settings.aa and settings.baseline:
        raise SettingsError("--fib-aa makes each solution its own baseline; leave --fib-baseline out")
    if not (settings.aa or settings.baseline):
        return
    wanted = "--fib-aa" if settings.aa else "--fib-baseline"
    if settings.seed is not None:
        raise SettingsError(
            f"{wanted} needs secret inputs, and --fib-seed makes them predictable; leave one of them out"
        )
    if settings.no_timing:
        raise SettingsError(
            f"{wanted} compares latencies, and --fib-no-timing measures none; leave one of them out"
        )


def find_baselines(settings: Settings, definitions: Collection[str]) -> dict[str, Baseline]:
    """Return the baseline of each definition that has one.

    Raises
    ------
    SettingsError
        A baseline cannot be read, two are of one definition, or one that a flag names is of none of ``definitions``.
    """
    found: dict[str, Baseline] = {}
    runs: list[Run] = []
    for path in settings.baseline:
        try:
            baseline = _read(path)
        except DataError as error:
            raise SettingsError(f"--fib-baseline: {error}") from None
        names = (
            {baseline.solution.definition}
            if isinstance(baseline, LoadedSolution)
            else {run.definition for run in baseline}
        )
        if settings.baseline_from_flag and not names & set(definitions):
            raise SettingsError(
                f"--fib-baseline: {shown(path)} is of {_listed(names)}, of which no solution is judged; name a "
                "baseline of the same definition"
            )
        if isinstance(baseline, LoadedSolution):
            _put(found, baseline.solution.definition, baseline)
        else:
            runs += baseline
    for definition in dict.fromkeys(run.definition for run in runs):
        _put(found, definition, _numbers([run for run in runs if run.definition == definition]))
    return found


def key_of_report(conditions: Conditions, clock: str | None) -> Key:
    """Return the key of a measurement in a report."""
    how = (
        conditions.profile,
        conditions.warmup_runs,
        conditions.iterations,
        conditions.trials,
        conditions.isolation,
        conditions.usable_cores,
    )
    return Key(conditions.hardware, conditions.driver, clock, how)


def _put(found: dict[str, Baseline], definition: str, baseline: Baseline) -> None:
    if definition in found:
        raise SettingsError(
            f"--fib-baseline: '{escape(definition, 120)}' has two baselines; name one for a definition"
        )
    found[definition] = baseline


def _numbers(runs: list[Run]) -> Numbers:
    """Return the baseline that the runs of one definition make: one solution, in one version of its code."""
    names = {run.solution for run in runs}
    if len(names) > 1:
        raise SettingsError(
            f"--fib-baseline: the numbers of '{escape(runs[0].definition, 120)}' are of {_listed(names)}; name files "
            "with one solution for a definition"
        )
    # Files come in order of their age, and what counts is the code as it was last.
    last = runs[-1].solution_hash
    return Numbers(runs[0].solution, tuple(run for run in runs if run.solution_hash == last))


def _read(path: Path) -> LoadedSolution | list[Run]:
    if path.is_dir() and not is_starter_kit(path):
        below = [
            file for file in path.rglob("*.json*") if file.suffix in (".json", ".jsonl") and file.is_file()
        ]
        runs = [
            run for file in sorted(below, key=lambda file: file.stat().st_mtime_ns) for run in _runs(file)
        ]
        if not runs:
            raise DataError(
                f"{shown(path)} holds no report or trace with a timed workload; name another folder"
            )
        return runs
    if path.is_dir() or (path.suffix != ".jsonl" and not _holds_numbers(path)):
        return read_solution(path)
    found = list(_runs(path))
    if not found:
        raise DataError(f"{shown(path)} has no timed workload; name another file")
    return found


def _holds_numbers(path: Path) -> bool:
    with files.naming(path):
        value = files.parse_json(files.read_text(path))
    return isinstance(value, dict) and ("evaluation" in value or _is_report(value))


def _is_report(value: Any) -> bool:
    return isinstance(value, dict) and value.get("schema") == SCHEMA


def _runs(path: Path) -> Iterator[Run]:
    if path.suffix == ".jsonl":
        yield from _runs_of_traces(read_traces(path))
        return
    with files.naming(path):
        value = files.parse_json(files.read_text(path))
    if _is_report(value):
        yield from _runs_of_report(read_report(path))
    else:
        yield from _runs_of_traces(read_traces(path))


def _runs_of_report(report: Report) -> Iterator[Run]:
    for measured in report.measurements:
        if measured.timed_ms is not None and measured.inputs == "secret":
            key = key_of_report(report.conditions, measured.clock)
            yield Run(
                measured.definition,
                measured.workload,
                measured.solution,
                measured.solution_hash,
                key,
                measured.timed_ms,
            )


def _runs_of_traces(traces: Iterable[Trace | DataError]) -> Iterator[Run]:
    for trace in traces:
        if isinstance(trace, DataError):
            raise trace
        evaluation = trace.evaluation
        if (
            evaluation is None
            or evaluation.status is not EvaluationStatus.PASSED
            or not evaluation.performance
        ):
            continue
        libs = evaluation.environment.libs
        # Whoever else wrote it had another clock: ours is around a process, not in it.
        clock = "judge" if _OURS in libs else "unknown"
        key = Key(evaluation.environment.hardware, None, clock, None, tuple(sorted(libs.items())))
        if evaluation.performance.latency_ms > 0:
            yield Run(
                trace.definition,
                trace.workload.uuid,
                trace.solution or "",
                None,
                key,
                evaluation.performance.latency_ms,
            )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{escape(name, 120)}'" for name in sorted(names)[:5])
