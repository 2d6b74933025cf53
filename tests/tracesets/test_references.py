"""Each reference against the formula in float64 loops, and on every workload of the small trace set."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from pytest_fib.data.definition import Definition
from pytest_fib.data.readers import read_definition, read_workloads
from pytest_fib.data.workload import WorkloadLine
from pytest_fib.inputs import Pool, plan_inputs

MINI = Path(__file__).resolve().parents[2] / "tracesets" / "mini"
SECRET = bytes(range(32))
Run = Callable[..., Any]
Array = np.ndarray[Any, Any]


def reference(definition: Definition) -> Run:
    namespace: dict[str, Any] = {}
    exec(definition.reference, namespace)
    run: Run = namespace["run"]
    return run


def mini(name: str) -> Run:
    return reference(read_definition(next(MINI.glob(f"definitions/*/{name}.json"))))


def random(seed: int, *shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).to(dtype)


def wide(tensor: torch.Tensor) -> Array:
    return tensor.to(torch.float64).numpy()


def assert_close(got: torch.Tensor, expected: Array, rounding: float) -> None:
    """Equal within the rounding of the output type, which is at most half a unit of its last place."""
    np.testing.assert_allclose(wide(got), expected, rtol=rounding, atol=1e-6)


BF16 = 2.0**-8
FP16 = 2.0**-11


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_rmsnorm(rows: int) -> None:
    x, w = random(1, rows, 128), random(2, 128)
    got = mini("rmsnorm_h128")(hidden_states=x, weight=w)
    expected = np.array(
        [
            [v * g / math.sqrt(sum(row**2) / 128 + 1e-6) for v, g in zip(row, wide(w), strict=True)]
            for row in wide(x)
        ]
    ).reshape(rows, 128)
    assert got.dtype == torch.bfloat16
    assert_close(got, expected, BF16)


def test_the_epsilon_of_rmsnorm_counts() -> None:
    x, w = torch.full((1, 128), 1e-3, dtype=torch.bfloat16), torch.ones(128, dtype=torch.bfloat16)
    value = float(x[0, 0])
    got = mini("rmsnorm_h128")(hidden_states=x, weight=w)
    assert_close(got, np.full((1, 128), value / math.sqrt(value**2 + 1e-6)), BF16)


def test_fused_add_rmsnorm() -> None:
    x, r, w = random(1, 3, 256), random(2, 3, 256), random(3, 256)
    got = mini("fused_add_rmsnorm_h256")(hidden_states=x, residual=r, weight=w)
    total = wide(x) + wide(r)
    expected = np.array(
        [
            [v * g / math.sqrt(sum(row**2) / 256 + 1e-6) for v, g in zip(row, wide(w), strict=True)]
            for row in total
        ]
    )
    assert_close(got, expected, BF16)


def test_gemm() -> None:
    a, b = random(1, 5, 256, dtype=torch.float16), random(2, 128, 256, dtype=torch.float16)
    got = mini("gemm_n128_k256")(A=a, B=b)
    expected = np.array([[sum(row * column) for column in wide(b)] for row in wide(a)])
    assert got.dtype == torch.float16
    np.testing.assert_allclose(wide(got), expected, rtol=FP16, atol=0.01)


def attention(q: Array, k: Array, v: Array, scale: float) -> tuple[Array, float]:
    """One query, one head: softmax-weighted sum of v and base-2 log of the sum."""
    if len(k) == 0:
        return np.zeros(v.shape[-1]), -math.inf
    exponentials = [math.exp(scale * sum(q * key)) for key in k]
    total = sum(exponentials)
    return sum(e / total * value for e, value in zip(exponentials, v, strict=True)), math.log2(total)


def assert_attends(
    outputs: tuple[torch.Tensor, torch.Tensor], q: torch.Tensor, seen: list[tuple[Array, Array]], scale: float
) -> None:
    """Row i of q has seen the keys and values ``seen[i]`` [n, kv_heads, d]."""
    output, lse = outputs
    assert (output.dtype, lse.dtype) == (torch.bfloat16, torch.float32)
    assert output.shape == q.shape
    assert lse.shape == q.shape[:2]
    for i, (k, v) in enumerate(seen):
        for head in range(q.shape[1]):
            kv_head = head // (q.shape[1] // k.shape[1])
            expected, expected_lse = attention(wide(q)[i, head], k[:, kv_head], v[:, kv_head], scale)
            assert_close(output[i, head], expected, BF16)
            assert float(lse[i, head]) == pytest.approx(expected_lse, rel=1e-5, abs=1e-5)


def test_decode_with_pages_of_one_token() -> None:
    q, k, v = random(1, 3, 4, 64), random(2, 9, 1, 2, 64), random(3, 9, 1, 2, 64)
    indptr, indices = [0, 4, 4, 6], [7, 0, 3, 8, 3, 1]
    got = mini("gqa_paged_decode_h4_kv2_d64_ps1")(
        q=q,
        k_cache=k,
        v_cache=v,
        kv_indptr=torch.tensor(indptr, dtype=torch.int32),
        kv_indices=torch.tensor(indices, dtype=torch.int32),
        sm_scale=0.25,
    )
    seen = []
    for first, last in pairwise(indptr):
        pages = indices[first:last]
        seen.append((wide(k)[pages, 0], wide(v)[pages, 0]))
    assert_attends(got, q, seen, 0.25)
    assert torch.equal(got[0][1], torch.zeros_like(q[1]))
    assert (got[1][1] == -math.inf).all()


@pytest.mark.parametrize("last_page_len", [[1, 5, 16], [16, 1, 3]])
def test_decode_with_part_filled_last_pages(last_page_len: list[int]) -> None:
    q, k, v = random(1, 3, 4, 64), random(2, 5, 16, 2, 64), random(3, 5, 16, 2, 64)
    indptr, indices = [0, 1, 1, 4], [4, 0, 2, 1]
    got = mini("gqa_paged_decode_h4_kv2_d64_ps16")(
        q=q,
        k_cache=k,
        v_cache=v,
        kv_indptr=torch.tensor(indptr, dtype=torch.int32),
        kv_indices=torch.tensor(indices, dtype=torch.int32),
        kv_last_page_len=torch.tensor(last_page_len, dtype=torch.int32),
        sm_scale=0.125,
    )
    seen = []
    for b, (first, last) in enumerate(pairwise(indptr)):
        slots = [(page, t) for page in indices[first:last] for t in range(16)]
        kept = slots[: max(0, last - first - 1) * 16 + last_page_len[b]] if slots else []
        keys, values = (np.array([wide(c)[s] for s in kept]).reshape(-1, 2, 64) for c in (k, v))
        seen.append((keys, values))
    assert_attends(got, q, seen, 0.125)


@pytest.mark.parametrize(
    ("q_lengths", "kv_lengths"),
    [([3, 2], [3, 2]), ([1, 2], [4, 2]), ([4, 0, 1], [2, 1, 0]), ([0], [0])],
    ids=["equal", "prefix", "fewer-keys", "empty"],
)
def test_ragged_causal_prefill(q_lengths: list[int], kv_lengths: list[int]) -> None:
    q, k, v = (
        random(1, sum(q_lengths), 4, 64),
        random(2, sum(kv_lengths), 2, 64),
        random(3, sum(kv_lengths), 2, 64),
    )
    bounds = [np.concatenate(([0], np.cumsum(lengths))) for lengths in (q_lengths, kv_lengths)]
    got = mini("gqa_ragged_prefill_causal_h4_kv2_d64")(
        q=q,
        k=k,
        v=v,
        qo_indptr=torch.tensor(bounds[0], dtype=torch.int32),
        kv_indptr=torch.tensor(bounds[1], dtype=torch.int32),
        sm_scale=0.125,
    )
    seen = []
    for nq, nk, first in zip(q_lengths, kv_lengths, bounds[1], strict=False):
        for i in range(nq):
            visible = slice(first, first + max(0, i + 1 + nk - nq))
            seen.append((wide(k)[visible], wide(v)[visible]))
    assert_attends(got, q, seen, 0.125)


def test_ragged_prefill_of_more_rows_than_it_takes_at_once() -> None:
    n = 600
    q, k, v = random(1, n, 4, 64), random(2, n + 5, 2, 64), random(3, n + 5, 2, 64)
    output, lse = mini("gqa_ragged_prefill_causal_h4_kv2_d64")(
        q=q,
        k=k,
        v=v,
        qo_indptr=torch.tensor([0, n], dtype=torch.int32),
        kv_indptr=torch.tensor([0, n + 5], dtype=torch.int32),
        sm_scale=0.125,
    )
    for i in (0, 255, 256, 511, 512, n - 1):
        seen = [(wide(k)[: i + 6], wide(v)[: i + 6])]
        assert_attends((output[i : i + 1], lse[i : i + 1]), q[i : i + 1], seen, 0.125)


def routing(logits: Array, bias: Array, factor: float) -> dict[int, float]:
    """DeepSeek-V3's choice for one token: expert number to weight."""
    scores = [1 / (1 + math.exp(-x)) for x in logits]
    biased = [s + b for s, b in zip(scores, bias, strict=True)]
    members = [range(32 * g, 32 * g + 32) for g in range(8)]
    by_group = sorted(range(8), key=lambda g: -sum(sorted(biased[e] for e in members[g])[-2:]))
    allowed = [e for g in by_group[:4] for e in members[g]]
    chosen = sorted(allowed, key=lambda e: -biased[e])[:8]
    total = sum(scores[e] for e in chosen)
    return {e: scores[e] / total * factor for e in chosen}


def moe_inputs(tokens: int, hidden: int, intermediate: int) -> dict[str, torch.Tensor]:
    fp8 = torch.float8_e4m3fn
    scales = np.random.default_rng(9)

    def scale(*shape: int, size: float = 1.0) -> torch.Tensor:
        return torch.from_numpy(scales.uniform(0.5 * size, 1.5 * size, shape)).to(torch.float32)

    return {
        "routing_logits": random(1, tokens, 256, dtype=torch.float32) * 1.5,
        "routing_bias": random(2, 256) * 0.1,
        "hidden_states": random(3, tokens, hidden, dtype=fp8),
        "hidden_states_scale": scale(hidden // 128, tokens),
        "gemm1_weights": random(4, 32, 2 * intermediate, hidden, dtype=fp8),
        "gemm1_weights_scale": scale(32, 2 * intermediate // 128, hidden // 128, size=hidden**-0.5),
        "gemm2_weights": random(5, 32, hidden, intermediate, dtype=fp8),
        "gemm2_weights_scale": scale(32, hidden // 128, intermediate // 128, size=intermediate**-0.5),
    }


@pytest.mark.parametrize("offset", [0, 96, 224])
def test_moe(offset: int) -> None:
    tokens, hidden, intermediate = 6, 256, 128
    x = moe_inputs(tokens, hidden, intermediate)
    got = mini("moe_fp8_block_scale_ds_routing_topk8_ng8_kg4_e32_h256_i128")(
        **x, local_expert_offset=offset, routed_scaling_factor=2.5
    )
    w = {name: wide(tensor) for name, tensor in x.items()}
    expected = np.zeros((tokens, hidden))
    for t in range(tokens):
        a = np.array(
            [w["hidden_states"][t, h] * w["hidden_states_scale"][h // 128, t] for h in range(hidden)]
        )
        for expert, weight in routing(w["routing_logits"][t], w["routing_bias"], 2.5).items():
            e = expert - offset
            if not 0 <= e < 32:
                continue
            both = np.zeros(2 * intermediate)
            for row in range(2 * intermediate):
                for block in range(hidden // 128):
                    part = slice(128 * block, 128 * block + 128)
                    scale = w["gemm1_weights_scale"][e, row // 128, block]
                    both[row] += scale * sum(w["gemm1_weights"][e, row, part] * a[part])
            up, gate = both[:intermediate], both[intermediate:]
            activated = gate / (1 + np.exp(-gate)) * up
            for row in range(hidden):
                for block in range(intermediate // 128):
                    part = slice(128 * block, 128 * block + 128)
                    scale = w["gemm2_weights_scale"][e, row // 128, block]
                    expected[t, row] += (
                        weight * scale * sum(w["gemm2_weights"][e, row, part] * activated[part])
                    )
    assert got.dtype == torch.bfloat16
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(wide(got), expected, rtol=BF16, atol=1e-5)


def test_moe_bias_chooses_but_does_not_weigh() -> None:
    x = moe_inputs(1, 256, 128)
    run = mini("moe_fp8_block_scale_ds_routing_topk8_ng8_kg4_e32_h256_i128")
    shifted = {**x, "routing_bias": x["routing_bias"] + 4}  # the same everywhere: the choice stays
    apart = {**x, "routing_bias": -x["routing_bias"] * 20}  # another choice
    outputs = [
        sum(run(**case, local_expert_offset=o, routed_scaling_factor=1.0).float() for o in range(0, 256, 32))
        for case in (x, shifted, apart)
    ]
    assert torch.allclose(outputs[0], outputs[1], rtol=0.1, atol=0.1)
    assert not torch.allclose(outputs[0], outputs[2], rtol=0.1, atol=0.1)


def mini_workloads() -> list[Any]:
    files = sorted(MINI.glob("workloads/*/*.jsonl"))
    lines = [line for path in files for line in read_workloads(path)]
    return [pytest.param(line, id=f"{line.definition}-{line.workload.uuid[:8]}") for line in lines]  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool(SECRET)


@pytest.mark.parametrize("line", mini_workloads())
def test_every_mini_workload_runs_with_finite_outputs(line: WorkloadLine, pool: Pool) -> None:
    definition = read_definition(next(MINI.glob(f"definitions/*/{line.definition}.json")))
    plan = plan_inputs(definition, line.workload, traceset_root=MINI, secret=SECRET, pool=pool)
    inputs = plan.draw(0)
    results = reference(definition)(**inputs, **plan.scalars)
    results = results if isinstance(results, tuple) else (results,)
    shapes = definition.output_shapes(line.workload.axes)
    for result, (name, shape) in zip(results, shapes.items(), strict=True):
        assert tuple(result.shape) == shape
        assert str(result.dtype) == f"torch.{definition.outputs[name].dtype}"
        if name == "lse":
            assert torch.equal(torch.isfinite(result), sees_something(inputs, result))
        else:
            assert torch.isfinite(result).all()
            largest = 1000 if result.is_floating_point() else 2000
            assert 0.01 < result.float().abs().max() < largest


@pytest.mark.parametrize("line", mini_workloads())
def test_every_reference_makes_its_tensors_where_its_inputs_are(line: WorkloadLine, pool: Pool) -> None:
    definition = read_definition(next(MINI.glob(f"definitions/*/{line.definition}.json")))
    plan = plan_inputs(definition, line.workload, traceset_root=MINI, secret=SECRET, pool=pool)
    inputs, run = plan.draw(0), reference(definition)
    with torch.device("meta"):  # what is made without saying where cannot be combined with the inputs
        results = run(**inputs, **plan.scalars)
    for result in results if isinstance(results, tuple) else (results,):
        assert result.device.type == "cpu"


def sees_something(inputs: dict[str, torch.Tensor], lse: torch.Tensor) -> torch.Tensor:
    """Whether a row of lse has any key."""
    if "sparse_indices" in inputs:
        return (inputs["sparse_indices"] >= 0).any(dim=1, keepdim=True).expand_as(lse)
    keys = inputs["kv_indptr"].diff()
    if "kv_last_page_len" in inputs:
        cache = inputs["k_cache" if "k_cache" in inputs else "ckv_cache"]
        keys = torch.where(keys > 0, (keys - 1) * cache.shape[1] + inputs["kv_last_page_len"], 0)
    if "qo_indptr" in inputs:
        queries = inputs["qo_indptr"].diff()
        first_seeing = (queries - keys).clamp(min=0)
        rows = [torch.arange(n) >= f for n, f in zip(queries.tolist(), first_seeing.tolist(), strict=True)]
        return torch.cat(rows).unsqueeze(-1).expand_as(lse)
    return (keys > 0).unsqueeze(-1).expand_as(lse)


def test_the_references_also_serve_the_official_interfaces(
    generate: ModuleType, shared_dataset: Path, pool: Pool
) -> None:
    judged = 0
    for path in sorted((shared_dataset / "captured/workloads").glob("*/*.jsonl")):
        interface = json.loads(
            (shared_dataset / "interfaces" / path.parent.name / f"{path.stem}.json").read_text()
        )
        definition = Definition.model_validate(generate.definition_for_interface(interface))
        for line in read_workloads(path):
            assert isinstance(line, WorkloadLine)
            root = shared_dataset / "captured"
            plan = plan_inputs(definition, line.workload, traceset_root=root, secret=SECRET, pool=pool)
            if plan.nbytes < 20e6:
                output, lse = reference(definition)(**plan.draw(0), **plan.scalars)
                assert torch.isfinite(output).all()
                assert torch.isfinite(lse).all()
                judged += 1
    assert judged >= 10
