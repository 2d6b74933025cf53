"""Plans whose inputs come back: some consecutive calls get equal content."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from pytest_fib.inputs.plan import InputPlan


class Repeating(InputPlan):
    """The inputs of ``plan``, those of every ``times`` consecutive calls being equal."""

    def __init__(self, plan: InputPlan, times: int) -> None:
        vars(self).update(vars(plan))
        self._times = times

    def draw(self, call: int, *more: Any, **named: Any) -> dict[str, torch.Tensor]:
        """Return the inputs of the first of the calls that ``call`` is equal to."""
        return super().draw(call - call % self._times, *more, **named)

    def draw_many(self, calls: Iterable[int]) -> list[dict[str, torch.Tensor]]:
        """Return the inputs of several calls; equal ones are the same tensors."""
        numbers = list(calls)
        drawn = {first: self.draw(first) for first in {call - call % self._times for call in numbers}}
        return [drawn[call - call % self._times] for call in numbers]
