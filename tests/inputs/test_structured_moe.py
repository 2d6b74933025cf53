"""Routing logits of a narrow type; what else mixture-of-experts layers need is in ``test_structured``."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.inputs import InputPlan

Make = Callable[..., InputPlan]


def logits(
    make_plan: Make, tokens: int, experts: int, dtype: str = "bfloat16", call: int = 0
) -> torch.Tensor:
    axes = {"seq_len": tokens, "num_experts": experts}
    plan = make_plan({"routing_logits": (["seq_len", "num_experts"], dtype)}, axes, op_type="moe")
    return plan.draw(call)["routing_logits"]


@given(
    tokens=st.integers(0, 20),
    experts=st.integers(1, 256),
    dtype=st.sampled_from(["bfloat16", "float16"]),
    call=st.integers(0, 9),
)
def test_no_two_logits_of_a_token_are_equal(
    make_plan: Make, tokens: int, experts: int, dtype: str, call: int
) -> None:
    drawn = logits(make_plan, tokens, experts, dtype, call)
    assert all(len(set(row)) == experts for row in drawn.tolist())


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_logits_are_spread_as_a_routers(make_plan: Make, dtype: str) -> None:
    drawn = logits(make_plan, 500, 128, dtype).float()
    assert drawn.mean() == pytest.approx(0, abs=0.05)
    assert drawn.std() == pytest.approx(1.5, rel=0.05)


def test_every_expert_is_as_likely_the_best(make_plan: Make) -> None:
    best = logits(make_plan, 4000, 8).argmax(dim=1)
    counts = torch.bincount(best, minlength=8)
    assert counts.min() > 400
    assert counts.max() < 600


def test_logits_without_experts_are_plain(make_plan: Make) -> None:
    plan = make_plan({"routing_logits": ([5], "bfloat16")}, op_type="moe")
    assert plan.draw(0)["routing_logits"].shape == (5,)
