"""Comparing what calls wrote with what they should have written: taken at once, compared when there is time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from pytest_fib.border.arena import Region
from pytest_fib.errors import DataError
from pytest_fib.inputs.distributions import NORMAL
from pytest_fib.judge.arena import tensors_of
from pytest_fib.judge.failures import CandidateError
from pytest_fib.judge.numerics import Exact, Others, Samples
from pytest_fib.judge.reference import Reference
from pytest_fib.judge.rules import Calls, Comparison, Verifier, compare
from pytest_fib.judge.rules.verifier import Inputs


class WrongOutput(CandidateError):
    """A verified call is not what the reference says; ``comparison`` has the mismatch."""

    def __init__(self, comparison: Comparison) -> None:
        super().__init__("wrong output")
        self.comparison = comparison


def choose_calls(
    places: npt.NDArray[np.intp], wanted: int, random: np.random.Generator
) -> npt.NDArray[np.intp]:
    """Return ``wanted`` of ``places``, in no order; all if they are fewer.

    As many of the first half as of the second: who is wrong in the later half alone, because he expects that the
    earlier one will be taken for warm-up, is found as surely as who is wrong anywhere.
    """
    middle = len(places) // 2
    late, early = random.permutation(places[middle:]), random.permutation(places[:middle])
    return np.concatenate([late[: math.ceil(wanted / 2)], early[: wanted // 2]])


@dataclass
class Tally:
    """What has been done for one workload so far; times in nanoseconds.

    ``comparison`` is of calls with normal inputs, ``others`` of the rest. ``call_ns`` is the time between "go" and
    "done", ``waited_ns`` all that the candidate was waited for; ``longest_ns`` is the longest request of the latter.
    """

    calls: int = 0
    verified_calls: int = 0
    call_ns: int = 0
    waited_ns: int = 0
    longest_ns: int = 0
    reference_ns: list[int] = field(default_factory=list)
    comparison: Comparison = field(default_factory=Comparison.nothing)
    others: Others = field(default_factory=Others)


@dataclass(frozen=True)
class Taken:
    """One call that is to be verified.

    Attributes
    ----------
    number
        Its number among the calls of the workload.
    distribution
        What its inputs were drawn from.
    inputs
        All of them, as they were before the call.
    outputs
        What it wrote: one set of outputs, uint8.
    untouched
        The optional outputs that it left alone.
    """

    number: int
    distribution: str
    inputs: Inputs
    outputs: torch.Tensor
    untouched: frozenset[str]


@dataclass(frozen=True)
class Verification:
    """How calls of one workload are verified, and those that wait for it.

    Attributes
    ----------
    verifier
        The judging rule.
    output_shapes
        Output name to shape; inputs that are written in place count as outputs, behind the others.
    layout
        Where they lie in a set.
    samples
        Takes outputs that are looked at more closely afterwards; None if they are not.
    may_leave_out
        Whether the solution may leave out some outputs.
    referenced
        Whether the reference runs on these calls.
    waiting
        What is to be compared still.
    """

    reference: Reference
    verifier: Verifier
    output_shapes: Mapping[str, tuple[int, ...]]
    layout: Region
    samples: Samples | None = None
    may_leave_out: bool = False
    referenced: bool = True
    waiting: list[Taken] = field(default_factory=list)

    def verify(self, tally: Tally) -> None:
        """Compare what is waiting; ``tally`` hears of it.

        Raises
        ------
        WrongOutput
            If something is wrong.
        DataError
            If the reference has no answer to normal inputs.
        """
        calls: list[Taken] = []
        expected: list[list[torch.Tensor]] = []
        for call in self.waiting:
            outputs: list[torch.Tensor] = []
            if self.referenced:
                try:
                    outputs, elapsed = self.reference(call.inputs, self.output_shapes)
                except DataError:
                    if call.distribution == NORMAL:
                        raise
                    continue  # what the reference refuses, nobody has to compute
                tally.reference_ns.append(elapsed)
            calls.append(call)
            expected.append(outputs)
        self.waiting.clear()
        if calls:
            self._compare(calls, expected, tally)

    def _compare(self, taken: list[Taken], expected: list[list[torch.Tensor]], tally: Tally) -> None:
        tensors = tensors_of(torch.stack([call.outputs for call in taken]), self.layout)
        if not self.verifier.on_device:
            tensors = {name: tensor.cpu() for name, tensor in tensors.items()}
            expected = [[tensor.cpu() for tensor in outputs] for outputs in expected]
        calls = Calls(
            [call.number for call in taken],
            [self._seen_by_rule(call.inputs) for call in taken],
            tensors,
            expected,
            [call.untouched for call in taken] if self.may_leave_out else [],
        )
        normal = [position for position, call in enumerate(taken) if call.distribution == NORMAL]
        others = [position for position, call in enumerate(taken) if call.distribution != NORMAL]
        if normal:
            self._compare_normal(calls.at(normal), tally)
        if self._all_within(others, calls):
            tally.others.calls += len(others)
        else:
            for position in others:
                self._compare_other(position, taken[position].distribution, calls, tally)
        tally.verified_calls += len(taken)
        if tally.comparison.mismatch is not None:
            raise WrongOutput(tally.comparison)

    def _seen_by_rule(self, inputs: Inputs) -> Inputs:
        if self.verifier.on_device:
            return inputs
        return {
            name: value.cpu() if isinstance(value, torch.Tensor) else value for name, value in inputs.items()
        }

    def _compare_normal(self, calls: Calls, tally: Tally) -> None:
        tally.comparison = tally.comparison.merge(self.verifier.compare(calls))
        if self.samples is not None:
            for position, number in enumerate(calls.numbers):
                self.samples.offer(number, calls.given(position), calls.expected[position])

    def _compare_other(self, position: int, distribution: str, calls: Calls, tally: Tally) -> None:
        exact = Exact(self.reference, calls.inputs[position], self.output_shapes)
        got = {name: tensor[position : position + 1] for name, tensor in calls.got.items()}
        expected, number = calls.expected[position], calls.numbers[position]
        tally.others.add(distribution, got, expected, self.verifier.rule, number, exact)

    def _all_within(self, positions: list[int], calls: Calls) -> bool:
        """Whether calls with other inputs hold even the rule for normal ones, which is the hardest."""
        return not positions or all(
            compare(
                name,
                tensor[positions],
                [calls.expected[position][output] for position in positions],
                self.verifier.rule,
                positions,
            ).mismatch
            is None
            for output, (name, tensor) in enumerate(calls.got.items())
        )
