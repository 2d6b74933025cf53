"""How closely a solution that passes is looked at, and how what is found is said."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from pytest_fib.data.evaluation import Mismatch
from pytest_fib.data.text import escape
from pytest_fib.judge.bench import Bench
from pytest_fib.judge.failures import CandidateError
from pytest_fib.judge.numerics import MAX_RATIO, Others, error_ratio
from pytest_fib.judge.verification import Tally, WrongOutput

NEARBY_CALLS = 3
"""Calls with a shape beside the published one."""


@dataclass(frozen=True)
class Scrutiny:
    """What a closer look may cost; seconds and bytes.

    Attributes
    ----------
    float64_s
        Time after which no further call is computed in float64.
    reference_s
        Slower references are not computed in float64 at all.
    call_s, longest_s
        Mean and longest call with which unpublished shapes are tried.
    nearby_bytes, nearby_timeout_s
        Inputs of one such call, and the limit of all.
    """

    float64_s: float = 0.03
    reference_s: float = 0.25
    call_s: float = 0.05
    longest_s: float = 0.25
    nearby_bytes: int = 64 << 20
    nearby_timeout_s: float = 5.0

    @classmethod
    def strict(cls) -> Scrutiny:
        """Return the limits where findings are failures: nothing is too dear that can be had in some seconds."""
        return cls(
            float64_s=1.0,
            reference_s=5.0,
            call_s=2.0,
            longest_s=60.0,
            nearby_bytes=1 << 30,
            nearby_timeout_s=60.0,
        )

    def error_ratio(self, bench: Bench) -> float | None:
        """Return the error ratio of the calls that ``bench`` kept, or None where it cannot be had."""
        verification = bench.verification
        samples = verification.samples
        if samples is None or not samples.kept:
            return None
        if statistics.median(bench.tally.reference_ns) > self.reference_s * 1e9:
            return None
        return error_ratio(
            samples.kept, bench.inputs, verification.reference, verification.output_shapes, self.float64_s
        )

    def affords_shapes(self, tally: Tally) -> bool:
        """Whether calls are quick enough to make some more."""
        if tally.calls == 0 or tally.longest_ns > self.longest_s * 1e9:
            return False
        reference_ns = statistics.median(tally.reference_ns) if tally.reference_ns else 0.0
        return max(tally.call_ns / tally.calls, reference_ns) <= self.call_s * 1e9

    def affords_bytes(self, nbytes: int) -> bool:
        """Whether inputs of that size may be drawn once more."""
        return nbytes <= self.nearby_bytes


def imprecise(ratio: float | None) -> str:
    """Return a remark on an error ratio, empty if there is nothing to remark."""
    if ratio is None or ratio <= MAX_RATIO:
        return ""
    return f"error is {ratio:.3g} times what rounding explains, against float64: a precision downgrade?"


def wrong_elsewhere(others: Others) -> str:
    """Return a remark on calls whose inputs were not normal, empty if there is nothing to remark."""
    if others.first is None:
        return ""
    distribution, mismatch = others.first
    return (
        f"wrong in {others.wrong} of {others.calls} calls whose inputs are not standard normal, first where they are "
        f"{distribution}: {_described(mismatch)}"
    )


def unpublished(difference: str, status: str, error: CandidateError) -> str:
    """Return a remark on a failure with a shape beside the published one; ``error`` holds untrusted text."""
    if isinstance(error, WrongOutput) and error.comparison.mismatch is not None:
        seen = _described(error.comparison.mismatch)
    else:
        lines = [line.strip() for line in error.log.splitlines() if line.strip()]
        seen = escape(lines[-1], 200) if lines else "no log"
    return f"unpublished shape {escape(difference, 80)}: {status}: {seen}"


def _described(mismatch: Mismatch) -> str:
    if mismatch.sentence:
        return mismatch.sentence
    output = escape(mismatch.output, 60)
    text = f"{mismatch.failed} of {mismatch.total} elements of output {output} are out of tolerance"
    if mismatch.expected is None or mismatch.got is None:
        return text
    return f"{text}, expected {mismatch.expected:.6g}, got {mismatch.got:.6g}"
