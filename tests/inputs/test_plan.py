from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from pytest_fib.data.definition import Definition
from pytest_fib.data.workload import Workload
from pytest_fib.errors import DataError, NotJudgeable
from pytest_fib.inputs import InputPlan, Pool, TensorLayout, plan_inputs
from pytest_fib.inputs.distributions import OTHERS
from pytest_fib.inputs.dtypes import TORCH

SECRET = bytes(range(32))

Make = Callable[..., InputPlan]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> dict[str, bool]:
    assert list(a) == list(b)
    return {
        name: torch.equal(a[name].reshape(-1).view(torch.uint8), b[name].reshape(-1).view(torch.uint8))
        for name in a
    }


def test_a_plan_says_what_will_be_drawn_in_the_definitions_order(make_plan: Make) -> None:
    plan = make_plan(
        {"x": (["n", 4], "bfloat16"), "scale": (None, "float32"), "i": ([], "int64"), "y": (["n"], "bool")},
        {"n": 3},
        sources={"y": {"type": "random"}, "scale": {"type": "scalar", "value": 2}, "x": {"type": "random"}},
    )
    assert list(plan.tensors.items()) == [
        ("x", TensorLayout((3, 4), torch.bfloat16)),
        ("i", TensorLayout((), torch.int64)),
        ("y", TensorLayout((3,), torch.bool)),
    ]
    assert plan.scalars == {"scale": 2.0}
    assert plan.nbytes == 24 + 8 + 3
    assert plan.synthesized == ()
    drawn = plan.draw(0)
    assert {name: TensorLayout(tuple(t.shape), t.dtype) for name, t in drawn.items()} == plan.tensors
    assert all(tensor.is_contiguous() for tensor in drawn.values())


@pytest.mark.parametrize("dtype", list(TORCH))
@pytest.mark.parametrize("shape", [[], [0], [1], [2, 0, 3], [5, 7]])
def test_every_dtype_and_shape_is_drawn(make_plan: Make, dtype: str, shape: list[int]) -> None:
    drawn = make_plan({"x": (shape, dtype)}).draw(9)["x"]
    assert (list(drawn.shape), drawn.dtype) == (shape, TORCH[dtype])


TWO = {"x": ([64, 3], "float32"), "y": ([64, 3], "float32")}


def test_a_call_is_repeatable_in_any_order(make_plan: Make) -> None:
    plan, again = make_plan(TWO), make_plan(TWO)
    forwards = [plan.draw(call) for call in range(5)]
    backwards = [again.draw(call) for call in reversed(range(5))][::-1]
    for a, b, c in zip(forwards, backwards, again.draw_many(range(5)), strict=True):
        assert same(a, b) == same(a, c) == {"x": True, "y": True}


def test_calls_inputs_workloads_and_secrets_are_independent(make_plan: Make) -> None:
    plan = make_plan(TWO)
    drawn = plan.draw(0)
    assert not torch.equal(drawn["x"], drawn["y"])
    others = [plan.draw(1), make_plan(TWO, uuid="v").draw(0), make_plan(TWO, secret=bytes(32)).draw(0)]
    for other in others:
        assert same(drawn, other) == {"x": False, "y": False}
    correlation = torch.corrcoef(torch.stack([t.flatten() for d in (drawn, *others) for t in d.values()]))
    assert (correlation - torch.eye(8)).abs().max() < 0.4  # 192 values each: a deviation of 0.07


def test_drawing_leaves_one_call_unchanged_by_the_next(make_plan: Make) -> None:
    plan = make_plan(TWO)
    first = plan.draw(0)
    copy = {name: tensor.clone() for name, tensor in first.items()}
    plan.draw(1)
    assert same(first, copy) == {"x": True, "y": True}


def test_no_global_generator_is_read_or_changed(make_plan: Make) -> None:
    inputs = {**TWO, "kv_indptr": ([4], "int32"), "s": (None, "float32")}
    sources = {"x": {"type": "custom"}}
    source = "import torch\ndef entry(axes, device): return {'x': torch.randn(64, 3)}"

    def drawn() -> dict[str, torch.Tensor]:
        plan = make_plan(
            inputs, sources=sources, reference=source, entry="entry", pool=Pool(SECRET), uuid="global"
        )
        return plan.draw(0)

    before = (torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate())  # type: ignore[index]
    first = drawn()
    after = (torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate())  # type: ignore[index]
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        assert all(same(first, drawn()).values())


def test_drawing_into_given_tensors_is_the_same_as_drawing_new_ones(make_plan: Make) -> None:
    inputs = {
        "q": (["t", 2, 4], "bfloat16"),
        "k": (["t", 2, 4], "float8_e5m2"),
        "qo_indptr": (["n"], "int32"),
        "kv_indptr": (["n"], "int64"),
        "zero": ([], "float64"),
    }
    sources = {"zero": {"type": "scalar", "value": 0.1}}
    plan = make_plan(inputs, {"t": 30, "n": 4}, op_type="gqa_ragged", sources=sources)
    out = {name: torch.zeros(layout.shape, dtype=layout.dtype) for name, layout in plan.tensors.items()}
    drawn = plan.draw(3, out)
    assert all(drawn[name].data_ptr() == out[name].data_ptr() for name in out)
    assert all(same(out, plan.draw(3)).values())
    assert float(out["zero"]) == 0.1
    some = plan.draw(4, {"q": out["q"]})
    assert all(same(some, plan.draw(4)).values())
    assert torch.equal(out["q"], some["q"])


def test_huge_axes_cost_nothing_until_drawn(make_plan: Make) -> None:
    n = 10**9
    inputs = {
        "q": (["n", 8, 128], "bfloat16"),
        "k_cache": (["n", 1, 8, 128], "bfloat16"),
        "kv_indptr": (["m"], "int32"),
        "kv_indices": (["n"], "int32"),
    }
    plan = make_plan(inputs, {"n": n, "m": n + 1}, op_type="gqa_paged")
    assert plan.nbytes == 2 * (n * 8 * 128 * 2) + 4 * (n + 1) + 4 * n


def test_a_dtype_without_tensors_cannot_be_judged(make_plan: Make) -> None:
    with pytest.raises(NotJudgeable, match="input 'x' of workload w has dtype float4_e2m1"):
        make_plan({"x": ([2], "float4_e2m1")})


def test_an_input_that_the_definition_does_not_have_is_named(make_plan: Make) -> None:
    with pytest.raises(DataError, match=r"input 'wieght\\x1b' of workload w is unknown to definition 'd'"):
        make_plan(TWO, sources={"wieght\x1b": {"type": "random"}})


def test_a_missing_axis_is_named() -> None:
    definition = Definition.model_validate(
        {
            "name": "d",
            "axes": {"n": {"type": "var"}},
            "inputs": {"x": {"shape": ["n"], "dtype": "float32"}},
            "outputs": {"y": {"shape": ["n"], "dtype": "float32"}},
        }
    )
    empty = plan_inputs(
        definition, Workload(uuid="w", axes={"n": 0}, inputs={}), traceset_root=None, secret=SECRET
    )
    assert empty.draw(0)["x"].shape == (0,)
    with pytest.raises(DataError, match="axis 'n'"):
        plan_inputs(definition, Workload(uuid="w", axes={}, inputs={}), traceset_root=None, secret=SECRET)


def test_a_tensor_without_dimensions_may_be_stated(make_plan: Make) -> None:
    sources = {"x": {"type": "scalar", "value": 3}}
    plan = make_plan({"x": ([], "int32")}, sources=sources)
    assert plan.draw(0)["x"].item() == plan.draw(1)["x"].item() == 3
    with pytest.raises(DataError, match="input 'x' of workload w is stated as a scalar"):
        make_plan({"x": ([1], "int32")}, sources=sources)


@pytest.mark.parametrize(
    "kind", [{"type": "custom"}, {"type": "safetensors", "path": "a", "tensor_key": "s"}]
)
def test_a_scalar_should_be_stated_or_random(make_plan: Make, kind: dict[str, str]) -> None:
    with pytest.raises(DataError, match="input 's' of workload w is a scalar but has type"):
        make_plan({"s": (None, "float32")}, sources={"s": kind})


def test_random_scalars_are_fixed_for_a_workload_and_secret(make_plan: Make) -> None:
    inputs = {
        "a": (None, "float32"),
        "b": (None, "int32"),
        "sm_scale": (None, "float32"),
        "x": ([3, 64], "float16"),
    }
    plan = make_plan(inputs, {"head_dim": 64})
    assert plan.scalars == make_plan(inputs, {"head_dim": 64}).scalars
    assert plan.scalars["sm_scale"] == 0.125
    assert plan.scalars["a"] != make_plan(inputs, {"head_dim": 64}, uuid="v").scalars["a"]


def test_probabilities_of_sampling_are_probabilities(make_plan: Make) -> None:
    plan = make_plan({"probs": ([5, 300], "float32")}, op_type="sampling")
    probs = plan.draw(0)["probs"]
    assert (probs > 0).all()
    assert torch.allclose(probs.sum(-1), torch.ones(5))


def test_the_device_is_where_tensors_end_up(make_plan: Make) -> None:
    plan = make_plan({"x": ([4], "float32")}, device="meta")
    assert plan.draw(0)["x"].device.type == "meta"


BULK = {
    "normal": ([1030, 512], "bfloat16"),
    "odd": ([3, 700_001], "float8_e4m3fn"),
    "codes": ([1 << 20], "int8"),
    "few": ([5], "float32"),
}


@pytest.mark.parametrize("vary", [False, True])
def test_what_a_device_makes_is_what_the_cpu_makes(make_plan: Make, vary: bool) -> None:
    here, there = make_plan(BULK, vary=vary), make_plan(BULK, vary=vary, device="cpu:0")  # as good as any
    assert here.varied == vary
    calls = {here.distribution(call): call for call in range(200)}
    assert set(calls) == ({"normal", *OTHERS} if vary else {"normal"})
    for call in calls.values():
        expected = here.draw(call)
        assert all(same(expected, there.draw(call)).values())
        given = {name: torch.zeros_like(tensor) for name, tensor in expected.items()}
        there.draw(call, out=given)
        assert all(same(expected, given).values())


@pytest.mark.parametrize("op_type", ["moe", "sampling", "dsa_paged", "gdn"])
def test_recipes_give_the_same_on_a_device(make_plan: Make, op_type: str) -> None:
    inputs: dict[str, tuple[list[Any], str]] = {
        "moe": {
            "hidden_states_scale": ([64, 8192], "float32"),
            "routing_logits": ([2100, 128], "float32"),
            "gemm1_weights": ([2, 600, 512], "float32"),
        },
        "sampling": {"probs": ([300, 1000], "float32")},
        "dsa_paged": {
            "k_index_cache_fp8": ([4200, 64, 1, 132], "int8"),  # scales of more than one window
            "seq_lens": ([3], "int32"),
            "block_table": ([3, 40], "int32"),
        },
        "gdn": {"q": ([600, 8, 128], "bfloat16"), "k": ([600, 8, 128], "bfloat16")},
    }[op_type]
    plans = [make_plan(inputs, op_type=op_type, device=device) for device in ("cpu", "cpu:0")]
    assert all(same(*(plan.draw(7) for plan in plans)).values())


def test_what_is_made_on_a_device_never_was_on_the_cpu(
    make_plan: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(BULK, device="cpu:0", secret=bytes(range(1, 33)))
    filled: list[int] = []
    monkeypatch.setattr(Pool, "fill", lambda pool, out, *more: filled.append(out.size))
    plan.draw(0)
    assert filled == [5]


SMALL = {
    "x": ([16, 24], "bfloat16"),
    "w": ([70, 4096], "float16"),
    "h": ([5], "float16"),
    "k": ([7], "int32"),
}


@pytest.mark.parametrize("vary", [False, True])
def test_small_inputs_of_many_calls_are_drawn_together_on_a_device(make_plan: Make, vary: bool) -> None:
    here, there = (make_plan(SMALL, vary=vary, device=device) for device in ("cpu", "cpu:0"))
    calls = range(3, 50)
    assert len({here.distribution(call) for call in calls}) > (4 if vary else 0)
    for call, drawn in zip(calls, there.draw_many(calls), strict=True):
        assert all(same(here.draw(call), drawn).values()), call
