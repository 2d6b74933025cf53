"""What lies beyond tolerance: errors as multiples of what rounding explains, and inputs that are not normal.

The error ratio of an output compares the solution's distance from a float64 run of the reference with a yardstick,
the largest of

* the distance of the reference itself, as it stands in the definition,
* ``u * |y|``, the rounding of the exact value to the output's type (u: half its epsilon),
* ``sqrt(n) * v * |y|``, a sum of n products in float32 (v = 2^-24; in float64 where the output is) whose roundings
  are independent (Higham and Mary, A New Approach to Probabilistic Rounding Error Analysis, 2019); n is the largest
  dimension of any input, at most 2^16,

each measured over all elements of the output in the same way: as root mean square, and as 99.9th percentile. The
ratio is the larger of both quotients. It is 0.6 for a kernel that rounds once at the end, 1.4 for one that rounds
every step to bfloat16, and hundreds for one that rounds float32 inputs to 10 bits.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from pytest_fib.data.evaluation import Mismatch
from pytest_fib.inputs import InputPlan
from pytest_fib.judge.reference import Inputs, Reference
from pytest_fib.judge.rules import Rule, compare

MAX_RATIO = 8.0
"""An error ratio beyond this is remarked on; orders of summation alone stay far below."""

_SAMPLES = 8
_SAMPLE_BYTES = 64 << 20
_WIDE_INPUT_BYTES = 128 << 20  # in float64 they take up to four times as much
_MAX_TERMS = 1 << 16
_DOUBTS = 4  # so many calls show that a problem is too delicate for other inputs
_HIGH = 0.999
_ROUNDINGS = 2  # of intermediate results of the output's type
_NORMAL_PEAK = 4.0  # about the largest of some thousands of standard normal numbers


@dataclass(frozen=True)
class Sample:
    """The outputs of one verified call in definition order, the solution's and the reference's."""

    call: int
    got: tuple[torch.Tensor, ...]
    expected: tuple[torch.Tensor, ...]


class Samples:
    """A few verified calls, chosen secretly and evenly among all that are offered (reservoir sampling)."""

    def __init__(self, random: np.random.Generator, most: int = _SAMPLES) -> None:
        self.kept: list[Sample] = []
        self._random = random
        self._most = most
        self._offered = 0

    def offer(self, call: int, got: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> None:
        """Keep copies of the outputs of ``call``, perhaps in place of another's."""
        nbytes = 2 * sum(tensor.nbytes for tensor in expected)
        most = min(self._most, _SAMPLE_BYTES // max(1, nbytes))
        self._offered += 1
        place = len(self.kept) if len(self.kept) < most else int(self._random.integers(self._offered))
        if place >= most:
            return
        self.kept[place : place + 1] = [
            Sample(
                call, tuple(tensor.clone() for tensor in got), tuple(tensor.clone() for tensor in expected)
            )
        ]


def error_ratio(
    samples: Sequence[Sample],
    inputs: InputPlan,
    reference: Reference,
    shapes: Mapping[str, tuple[int, ...]],
    budget_s: float,
) -> float | None:
    """Return the median over ``samples`` of the worst output's error ratio, or None where it cannot be had.

    The median, because a reference that decides something (which expert, which token) may decide otherwise in
    float64 for a rare row, and because who gains anything by lower precision does it in at least half of the calls.

    Parameters
    ----------
    inputs
        The plan that the samples' inputs were drawn from.
    budget_s
        Seconds after which no further sample is looked at; the first is looked at in any case.
    """
    if inputs.nbytes > _WIDE_INPUT_BYTES:
        return None
    terms = max((size for layout in inputs.tensors.values() for size in layout.shape), default=1)
    ratios: list[float] = []
    start = time.perf_counter()
    for sample in samples:
        exact = reference.in_float64({**inputs.draw(sample.call), **inputs.scalars}, shapes)
        if exact is None:
            return None
        found = [
            ratio_of(got, expected, truth, terms)
            for got, expected, truth in zip(sample.got, sample.expected, exact, strict=True)
            if truth is not None and truth.numel()
        ]
        if found:
            ratios.append(max(found))
        if time.perf_counter() - start > budget_s:
            break
    return statistics.median(ratios) if ratios else None


def ratio_of(got: torch.Tensor, expected: torch.Tensor, exact: torch.Tensor, terms: int) -> float:
    """Return the error ratio of one output of one call; elements that are not finite are left out.

    ``got`` and ``expected`` have the output's float type, ``exact`` is the same in float64; ``terms`` is n above.
    """
    limits = torch.finfo(expected.dtype)
    inner = 2.0**-53 if expected.dtype is torch.float64 else 2.0**-24
    allowance = max(limits.eps / 2, math.sqrt(min(terms, _MAX_TERMS)) * inner)
    left, right, truth = (tensor.double().flatten() for tensor in (got, expected, exact))
    finite = torch.isfinite(left) & torch.isfinite(right) & torch.isfinite(truth)
    if not bool(finite.all()):
        left, right, truth = left[finite], right[finite], truth[finite]
    if truth.numel() == 0:
        return 0.0
    ratios = []
    for size in (_root_mean_square, _high):
        yardstick = max(size(right - truth), allowance * size(truth), limits.smallest_normal)
        ratios.append(size(left - truth) / yardstick)
    return max(ratios)


def _root_mean_square(values: torch.Tensor) -> float:
    return math.sqrt(float(values.square().mean()))


def _high(values: torch.Tensor) -> float:
    return float(values.abs().kthvalue(math.ceil(_HIGH * values.numel())).values)


class Exact:
    """The float64 run of one call, made when first asked for."""

    def __init__(self, reference: Reference, inputs: Inputs, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._reference = reference
        self._inputs = inputs
        self._shapes = shapes
        self._outputs: list[torch.Tensor | None] | None = None
        self._asked = False

    def output(self, number: int) -> torch.Tensor | None:
        """Return one output in definition order, or None where it cannot be had."""
        if not self._asked:
            self._asked = True
            nbytes = sum(value.nbytes for value in self._inputs.values() if isinstance(value, torch.Tensor))
            if nbytes <= _WIDE_INPUT_BYTES:
                self._outputs = self._reference.in_float64(self._inputs, self._shapes)
        return None if self._outputs is None else self._outputs[number]


@dataclass
class Others:
    """Verified calls whose inputs are not standard normal, and what was wrong with them.

    Attributes
    ----------
    calls, wrong
        How many there were, and how many of them were wrong.
    first
        The distribution and the mismatch of the first wrong one.
    doubtful
        How many were out of tolerance where the reference itself is, compared with a float64 run.
    """

    calls: int = 0
    wrong: int = 0
    first: tuple[str, Mismatch] | None = None
    doubtful: int = field(default=0, repr=False)

    def add(
        self,
        distribution: str,
        got: Mapping[str, torch.Tensor],
        expected: Sequence[torch.Tensor],
        rule: Rule,
        call: int,
        exact: Exact,
    ) -> None:
        """Compare one call.

        Parameters
        ----------
        got
            Output name to tensor ``[1, *shape]``, as the definition orders them.
        expected
            The reference's outputs.
        exact
            Asked for the same in float64 only where something is wrong.
        """
        self.calls += 1
        for number, ((name, tensor), right) in enumerate(zip(got.items(), expected, strict=True)):
            fitting = rule_at_magnitude(rule, right)
            mismatch = fitting and compare(name, tensor, [right], fitting, [call]).mismatch
            if not fitting or not mismatch:
                continue
            if self.first is None and (
                self.doubtful >= _DOUBTS
                or not self._holds(name, tensor, right, fitting, exact.output(number))
            ):
                return
            self.wrong += 1
            self.first = self.first or (distribution, mismatch)
            return

    def _holds(
        self, name: str, got: torch.Tensor, expected: torch.Tensor, rule: Rule, exact: torch.Tensor | None
    ) -> bool:
        """Whether the solution is wrong, rather than the problem too delicate for the reference itself."""
        if exact is None:
            return True
        truth = exact.to(expected.dtype)
        unsure = compare(name, expected.unsqueeze(0), [truth], rule, [0]).mismatch is not None
        right = compare(name, got, [truth], rule, [0]).mismatch is None
        self.doubtful += unsure or right
        return not (unsure or right)


def rule_at_magnitude(rule: Rule, expected: torch.Tensor) -> Rule | None:
    """Return ``rule`` for an output of larger numbers than standard normal inputs give, or None if it says nothing.

    Absolute tolerances are meant for outputs of order one; they grow with the largest magnitude, beyond that of a
    normal one, because that is what the errors of sums do, and are never less than two roundings of it. An output
    with NaN, infinity or values near the end of its type says nothing: where it overflows is a matter of order.
    """
    if not expected.dtype.is_floating_point or expected.numel() == 0:
        return rule
    values = expected.double()
    if bool(torch.isnan(values).any()) or bool(torch.isposinf(values).any()):
        return None
    peak = float(torch.where(torch.isfinite(values), values.abs(), 0.0).max())
    if peak > torch.finfo(expected.dtype).max / 4:
        return None
    factor = max(1.0, peak / _NORMAL_PEAK)
    roundings = _ROUNDINGS * torch.finfo(expected.dtype).eps / 2 * peak
    return replace(rule, atol=max(rule.atol * factor, roundings), max_error_cap=rule.max_error_cap * factor)
