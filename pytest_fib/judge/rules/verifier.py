"""What a judging rule is: it is shown verified calls, with inputs and outputs, and says what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

from pytest_fib.judge.rules.elements import Comparison, Rule

Inputs = Mapping[str, "torch.Tensor | int | float | bool"]


@dataclass(frozen=True)
class Calls:
    """Some verified calls of one workload.

    Attributes
    ----------
    numbers
        Their numbers, for the failure text.
    inputs
        The inputs of each call as they were before it, by name.
    got
        What the solution wrote, ``[calls, *shape]`` by name: outputs, then inputs that are written in place.
    expected
        The reference's tensors of each call, in the order of ``got``; empty where the reference was not asked.
    untouched
        Of each call, the optional outputs that still hold what was there before it.
    """

    numbers: Sequence[int]
    inputs: Sequence[Inputs]
    got: Mapping[str, torch.Tensor]
    expected: Sequence[Sequence[torch.Tensor]]
    untouched: Sequence[frozenset[str]] = field(default=())

    def at(self, positions: Sequence[int]) -> Calls:
        """Return the calls at ``positions`` alone."""
        if len(positions) == len(self.numbers):
            return self
        return Calls(
            [self.numbers[position] for position in positions],
            [self.inputs[position] for position in positions],
            {name: tensor[list(positions)] for name, tensor in self.got.items()},
            [self.expected[position] for position in positions],
            [self.untouched[position] for position in positions] if self.untouched else (),
        )

    def given(self, position: int) -> list[torch.Tensor]:
        """Return the tensors of one call, the reference's in place of optional ones that were left out."""
        left = self.untouched[position] if self.untouched else frozenset()
        return [
            right if name in left else tensor[position]
            for (name, tensor), right in zip(self.got.items(), self.expected[position], strict=True)
        ]


class Verifier(Protocol):
    """A rule at work on one workload; it may remember what it saw."""

    rule: Rule
    """The tolerances, also for a closer look at outputs that are floats."""

    on_device: bool
    """Whether it works wherever tensors are; one that does not is shown copies on the CPU."""

    def compare(self, calls: Calls) -> Comparison:
        """Say how far these calls are from right.

        Raises
        ------
        NotJudgeable
            The rule does not fit the definition.
        """

    def further_calls(self, seen: int) -> int:
        """Return how many calls beyond the ``seen`` ones the rule wants; they may repeat inputs."""

    def conclude(self) -> Comparison:
        """Say what all calls together show."""
