"""Inputs of the rotary embedding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.errors import NotJudgeable
from pytest_fib.inputs import InputPlan

Make = Callable[..., InputPlan]
INPUTS = {
    "q": (["tokens", 2, 64], "bfloat16"),
    "k": (["tokens", 1, 64], "bfloat16"),
    "cos_sin_cache": (["length", "width"], "float32"),
    "positions": (["tokens"], "int64"),
}


def plan(make_plan: Make, tokens: int, length: int, width: int = 32, **options: Any) -> InputPlan:
    return make_plan(INPUTS, {"tokens": tokens, "length": length, "width": width}, op_type="rope", **options)


@given(tokens=st.integers(0, 50), length=st.integers(1, 50), width=st.integers(0, 9), call=st.integers(0, 9))
def test_positions_are_rows_of_a_cache_of_cosines_and_sines(
    make_plan: Make, tokens: int, length: int, width: int, call: int
) -> None:
    drawn = plan(make_plan, tokens, length, width).draw(call)
    assert ((drawn["positions"] >= 0) & (drawn["positions"] < length)).all()
    cache = drawn["cos_sin_cache"]
    assert cache.shape == (length, width)
    if width % 2 == 0:
        cos, sin = cache.chunk(2, dim=1) if width else (cache, cache + 1)
        assert torch.allclose(cos**2 + sin**2, torch.ones_like(cos), atol=1e-5)
        assert torch.equal(cos[0], torch.ones_like(cos[0]))


def test_angles_are_multiples_of_frequencies_that_fall_geometrically(make_plan: Make) -> None:
    cos, sin = plan(make_plan, 1, 100).draw(0)["cos_sin_cache"].double().chunk(2, dim=1)
    first = torch.atan2(sin[1], cos[1])
    assert first[0] == pytest.approx(1, rel=1e-5)
    ratios = first[1:] / first[:-1]
    assert torch.allclose(ratios, ratios[:1].expand_as(ratios), rtol=1e-3)
    assert torch.allclose(sin[99], torch.sin(99 * first), atol=1e-3)


def test_every_call_has_a_base_and_positions_of_its_own(make_plan: Make) -> None:
    calls = [plan(make_plan, 20, 100).draw(call) for call in range(5)]
    assert len({call["cos_sin_cache"].numpy().tobytes() for call in calls}) == 5
    assert len({call["positions"].numpy().tobytes() for call in calls}) == 5


def test_tokens_without_a_cache_are_refused(make_plan: Make) -> None:
    with pytest.raises(NotJudgeable, match="3 tokens have no position"):
        plan(make_plan, 3, 0)
    assert plan(make_plan, 0, 0).draw(0)["positions"].numel() == 0


def test_captured_positions_beyond_the_cache_are_a_skip(make_plan: Make, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"positions": torch.tensor([0, 9, 10])}, tmp_path / "x.safetensors")
    item = {"type": "safetensors", "path": "x.safetensors", "tensor_key": "positions"}
    with pytest.raises(NotJudgeable, match=r"'positions' of workload w holds 10, which is not in \[0, 10\)"):
        plan(make_plan, 3, 10, sources={"positions": item}, traceset_root=tmp_path)


def test_definitions_of_another_form_get_plain_content(make_plan: Make) -> None:
    assert make_plan({"cos_sin_cache": ([4], "float32")}, op_type="rope").draw(0)["cos_sin_cache"].shape == (
        4,
    )
