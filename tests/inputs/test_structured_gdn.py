"""Inputs of gated delta nets: unit keys, gates that decay, offsets and places that are valid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from pytest_fib.errors import NotJudgeable
from pytest_fib.inputs import InputPlan

Make = Callable[..., InputPlan]
FAST = settings(deadline=None, max_examples=100, derandomize=True)
Inputs = dict[str, tuple[list[Any] | None, str]]
HEADS = {"heads": 2, "v_heads": 4, "head_size": 32}


def gates(*axes: str) -> Inputs:
    return {
        "q": ([*axes, "heads", "head_size"], "bfloat16"),
        "k": ([*axes, "heads", "head_size"], "bfloat16"),
        "v": ([*axes, "v_heads", "head_size"], "bfloat16"),
        "A_log": (["v_heads"], "float32"),
        "a": ([*axes, "v_heads"], "bfloat16"),
        "dt_bias": (["v_heads"], "float32"),
        "b": ([*axes, "v_heads"], "bfloat16"),
        "scale": (None, "float32"),
    }


STATE = ["v_heads", "head_size", "head_size"]
PREFILL: Inputs = {
    **gates("tokens"),
    "state": (["seqs", *STATE], "float32"),
    "cu_seqlens": (["len"], "int64"),
}
MTP: Inputs = {
    **gates("batch", "steps"),
    "initial_state": (["pool", *STATE], "float32"),
    "initial_state_indices": (["batch"], "int32"),
    "intermediate_states_buffer": (["pool", "steps", *STATE], "float32"),
}


def prefill(make_plan: Make, tokens: int, seqs: int, **options: Any) -> InputPlan:
    axes = {**HEADS, "tokens": tokens, "seqs": seqs, "len": seqs + 1}
    return make_plan(PREFILL, axes, op_type="gdn", **options)


def mtp(make_plan: Make, batch: int, pool: int, **options: Any) -> InputPlan:
    return make_plan(MTP, {**HEADS, "batch": batch, "steps": 2, "pool": pool}, op_type="gdn", **options)


@FAST
@given(seqs=st.integers(1, 9), tokens=st.integers(0, 40), edges=st.booleans(), call=st.integers(0, 9))
def test_offsets_split_the_tokens(make_plan: Make, seqs: int, tokens: int, edges: bool, call: int) -> None:
    sources = {"q": {"type": "random", "edges": edges}}
    offsets = prefill(make_plan, tokens, seqs, sources=sources).draw(call)["cu_seqlens"]
    assert offsets.dtype == torch.int64
    assert offsets.shape == (seqs + 1,)
    assert (offsets[0], offsets[-1]) == (0, tokens)
    assert (offsets.diff() >= 0).all()
    if tokens >= seqs and not edges:
        assert (offsets.diff() > 0).all()


@FAST
@given(batch=st.integers(0, 9), spare=st.integers(0, 9), call=st.integers(0, 9))
def test_sequences_begin_with_different_states(make_plan: Make, batch: int, spare: int, call: int) -> None:
    places = mtp(make_plan, batch, batch + spare).draw(call)["initial_state_indices"].tolist()
    assert len(set(places)) == len(places) == batch
    assert all(0 <= place < batch + spare for place in places)


@pytest.mark.parametrize("tokens", [3, 5000])
def test_queries_and_keys_are_directions(make_plan: Make, tokens: int) -> None:
    drawn = prefill(make_plan, tokens, 1).draw(0)
    for name in ("q", "k"):
        rows = drawn[name].double().view(-1, 32)
        assert torch.allclose(rows.norm(dim=1), torch.ones(len(rows), dtype=torch.float64), atol=0.01)
        assert rows.mean().abs() < 0.05
    assert not torch.equal(drawn["q"], drawn["k"])


def test_what_decides_about_decay_and_size_has_the_ranges_of_models(make_plan: Make) -> None:
    axes = {**HEADS, "v_heads": 1000, "tokens": 50, "seqs": 1, "len": 2}
    inputs = {**PREFILL, "state": (["seqs", 4, 32, 32], "float32")}
    drawn = make_plan(inputs, axes, op_type="gdn").draw(0)
    assert 1 <= drawn["A_log"].exp().min() < 1.1
    assert 15 < drawn["A_log"].exp().max() <= 16.001
    step = torch.nn.functional.softplus(drawn["dt_bias"])
    assert 0.0009 < step.min() < 0.002
    assert 0.08 < step.max() < 0.101
    assert drawn["v"].float().std() == pytest.approx(2, rel=0.02)
    assert drawn["state"].std() == pytest.approx(1, rel=0.05)
    decay = torch.exp(-drawn["A_log"].exp() * torch.nn.functional.softplus(drawn["a"] + drawn["dt_bias"]))
    assert decay.min() < 0.3
    assert decay.median() > 0.5
    assert decay.max() > 0.99


def test_a_long_sequence_keeps_its_state_bounded(make_plan: Make) -> None:
    x = {name: tensor.double() for name, tensor in prefill(make_plan, 400, 1).draw(0).items()}
    decay = torch.exp(-x["A_log"].exp() * torch.nn.functional.softplus(x["a"] + x["dt_bias"]))
    beta, state = x["b"].sigmoid(), x["state"][0, 0].clone()
    for t in range(400):
        key = x["k"][t, 0]
        state *= decay[t, 0]
        state += beta[t, 0] * torch.outer(x["v"][t, 0] - state @ key, key)
        assert state.abs().max() < 20


def test_the_scale_follows_the_head_size(make_plan: Make) -> None:
    assert prefill(make_plan, 3, 1).scalars == {"scale": pytest.approx(32**-0.5)}


def test_axes_without_valid_content_are_refused(make_plan: Make) -> None:
    with pytest.raises(NotJudgeable, match="7 tokens belong to no sequence"):
        prefill(make_plan, 7, 0)
    with pytest.raises(NotJudgeable, match="3 sequences cannot have different states out of 2"):
        mtp(make_plan, 3, 2)
    axes = {**HEADS, "tokens": 5, "seqs": 3, "len": 3}
    with pytest.raises(NotJudgeable, match="cu_seqlens says 2 sequences, state another number"):
        make_plan(PREFILL, axes, op_type="gdn")


def test_no_tokens_and_no_sequences_are_valid(make_plan: Make) -> None:
    assert prefill(make_plan, 0, 0).draw(0)["cu_seqlens"].tolist() == [0]
    assert prefill(make_plan, 0, 2).draw(0)["cu_seqlens"].tolist() == [0, 0, 0]


def test_definitions_of_another_form_get_plain_content(make_plan: Make) -> None:
    inputs: Inputs = {"q": ([], "bfloat16"), "k": ([0], "bfloat16"), "cu_seqlens": ([2, 2], "int64")}
    assert list(make_plan(inputs, op_type="gdn").draw(0)) == list(inputs)


@pytest.mark.parametrize(
    ("offsets", "accepted"), [([0, 2, 5], True), ([0, 0, 5], True), ([0, 6, 5], False), ([0, 2, 4], False)]
)
def test_captured_offsets_are_checked(
    make_plan: Make, tmp_path: Any, offsets: list[int], accepted: bool
) -> None:
    save_file({"x": torch.tensor(offsets)}, tmp_path / "x.safetensors")
    sources = {"cu_seqlens": {"type": "safetensors", "path": "x.safetensors", "tensor_key": "x"}}
    if accepted:
        plan = prefill(make_plan, 5, 2, sources=sources, traceset_root=tmp_path)
        np.testing.assert_array_equal(plan.draw(0)["cu_seqlens"], offsets)
    else:
        with pytest.raises(NotJudgeable, match="'cu_seqlens' of workload w should rise from 0 to 5"):
            prefill(make_plan, 5, 2, sources=sources, traceset_root=tmp_path)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ([0, 4], r"holds 4, which is not in \[0, 4\)"),
        ([-1, 0], "holds -1"),
        ([2, 2], "holds 2 more than once"),
    ],
)
def test_captured_places_are_checked(make_plan: Make, tmp_path: Any, places: list[int], message: str) -> None:
    save_file({"x": torch.tensor(places, dtype=torch.int32)}, tmp_path / "x.safetensors")
    sources = {"initial_state_indices": {"type": "safetensors", "path": "x.safetensors", "tensor_key": "x"}}
    with pytest.raises(NotJudgeable, match=f"captured input 'initial_state_indices' of workload w {message}"):
        mtp(make_plan, 2, 4, sources=sources, traceset_root=tmp_path)
