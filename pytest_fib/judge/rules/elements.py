"""When elements count as equal to the reference's.

``flashinfer``
    An element is out if its absolute error exceeds ``atol`` *and* its relative error exceeds ``rtol``, the relative
    error being |got - expected| / (|expected| + 1e-8) (FlashInfer-Bench).
``allclose``
    An element is out if |got - expected| > atol + rtol * |expected| (numpy, SOL-ExecBench).

A call passes if the share of elements that match is at least ``required_matched_ratio`` and no element is beyond
``max_error_cap``; where the ratio lets elements differ, none may differ by more than the largest magnitude of the
expected output, which no rounding explains. In both rules equal non-finite values match; any other non-finite value
fails the call, whatever the ratio, because what follows in a model turns one NaN into many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from pytest_fib.data.evaluation import Mismatch
from pytest_fib.judge.config import RuleName

_EPSILON = 1e-8
_CHUNK_ELEMENTS = 1 << 24


@dataclass(frozen=True)
class Rule:
    """A tolerance with nothing left open."""

    name: RuleName = "flashinfer"
    rtol: float = 1e-2
    atol: float = 1e-2
    required_matched_ratio: float = 1.0
    max_error_cap: float = math.inf

    def words(self) -> str:
        """Say when an element is out."""
        if self.name == "allclose":
            return f"abs > {self.atol:g} + {self.rtol:g} * |expected|"
        return f"abs > {self.atol:g} and rel > {self.rtol:g}"


@dataclass(frozen=True)
class Comparison:
    """How far the outputs of several calls are from the reference's.

    ``max_absolute_error`` and ``max_relative_error`` are over all elements that are finite on both sides;
    ``matched_ratio`` is the lowest of any call and output.
    """

    max_absolute_error: float
    max_relative_error: float
    matched_ratio: float
    mismatch: Mismatch | None

    @staticmethod
    def nothing() -> Comparison:
        """Return the comparison of no elements at all."""
        return Comparison(0.0, 0.0, 1.0, None)

    def merge(self, other: Comparison) -> Comparison:
        """Return the comparison of both sets of calls; the earlier mismatch is kept."""
        return Comparison(
            max(self.max_absolute_error, other.max_absolute_error),
            max(self.max_relative_error, other.max_relative_error),
            min(self.matched_ratio, other.matched_ratio),
            self.mismatch or other.mismatch,
        )


def compare(
    output: str, got: torch.Tensor, expected: Sequence[torch.Tensor], rule: Rule, calls: Sequence[int]
) -> Comparison:
    """Compare one output of several calls.

    Parameters
    ----------
    output
        Name of the output.
    got
        ``[calls, *shape]``, what the solution wrote.
    expected
        The reference's tensors, one ``[*shape]`` per call, of the same dtype.
    rule
        When an element is out.
    calls
        The numbers of the calls, for the failure text.
    """
    result = Comparison.nothing()
    numel = max(1, expected[0].numel())
    if expected[0].numel() == 0:
        return result
    step = max(1, _CHUNK_ELEMENTS // numel)
    for start in range(0, len(expected), step):
        part = slice(start, start + step)
        result = result.merge(
            _compare_block(output, got[part], torch.stack(list(expected[part])), rule, calls[part])
        )
    return result


def _compare_block(
    output: str, got: torch.Tensor, expected: torch.Tensor, rule: Rule, calls: Sequence[int]
) -> Comparison:
    wide = torch.float64 if _is_wide(expected.dtype) else torch.float32
    left = got.reshape(len(calls), -1).to(wide)
    right = expected.reshape(len(calls), -1).to(wide)
    difference = (left - right).abs_()
    magnitude = right.abs()
    relative = difference / (magnitude + _EPSILON)
    finite = torch.isfinite(difference)
    fatal = difference > rule.max_error_cap
    if rule.required_matched_ratio < 1.0:
        peak = torch.where(torch.isfinite(magnitude), magnitude, 0.0).amax(dim=1, keepdim=True)
        fatal |= difference > torch.clamp(peak, min=rule.atol)
    if rule.name == "allclose":
        out = difference > magnitude * rule.rtol + rule.atol
    else:
        out = (difference > rule.atol) & (relative > rule.rtol)
    if not bool(finite.all()):
        same = (left == right) | (torch.isnan(left) & torch.isnan(right))
        out = torch.where(finite, out, ~same)
        fatal = torch.where(finite, fatal, ~same)
        difference = torch.where(finite, difference, torch.zeros_like(difference))
        relative = torch.where(finite, relative, torch.zeros_like(relative))
    failed = out.sum(dim=1)
    ratios = 1.0 - failed.to(torch.float64) / right.shape[1]
    comparison = Comparison(float(difference.max()), float(relative.max()), float(ratios.min()), None)
    bad = (ratios < rule.required_matched_ratio) | fatal.any(dim=1)
    if not bool(bad.any()):
        return comparison
    out |= fatal
    call = int(torch.where(bad, out.sum(dim=1), -1).argmax())
    mismatch = _describe(
        output, left[call], right[call], out[call], finite[call], expected.shape[1:], rule, calls[call]
    )
    return replace(comparison, mismatch=mismatch)


def _describe(
    output: str,
    got: torch.Tensor,
    expected: torch.Tensor,
    out: torch.Tensor,
    finite: torch.Tensor,
    shape: torch.Size,
    rule: Rule,
    call: int,
) -> Mismatch:
    """Describe the worst element of one call (1-D tensors): a wrong non-finite one, else the largest error."""
    strange = torch.nonzero(out & ~finite).flatten()
    if len(strange):
        worst = int(strange[0])
        problem = "elements out of tolerance, non-finite values among them"
    else:
        error = (got - expected).abs()
        worst = int(torch.where(out, error, torch.full_like(error, -1.0)).argmax())
        problem = "elements out of tolerance"
        if 1.0 - float(out.sum()) / out.numel() >= rule.required_matched_ratio:
            problem += ", one of them by more than any rounding explains"
    failed, total = int(out.sum()), out.numel()
    absolute = abs(float(got[worst]) - float(expected[worst]))
    return Mismatch(
        output=output,
        call=call,
        problem=problem,
        failed=failed,
        total=total,
        index=_unravel(worst, shape),
        expected=float(expected[worst]),
        got=float(got[worst]),
        absolute_error=absolute,
        relative_error=absolute / (abs(float(expected[worst])) + _EPSILON),
        atol=rule.atol,
        rtol=rule.rtol,
        rule=rule.words(),
        required_matched_ratio=rule.required_matched_ratio,
        matched_ratio=1.0 - failed / total,
    )


def _unravel(flat: int, shape: Sequence[int]) -> tuple[int, ...]:
    index = []
    for size in reversed(shape):
        flat, remainder = divmod(flat, size)
        index.append(remainder)
    return tuple(reversed(index))


def _is_wide(dtype: torch.dtype) -> bool:
    """Whether float32 cannot hold every value of ``dtype``."""
    return dtype in (torch.float64, torch.int32, torch.int64)
