"""Inputs of sampling."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.inputs import InputPlan

Make = Callable[..., InputPlan]
INPUTS = {
    "probs": (["batch_size", "vocab_size"], "float32"),
    "top_k": (["batch_size"], "int32"),
    "top_p": (["batch_size"], "float32"),
}


def draw(make_plan: Make, batch: int, vocabulary: int, call: int = 0) -> dict[str, torch.Tensor]:
    axes = {"batch_size": batch, "vocab_size": vocabulary}
    return make_plan(INPUTS, axes, op_type="sampling").draw(call)


@given(batch=st.integers(0, 9), vocabulary=st.integers(1, 300), call=st.integers(0, 9))
def test_limits_cut_off_something_and_leave_a_choice(
    make_plan: Make, batch: int, vocabulary: int, call: int
) -> None:
    drawn = draw(make_plan, batch, vocabulary, call)
    assert torch.allclose(drawn["probs"].sum(-1), torch.ones(batch))
    assert (drawn["probs"] >= 0).all()
    assert ((drawn["top_k"] >= 1) & (drawn["top_k"] <= min(100, vocabulary))).all()
    assert ((drawn["top_p"] >= 0.5) & (drawn["top_p"] < 0.95)).all()


def test_limits_spread_over_their_ranges(make_plan: Make) -> None:
    drawn = draw(make_plan, 2000, 128)
    assert (drawn["top_k"].min(), drawn["top_k"].max()) == (1, 100)
    assert drawn["top_p"].min() < 0.51
    assert drawn["top_p"].max() > 0.94


@pytest.mark.parametrize("vocabulary", [1000, 128256])
def test_rows_are_peaky(make_plan: Make, vocabulary: int) -> None:
    probs = draw(make_plan, 16, vocabulary)["probs"].sort(descending=True).values
    kept = (probs.cumsum(-1) <= 0.5).sum(-1) + 1
    assert (kept < 60).all()
    assert (kept > 1).any()
    assert (probs[:, 0] > 20 / vocabulary).all()


def test_limits_may_be_scalars(make_plan: Make) -> None:
    inputs = {"probs": ([3, 50], "float32"), "top_k": (None, "int32"), "top_p": (None, "float32")}
    plans = [make_plan(inputs, {"vocab_size": 50}, op_type="sampling", uuid=f"w{i}") for i in range(200)]
    tokens = {plan.scalars["top_k"] for plan in plans}
    assert tokens <= set(range(1, 51))
    assert len(tokens) > 30
    assert all(0.5 <= plan.scalars["top_p"] < 0.95 for plan in plans)
