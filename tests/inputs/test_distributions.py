from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch

from pytest_fib.inputs import InputPlan
from pytest_fib.inputs.distributions import (
    BLOCK,
    CONSTANT_ROWS,
    HEAVY_TAILED,
    NORMAL,
    OTHERS,
    SCALED,
    SPARSE_ROWS,
    SPIKES,
)
from pytest_fib.inputs.dtypes import bits_of

Make = Callable[..., InputPlan]

WIDE = ["float16", "bfloat16", "float32", "float64"]


def calls_of(plan: InputPlan, distribution: str, count: int = 6) -> list[int]:
    return [call for call in range(2000) if plan.distribution(call) == distribution][:count]


def content(plan: InputPlan, distribution: str, name: str = "x") -> torch.Tensor:
    drawn = [plan.draw(call)[name] for call in calls_of(plan, distribution)]
    return torch.stack(drawn).double()


@pytest.fixture
def plan(make_plan: Make) -> InputPlan:
    return make_plan({"x": ([16, 256], "float32"), "w": ([256], "float32")}, vary=True)


def test_one_call_of_each_four_is_another_at_a_secret_place(make_plan: Make, plan: InputPlan) -> None:
    kinds = [plan.distribution(call) for call in range(2000)]
    places = [
        [at for at in range(BLOCK) if kinds[start + at] != NORMAL] for start in range(0, len(kinds), BLOCK)
    ]
    assert all(len(found) == 1 for found in places)
    assert set(Counter(found[0] for found in places)) == set(range(BLOCK))
    assert min(Counter(kinds)[kind] for kind in OTHERS) > 50
    again = make_plan({"x": ([16, 256], "float32"), "w": ([256], "float32")}, vary=True)
    assert kinds == [again.distribution(call) for call in range(2000)]
    secret = make_plan({"x": ([16, 256], "float32")}, vary=True, secret=bytes(32))
    assert kinds != [secret.distribution(call) for call in range(2000)]


def test_nothing_varies_unless_asked(make_plan: Make) -> None:
    plan = make_plan({"x": ([16, 256], "float32")})
    assert not plan.varied
    assert {plan.distribution(call) for call in range(100)} == {NORMAL}


def test_normal_calls_stay_as_they_are(make_plan: Make, plan: InputPlan) -> None:
    usual = make_plan({"x": ([16, 256], "float32"), "w": ([256], "float32")})
    for call in range(40):
        assert torch.equal(plan.draw(call)["x"], usual.draw(call)["x"]) == (plan.distribution(call) == NORMAL)


@pytest.mark.parametrize("dtype", WIDE)
def test_each_distribution_is_what_it_is_called(make_plan: Make, dtype: str) -> None:
    plan = make_plan({"x": ([16, 256], dtype), "w": ([256], dtype)}, vary=True)
    half = dtype == "float16"
    heavy = content(plan, HEAVY_TAILED)
    assert ((heavy / heavy.std()) ** 4).mean() > (4.5 if half else 6)  # three where normal
    assert heavy.abs().max() <= (32 if half else 128)
    for tensor in content(plan, SCALED, "x"):
        assert tensor.std() < 0.7 or tensor.std() > 1.6
        assert tensor.std() < (10 if half else 40)
    sparse = content(plan, SPARSE_ROWS)
    assert (sparse == 0).double().mean() == pytest.approx(7 / 8, abs=0.03)
    peaks = content(plan, SPIKES).abs()
    assert ((peaks > 7.9).sum(dim=-1) == 1).all()
    rows = content(plan, CONSTANT_ROWS)
    assert (rows == rows[..., :1]).all()
    assert (rows[:, 0, 0] != rows[:, 1, 0]).all()
    everything = torch.stack([plan.draw(call)["x"] for call in range(200)])
    assert torch.isfinite(everything).all()


@pytest.mark.parametrize("kind", OTHERS)
def test_weights_are_never_constant(plan: InputPlan, kind: str) -> None:
    weights = content(plan, kind, "w")
    assert (weights.amax(dim=-1) > weights.amin(dim=-1)).all()


@pytest.mark.parametrize("kind", OTHERS)
def test_content_is_repeatable_fresh_and_drawn_in_place(plan: InputPlan, kind: str) -> None:
    first, second = calls_of(plan, kind, 2)
    out = {name: torch.zeros(layout.shape) for name, layout in plan.tensors.items()}
    drawn = plan.draw(first, out)
    assert drawn["x"].data_ptr() == out["x"].data_ptr()
    assert torch.equal(drawn["x"], plan.draw(first)["x"])
    assert not torch.equal(drawn["x"], plan.draw(second)["x"])


@pytest.mark.parametrize("shape", [[], [0], [1], [2, 0, 3], [5, 7], [3, 1 << 17]])
@pytest.mark.parametrize("dtype", WIDE)
def test_every_shape_is_filled(make_plan: Make, dtype: str, shape: list[int]) -> None:
    plan = make_plan({"x": (shape, dtype)}, vary=True)
    for kind in OTHERS:
        drawn = plan.draw(calls_of(plan, kind, 1)[0])["x"]
        assert list(drawn.shape) == shape
        assert torch.isfinite(drawn).all()
        if drawn.numel() > 2:
            assert len(set(bits_of(drawn)[:: max(1, drawn.numel() // 1000)].tolist())) >= 2


@pytest.mark.parametrize(
    ("inputs", "options"),
    [
        ({"x": ([4], "int32")}, {}),
        ({"x": ([4], "float8_e4m3fn")}, {}),
        ({"w_scale": ([4], "float32"), "probs": ([4], "float32")}, {}),
        ({"x": ([4, 4], "float32")}, {"op_type": "sampling"}),
        ({"x": ([4, 4], "float32")}, {"op_type": "moe"}),
    ],
)
def test_inputs_with_a_meaning_keep_it(
    make_plan: Make, inputs: dict[str, Any], options: dict[str, Any]
) -> None:
    assert not make_plan(inputs, vary=True, **options).varied


def test_indices_beside_floats_keep_their_rules(make_plan: Make) -> None:
    inputs = {
        "q": (["t", 2, 4], "bfloat16"),
        "k": (["t", 2, 4], "bfloat16"),
        "qo_indptr": (["n"], "int32"),
        "kv_indptr": (["n"], "int32"),
    }
    plan = make_plan(inputs, {"t": 30, "n": 4}, op_type="gqa_ragged", vary=True)
    assert plan.varied
    for call in range(20):
        offsets = plan.draw(call)["qo_indptr"].tolist()
        assert offsets[0] == 0
        assert offsets[-1] == 30
        assert offsets == sorted(offsets)
