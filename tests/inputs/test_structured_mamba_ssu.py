"""Inputs of Mamba's state update: states that decay, slots that are different or none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from pytest_fib.errors import NotJudgeable
from pytest_fib.inputs import InputPlan

Make = Callable[..., InputPlan]
FAST = settings(deadline=None, max_examples=100, derandomize=True)
INPUTS: dict[str, tuple[list[Any] | None, str]] = {
    "state": (["slots", 4, 8, 16], "bfloat16"),
    "dt": (["batch", 4, 8], "bfloat16"),
    "A": ([4, 8, 16], "float32"),
    "dt_bias": ([4, 8], "bfloat16"),
    "state_batch_indices": (["batch"], "int32"),
}


def plan(make_plan: Make, batch: int, slots: int, **options: Any) -> InputPlan:
    return make_plan(INPUTS, {"batch": batch, "slots": slots}, op_type="mamba_ssu", **options)


@FAST
@given(batch=st.integers(0, 20), slots=st.integers(0, 20), call=st.integers(0, 9))
def test_sequences_have_different_slots_or_none(make_plan: Make, batch: int, slots: int, call: int) -> None:
    places = plan(make_plan, batch, slots).draw(call)["state_batch_indices"].tolist()
    used = [place for place in places if place >= 0]
    assert len(places) == batch
    assert all(place == -1 for place in places if place < 0)
    assert len(set(used)) == len(used)
    assert all(place < slots for place in used)
    assert bool(used) == (batch > 0 and slots > 0)


def test_one_in_eight_has_no_slot(make_plan: Make) -> None:
    places = [plan(make_plan, 32, 64).draw(call)["state_batch_indices"] for call in range(100)]
    assert (torch.cat(places) < 0).double().mean() == pytest.approx(1 / 8, abs=0.03)


def test_states_decay_by_anything_from_nothing_to_almost_all(make_plan: Make) -> None:
    drawn = plan(make_plan, 200, 1).draw(0)
    assert -16 <= drawn["A"].min() < drawn["A"].max() < -1 + 1e-5
    delta = torch.nn.functional.softplus(drawn["dt"].float() + drawn["dt_bias"])
    decay = torch.exp(delta.unsqueeze(-1) * drawn["A"])
    assert 0 < decay.min() < 0.1
    assert 0.98 < decay.max() < 1


def test_definitions_of_another_form_get_plain_content(make_plan: Make) -> None:
    inputs: dict[str, tuple[list[Any] | None, str]] = {
        "A": ([], "float32"),
        "state_batch_indices": ([2, 2], "int32"),
    }
    assert list(make_plan(inputs, op_type="mamba_ssu").draw(0)) == list(inputs)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ([0, -1, 3, -1, -7], None),
        ([0, 4, -1, -1, -1], r"holds 4, which is not in \[0, 4\)"),
        ([1, 2, 0, 1, -1], "holds 1 more than once"),
    ],
)
def test_captured_slots_are_checked(
    make_plan: Make, tmp_path: Any, places: list[int], message: str | None
) -> None:
    save_file({"x": torch.tensor(places, dtype=torch.int32)}, tmp_path / "x.safetensors")
    sources = {"state_batch_indices": {"type": "safetensors", "path": "x.safetensors", "tensor_key": "x"}}
    if message is None:
        made = plan(make_plan, 5, 4, sources=sources, traceset_root=tmp_path)
        assert made.draw(0)["state_batch_indices"].tolist() == places
    else:
        with pytest.raises(NotJudgeable, match=message):
            plan(make_plan, 5, 4, sources=sources, traceset_root=tmp_path)
