"""A report that was written earlier, perhaps by somebody else: what comparing and ranking need of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pytest_fib.data import files
from pytest_fib.data.definition import Name
from pytest_fib.data.problems import validated
from pytest_fib.data.text import show
from pytest_fib.data.trace import EvaluationStatus
from pytest_fib.errors import DataError

SCHEMA = "pytest-fib/1"

Milliseconds = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=0)]
Text = Annotated[str, Field(max_length=2000)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Measured(_Frozen):
    """One entry of a report's ``measurements``; latencies in milliseconds."""

    definition: Name
    workload: Name
    solution: Name
    solution_hash: Name
    status: EvaluationStatus
    latency_ms: Milliseconds | None = None
    latency_ci95_ms: tuple[Milliseconds, Milliseconds] | None = None
    clock: Text | None = None
    inputs: Text = "secret"

    @model_validator(mode="after")
    def _interval_is_one(self) -> Measured:
        if self.latency_ci95_ms and self.latency_ci95_ms[0] > self.latency_ci95_ms[1]:
            raise ValueError("latency_ci95_ms should begin with the lower end")
        return self

    @property
    def passed(self) -> bool:
        """Whether the status is PASSED."""
        return self.status is EvaluationStatus.PASSED

    @property
    def timed_ms(self) -> float | None:
        """The latency, where it passed."""
        return self.latency_ms if self.passed else None


class _Cpu(_Frozen):
    usable_cores: Count | None = None


class _Git(_Frozen):
    commit: Text


class _Environment(_Frozen):
    hardware: Text
    driver: Text | None = None
    cpu: _Cpu = _Cpu()
    libs: dict[Text, Text] = Field(default_factory=dict)
    timer: Text | None = None
    git: _Git | None = None


class _Config(_Frozen):
    profile: Text | None = None
    warmup_runs: Count | None = None
    iterations: Count | None = None
    trials: Count | None = None
    isolation: Text | None = None


class _SolutionInfo(_Frozen):
    name: Name
    author: Name
    hash: Name


class _TracedWorkload(_Frozen):
    uuid: Name


class _Performance(_Frozen):
    reference_latency_ms: Milliseconds | None = None

    @field_validator("reference_latency_ms", mode="before")
    @classmethod
    def _none_if_not_measured(cls, value: object) -> object:
        return value if isinstance(value, float | int) and value != 0 else None


class _Outcome(_Frozen):
    timestamp: Text
    performance: _Performance | None = None


class _Traced(_Frozen):
    definition: Name
    workload: _TracedWorkload
    evaluation: _Outcome | None = None


@dataclass(frozen=True)
class Conditions:
    """What must be the same for two latencies to be comparable."""

    hardware: str
    driver: str | None
    usable_cores: int | None
    timer: str | None
    profile: str | None
    warmup_runs: int | None
    iterations: int | None
    trials: int | None
    isolation: str | None

    def differences(self, other: Conditions) -> list[str]:
        """Return what differs, a phrase each, as in ``hardware 'A' against 'B'``."""
        mine, others = asdict(self), asdict(other)
        return [
            f"{name.replace('_', ' ')} {show(value)} against {show(others[name])}"
            for name, value in mine.items()
            if value != others[name]
        ]


class Report(_Frozen):
    """A report; keys that are not needed here are not looked at."""

    schema_name: Literal["pytest-fib/1"] = Field(alias="schema")
    environment: _Environment
    config: _Config
    solutions: tuple[_SolutionInfo, ...]
    traces: tuple[_Traced, ...]
    measurements: tuple[Measured, ...]

    @cached_property
    def conditions(self) -> Conditions:
        """Where and how the run measured."""
        where, how = self.environment, self.config
        return Conditions(
            where.hardware,
            where.driver,
            where.cpu.usable_cores,
            where.timer,
            how.profile,
            how.warmup_runs,
            how.iterations,
            how.trials,
            how.isolation,
        )

    @property
    def commit(self) -> str:
        """The commit of the rootdir; empty if not known."""
        return self.environment.git.commit if self.environment.git else ""

    @cached_property
    def authors(self) -> dict[str, str]:
        """The author of each solution by its hash."""
        return {info.hash: info.author for info in self.solutions}

    @cached_property
    def finished(self) -> datetime | None:
        """When the last workload that left a trace was judged, in UTC; None without any.

        Raises
        ------
        DataError
            A time is not one.
        """
        times = [_time(trace.evaluation.timestamp) for trace in self.traces if trace.evaluation]
        return max(times, default=None)

    def reference_latencies(self) -> Iterator[tuple[tuple[str, str], float]]:
        """Yield (definition, workload) and a latency of its reference in ms, for each time that it was measured."""
        for trace in self.traces:
            performance = trace.evaluation.performance if trace.evaluation else None
            if performance and performance.reference_latency_ms is not None:
                yield (trace.definition, trace.workload.uuid), performance.reference_latency_ms


def read_report(path: Path) -> Report:
    """Read a report that ``--fib-report`` wrote.

    Raises
    ------
    DataError
        The file cannot be read as a report.
    """
    return read_report_bytes(path)[0]


def read_report_bytes(path: Path) -> tuple[Report, bytes]:
    """Read a report, and return it with the bytes that it was made of.

    Raises
    ------
    DataError
        As :func:`read_report`.
    """
    with files.naming(path):
        raw = files.read_bytes(path)
        return parse_report(raw), raw


def parse_report(raw: bytes) -> Report:
    """Return the report in the bytes of a file.

    Raises
    ------
    DataError
        The bytes are no report; the message does not name the file.
    """
    value = files.parse_json(files.decode(raw))
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise DataError(f"is not a report of the schema {SCHEMA}; name a file that --fib-report wrote")
    report = validated(Report, value)
    _ = report.finished  # a time that is not one is a problem of the file, and found here
    return report


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise DataError(f"field 'traces' has the time {show(text)}; write it as ISO 8601") from None
