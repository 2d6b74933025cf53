"""Mixture-of-experts references against loops over tokens and experts in float64."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pytest_fib.data.readers import read_definition, read_workloads
from pytest_fib.data.workload import WorkloadLine
from pytest_fib.inputs import Pool, plan_inputs

from .conftest import Reference

MINI = Path(__file__).resolve().parents[2] / "tracesets" / "mini"
SECRET = bytes(range(32))
TOKENS = 7
BF16 = 2.0**-8
Array = np.ndarray[Any, Any]
Chosen = list[tuple[int, float]]


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool(SECRET)


def inputs_of(name: str, pool: Pool) -> dict[str, Any]:
    definition = read_definition(MINI / "definitions" / "moe" / f"{name}.json")
    for line in read_workloads(MINI / "workloads" / "moe" / f"{name}.jsonl"):
        assert isinstance(line, WorkloadLine)
        if line.workload.axes["seq_len"] == TOKENS:
            plan = plan_inputs(definition, line.workload, traceset_root=MINI, secret=SECRET, pool=pool)
            return {**plan.draw(0), **plan.scalars}
    raise AssertionError(f"{name} has no workload of {TOKENS} tokens")


def wide(x: dict[str, Any]) -> dict[str, Any]:
    return {name: v.double().numpy() if isinstance(v, torch.Tensor) else v for name, v in x.items()}


def largest(values: Array, count: int) -> list[int]:
    return sorted(range(len(values)), key=lambda e: -values[e])[:count]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


def by_softmax(logits: Array, count: int) -> Chosen:
    chosen = largest(logits, count)
    total = sum(math.exp(logits[e]) for e in chosen)
    return [(e, math.exp(logits[e]) / total) for e in chosen]


def by_sigmoid(logits: Array, bias: Array, factor: float) -> Chosen:
    """DeepSeek-V3's choice of 8 experts where all belong to one group."""
    scores = [sigmoid(x) for x in logits]
    chosen = largest(np.array(scores) + bias, 8)
    total = sum(scores[e] for e in chosen)
    return [(e, scores[e] / total * factor) for e in chosen]


def product(matrix: Array, vector: Array) -> Array:
    return np.array([np.dot(row, vector) for row in matrix])


def feed_forward(
    x: Array, first: Array, second: Array, scales: tuple[float, float, float] = (1, 1, 1)
) -> Array:
    """One token through one expert; ``scales`` are those of up, of gate and of the result."""
    both = product(first, x)
    half = len(both) // 2
    up, gate = both[:half] * scales[0], both[half:] * scales[1]
    return product(second, silu(gate) * up) * scales[2]


def blocks(matrix: Array, scale: Array) -> Array:
    return matrix * np.kron(scale, np.ones((128, 128)))


def block_scaled(w: dict[str, Any], t: int, chosen: Chosen, offset: int = 0) -> Array:
    x = w["hidden_states"][t] * np.repeat(w["hidden_states_scale"][:, t], 128)
    y = np.zeros(len(x))
    for expert, weight in chosen:
        e = expert - offset
        if 0 <= e < len(w["gemm1_weights"]):
            first = blocks(w["gemm1_weights"][e], w["gemm1_weights_scale"][e])
            second = blocks(w["gemm2_weights"][e], w["gemm2_weights_scale"][e])
            y += weight * feed_forward(x, first, second)
    return y


def scales_of(w: dict[str, Any], e: int) -> tuple[float, float, float]:
    if "output1_scales_scalar" not in w:
        return 1, 1, 1
    return w["output1_scales_scalar"][e], w["output1_scales_gate_scalar"][e], w["output2_scales_scalar"][e]


def weighted_outputs(w: dict[str, Any], t: int, chosen: Chosen) -> Array:
    return sum(
        (
            weight
            * feed_forward(
                w["hidden_states"][t], w["gemm1_weights"][e], w["gemm2_weights"][e], scales_of(w, e)
            )
            for e, weight in chosen
        ),
        np.zeros(w["hidden_states"].shape[1]),
    )


def deepseek(w: dict[str, Any], t: int) -> Array:
    chosen = by_sigmoid(w["routing_logits"][t], w["routing_bias"], w["routed_scaling_factor"])
    return block_scaled(w, t, chosen, w["local_expert_offset"])


def block_scaled_renorm(w: dict[str, Any], t: int) -> Array:
    return block_scaled(w, t, by_softmax(w["routing_logits"][t], 4))


def renorm(w: dict[str, Any], t: int) -> Array:
    return weighted_outputs(w, t, by_softmax(w["routing_logits"][t], 4))


def llama4(w: dict[str, Any], t: int) -> Array:
    e = int(np.argmax(w["routing_logits"][t]))
    x = sigmoid(w["routing_logits"][t][e]) * w["hidden_states"][t]
    return feed_forward(x, w["gemm1_weights"][e], w["gemm2_weights"][e], scales_of(w, e))


def routed(w: dict[str, Any], t: int) -> Array:
    def unpacked() -> Iterator[tuple[int, float]]:
        for value in w["topk_ids"][t].astype(int).tolist():
            number, bits = divmod(value, 1 << 16)
            weight = np.array([bits << 16], dtype=np.uint32).view(np.float32)[0]
            yield number, float(weight)

    return weighted_outputs(w, t, list(unpacked()))


FORMULAS = {
    "moe_fp8_block_scale_ds_routing_topk8_ng1_kg1_e16_h256_i128": deepseek,
    "moe_fp8_block_scale_ds_routing_topk8_ng1_kg1_e12_h256_i128": deepseek,
    "moe_fp8_block_scale_renorm_topk4_e8_h128_i256": block_scaled_renorm,
    "trtllm_fp4_block_scale_moe_topk4_e16_h128_i64": renorm,
    "trtllm_fp4_block_scale_moe_topk1_e8_h128_i64": llama4,
    "trtllm_fp4_block_scale_routed_moe_topk4_e16_h128_i64": routed,
    "trtllm_fp8_per_tensor_scale_moe_topk4_e16_h128_i64": renorm,
    "trtllm_fp8_per_tensor_scale_moe_topk1_e8_h128_i64": llama4,
}


@pytest.mark.parametrize("name", FORMULAS)
def test_reference(name: str, reference: Reference, pool: Pool) -> None:
    x = inputs_of(name, pool)
    got = reference(name)["run"](**x)
    w = wide(x)
    expected = np.array([FORMULAS[name](w, t) for t in range(TOKENS)])
    assert got.dtype == torch.bfloat16
    assert 0.3 < expected.std() < 3
    np.testing.assert_allclose(got.double().numpy(), expected, rtol=BF16, atol=1e-5)


def test_every_small_definition_has_a_formula() -> None:
    elsewhere = "moe_fp8_block_scale_ds_routing_topk8_ng8_kg4_e32_h256_i128"  # in test_references
    assert {path.stem for path in MINI.glob("definitions/moe/*.json")} == {*FORMULAS, elsewhere}


@pytest.mark.parametrize("name", [name for name in FORMULAS if "topk1_" in name])
def test_the_bias_of_llama4_has_no_effect(name: str, reference: Reference, pool: Pool) -> None:
    x = inputs_of(name, pool)
    run = reference(name)["run"]
    biased = {**x, "routing_bias": torch.linspace(-9, 9, 8, dtype=torch.bfloat16)}
    assert torch.equal(run(**x), run(**biased))


@pytest.mark.parametrize("name", FORMULAS)
def test_no_tokens(name: str, reference: Reference, pool: Pool) -> None:
    none: dict[str, Any] = {}
    for key, value in inputs_of(name, pool).items():
        by_token = key in ("routing_logits", "hidden_states", "topk_ids")
        none[key] = value[:0] if by_token else value[:, :0] if key == "hidden_states_scale" else value
    output = reference(name)["run"](**none)
    assert output.shape == (0, none["hidden_states"].shape[1])
    assert output.dtype == torch.bfloat16
