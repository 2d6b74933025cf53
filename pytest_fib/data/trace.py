"""The official record of one solution judged on one workload; nothing of our own is added to it."""

from __future__ import annotations

import math
from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pytest_fib.data.definition import Name
from pytest_fib.data.workload import Workload

Milliseconds = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class EvaluationStatus(str, Enum):
    """How judging ended, in the official words."""

    PASSED = "PASSED"
    INCORRECT_SHAPE = "INCORRECT_SHAPE"
    INCORRECT_NUMERICAL = "INCORRECT_NUMERICAL"
    INCORRECT_DTYPE = "INCORRECT_DTYPE"
    RUNTIME_ERROR = "RUNTIME_ERROR"
    COMPILE_ERROR = "COMPILE_ERROR"
    TIMEOUT = "TIMEOUT"

    def __str__(self) -> str:
        return self.value


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")


class Correctness(_Frozen):
    """The largest errors over all compared elements; not negative, possibly infinite or NaN."""

    max_relative_error: float = 0.0
    max_absolute_error: float = 0.0
    extra: dict[str, Any] | None = None

    @field_validator("max_relative_error", "max_absolute_error")
    @classmethod
    def _not_negative(cls, value: float) -> float:
        if not math.isnan(value) and value < 0:
            raise ValueError("an error should not be negative")
        return value


class Performance(_Frozen):
    """Latencies in milliseconds; ``speedup_factor`` is reference latency divided by solution latency."""

    latency_ms: Milliseconds = 0.0
    reference_latency_ms: Milliseconds = 0.0
    speedup_factor: Milliseconds = 0.0


class Environment(_Frozen):
    """Where it was judged: the device's name and library versions."""

    hardware: Annotated[str, Field(min_length=1)]
    libs: dict[str, str] = Field(default_factory=dict)


class TraceEvaluation(_Frozen):
    """The outcome; PASSED has correctness and performance, INCORRECT_NUMERICAL correctness, others none."""

    status: EvaluationStatus
    environment: Environment
    timestamp: Annotated[str, Field(min_length=1)]
    log: str = ""
    correctness: Correctness | None = None
    performance: Performance | None = None

    @field_validator("log", mode="before")
    @classmethod
    def _encodable(cls, value: object) -> object:
        return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fields_fit_the_status(self) -> TraceEvaluation:
        wants_performance = self.status is EvaluationStatus.PASSED
        wants_correctness = wants_performance or self.status is EvaluationStatus.INCORRECT_NUMERICAL
        for name, wanted, value in (
            ("correctness", wants_correctness, self.correctness),
            ("performance", wants_performance, self.performance),
        ):
            if wanted != (value is not None):
                raise ValueError(
                    f"{name} should be {'given' if wanted else 'absent'} with {self.status.value}"
                )
        return self


class Trace(_Frozen):
    """A definition, a workload, a solution's name and what came of it (both None: a workload alone)."""

    definition: Name
    workload: Workload
    solution: str | None = None
    evaluation: TraceEvaluation | None = None

    def to_json_line(self) -> str:
        """Return the trace as one line of JSON Lines in the official schema, with the line's end."""
        return self.model_dump_json() + "\n"
