"""Plans that begin later: the inputs of calls far behind those that anybody has seen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from pytest_fib.inputs.plan import InputPlan


class Shifted(InputPlan):
    """The inputs of ``plan`` from its call ``first`` on, which here is call 0."""

    def __init__(self, plan: InputPlan, first: int) -> None:
        vars(self).update(vars(plan))
        self._plan = plan
        self._first = first

    def distribution(self, call: int) -> str:
        """Return what the plain random float inputs of ``call`` are like."""
        return self._plan.distribution(self._first + call)

    def draw(self, call: int, *more: Any, **named: Any) -> dict[str, torch.Tensor]:
        """Return the inputs of the call that is ``first`` calls later in the plan."""
        return self._plan.draw(self._first + call, *more, **named)

    def draw_many(self, calls: Iterable[int]) -> list[dict[str, torch.Tensor]]:
        """Return the inputs of several calls, each as :meth:`draw` returns them."""
        return self._plan.draw_many(self._first + call for call in calls)
