from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pytest_fib.inputs import InputPlan
from pytest_fib.inputs.shifted import Shifted


@pytest.mark.parametrize("first", [1, 7, 1 << 30])
def test_call_by_call_it_is_the_plan_that_begins_later(
    make_plan: Callable[..., InputPlan], first: int
) -> None:
    plan = make_plan({"x": ([32, 8], "float32")}, vary=True)
    later = Shifted(plan, first)
    kinds = [later.distribution(call) for call in range(40)]
    assert kinds == [plan.distribution(first + call) for call in range(40)]
    assert len(set(kinds)) > 1
    for call, drawn in enumerate(later.draw_many(range(40))):
        assert torch.equal(drawn["x"], plan.draw(first + call)["x"])
        assert torch.equal(drawn["x"], later.draw(call)["x"])
