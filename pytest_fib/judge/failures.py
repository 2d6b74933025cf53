"""How a candidate can fail, as exceptions inside the judge; each becomes an official status at one place."""

from __future__ import annotations

from pytest_fib.border.wire import Failure
from pytest_fib.data.trace import EvaluationStatus


class CandidateError(Exception):
    """The candidate failed; ``status`` is the official one and the message is the log."""

    status = EvaluationStatus.RUNTIME_ERROR

    def __init__(self, log: str, status: EvaluationStatus | None = None) -> None:
        super().__init__(log)
        self.log = log
        if status is not None:
            self.status = status


class CandidateDied(CandidateError):
    """The candidate's process ended before it answered."""


class CandidateTimeout(CandidateError):
    """The candidate did not answer within its time limit and was killed."""

    status = EvaluationStatus.TIMEOUT


class IntegrityViolation(CandidateError):
    """The candidate broke the rules of measurement; the log begins ``integrity:`` and says what was seen."""

    def __init__(self, seen: str) -> None:
        super().__init__(f"integrity: {seen}")
        self.seen = seen


class DeviceBusy(IntegrityViolation):
    """Something is at work on the device between requests, and does not come to an end."""


STATUS_OF = {
    Failure.COMPILE: EvaluationStatus.COMPILE_ERROR,
    Failure.RUNTIME: EvaluationStatus.RUNTIME_ERROR,
    Failure.SHAPE: EvaluationStatus.INCORRECT_SHAPE,
    Failure.DTYPE: EvaluationStatus.INCORRECT_DTYPE,
}
