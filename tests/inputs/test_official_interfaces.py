"""Every official interface gets finite, valid inputs at small sizes, and our reference makes finite outputs of them.

Inputs are drawn at the official sizes of the constant axes. Where that takes too much memory or time to compute,
the reference runs on a copy of the interface whose matrices are small.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from pytest_fib.data.definition import Definition
from pytest_fib.data.workload import Workload
from pytest_fib.inputs import InputPlan, Pool, plan_inputs

SECRET = bytes(range(32))
EXECUTED_BYTES = 24 << 20  # of inputs; more is not computed with
TENSOR_BYTES = 1 << 30  # of one tensor; more is not drawn
OP_TYPES = (
    "dsa_paged",
    "gdn",
    "gemm",
    "gqa_paged",
    "gqa_ragged",
    "mamba_ssu",
    "mla_paged",
    "mla_ragged",
    "moe",
    "rmsnorm",
    "rope",
    "sampling",
)
# Sizes of variable axes: small, but enough that every sequence has queries and keys and that nothing is trivial.
SMALL = {
    "M": 2,
    "batch_size": 2,
    "len_cu_seqlens": 3,
    "len_indptr": 3,
    "max_num_pages": 32,  # times 64 are the 2048 tokens that the indexer's constraint asks for
    "max_seq_len": 9,
    "num_kv_heads": 2,
    "num_kv_indices": 6,
    "num_pages": 33,
    "num_qo_heads": 4,
    "num_seqs": 2,
    "num_tokens": 3,
    "pool_size": 3,
    "seq_len": 3,
    "state_cache_size": 3,
    "total_kv": 7,
    "total_q": 4,
    "total_seq_len": 5,
}
# Sizes of constant axes in the copies.
THIN = {
    "N": 64,
    "hidden_size": 128,
    "intermediate_size": 128,
    "gemm1_out_size": 256,
    "num_hidden_blocks": 1,
    "num_intermediate_blocks": 1,
    "num_gemm1_out_blocks": 2,
}
Inputs = dict[str, Any]
Check = Callable[[torch.Tensor, Inputs, dict[str, int]], None]


def offsets(end: str) -> Check:
    def check(x: torch.Tensor, _: Inputs, axes: dict[str, int]) -> None:
        assert x[0] == 0
        assert x[-1] == axes[end]
        assert (x.diff() > 0).all()

    return check


def inside(low: int, axis: str) -> Check:
    def check(x: torch.Tensor, _: Inputs, axes: dict[str, int]) -> None:
        assert ((x >= low) & (x < low + axes[axis])).all()

    return check


def different(axis: str) -> Check:
    def check(x: torch.Tensor, inputs: Inputs, axes: dict[str, int]) -> None:
        inside(0, axis)(x, inputs, axes)
        assert len(set(x.tolist())) == x.numel()

    return check


def different_in_sequences(x: torch.Tensor, inputs: Inputs, axes: dict[str, int]) -> None:
    inside(0, "num_pages")(x, inputs, axes)
    for first, last in pairwise(inputs["kv_indptr"].tolist()):
        assert len(set(x[first:last].tolist())) == last - first


def slots_then_padding(x: torch.Tensor, _: Inputs, axes: dict[str, int]) -> None:
    for row in x.tolist():
        valid = [slot for slot in row if slot >= 0]
        assert row == valid + [-1] * (len(row) - len(valid))
        assert 0 < len(valid) == len(set(valid))
        assert max(valid) < axes["num_pages"] * axes["page_size"]


def lengths_in_the_table(x: torch.Tensor, _: Inputs, axes: dict[str, int]) -> None:
    assert ((x > 0) & (x <= axes["max_num_pages"] * axes["page_size"])).all()


def table_of_different_pages(x: torch.Tensor, inputs: Inputs, axes: dict[str, int]) -> None:
    for row, length in zip(x, inputs["seq_lens"].tolist(), strict=True):
        different("num_pages")(row[: -(-length // axes["page_size"])], inputs, axes)


def quantised_pages(x: torch.Tensor, _: Inputs, axes: dict[str, int]) -> None:
    pages = x.reshape(axes["num_pages"], -1)
    tokens = axes["page_size"] * axes["index_head_dim"]
    assert pages[:, :tokens].contiguous().view(torch.float8_e4m3fn).float().isfinite().all()
    scales = pages[:, tokens:].contiguous().view(torch.float32)
    assert scales.isfinite().all()
    assert (scales > 0).all()


def packed_routing(x: torch.Tensor, _: Inputs, axes: dict[str, int]) -> None:
    experts = x >> 16
    assert ((experts >= 0) & (experts < axes["num_experts"])).all()
    assert all(len(set(row)) == len(row) for row in experts.tolist())
    weights = (x & 0xFFFF).to(torch.int16).view(torch.bfloat16).float()
    assert torch.allclose(weights.sum(1), torch.ones(len(x)), atol=0.05)


def probabilities(x: torch.Tensor, _: Inputs, __: dict[str, int]) -> None:
    assert (x >= 0).all()
    assert torch.allclose(x.double().sum(1), torch.ones(len(x)).double(), atol=1e-4)


def shares(x: torch.Tensor, _: Inputs, __: dict[str, int]) -> None:
    assert ((x > 0) & (x < 1)).all()


CHECKS: dict[str, Check] = {
    "block_table": table_of_different_pages,
    "cu_seqlens": offsets("total_seq_len"),
    "initial_state_indices": different("pool_size"),
    "k_index_cache_fp8": quantised_pages,
    "kv_indices": different_in_sequences,
    "kv_last_page_len": inside(1, "page_size"),
    "positions": inside(0, "max_seq_len"),
    "probs": probabilities,
    "qo_indptr": offsets("total_q"),
    "seq_lens": lengths_in_the_table,
    "sparse_indices": slots_then_padding,
    "state_batch_indices": different("state_cache_size"),
    "top_k": inside(1, "vocab_size"),
    "top_p": shares,
    "topk_ids": packed_routing,
}


def check_input(name: str, tensor: torch.Tensor, inputs: Inputs, axes: dict[str, int]) -> None:
    """Check a tensor by its name, and that it is finite: a sample of it if it is large."""
    if name == "kv_indptr":
        offsets("total_kv" if "total_kv" in axes else "num_kv_indices")(tensor, inputs, axes)
    elif name in CHECKS:
        CHECKS[name](tensor, inputs, axes)
    else:
        assert tensor.is_floating_point(), f"nothing says what {name} should be"
    if tensor.is_floating_point():
        step = 1 if tensor.nbytes < EXECUTED_BYTES else 997
        assert tensor.view(-1)[::step].float().isfinite().all()


def check_scalars(scalars: dict[str, Any], axes: dict[str, int]) -> None:
    for name, value in scalars.items():
        if name == "local_expert_offset":
            assert value in range(0, axes["num_experts"], axes["num_local_experts"])
        else:
            assert 0 < value < 10
            assert math.isfinite(value)


def check_results(definition: Definition, inputs: Inputs, axes: dict[str, int]) -> None:
    namespace: dict[str, Any] = {}
    exec(definition.reference, namespace)
    returned = namespace["run"](**inputs)
    results = returned if isinstance(returned, tuple) else (returned,)
    for (name, shape), result in zip(definition.output_shapes(axes).items(), results, strict=True):
        assert tuple(result.shape) == shape
        assert str(result.dtype) == f"torch.{definition.outputs[name].dtype}"
        assert result.isfinite().all()
        if definition.op_type == "sampling":
            inside(0, "vocab_size")(result, inputs, axes)
        else:
            assert 0 < result.float().abs().max() < 1e4


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool(SECRET)


@pytest.fixture(scope="module")
def buffers() -> Callable[[InputPlan, str], torch.Tensor]:
    """Tensors that share one piece of memory, because fresh memory is slow."""
    memory = torch.empty(TENSOR_BYTES, dtype=torch.uint8)

    def buffer(plan: InputPlan, name: str) -> torch.Tensor:
        layout = plan.tensors[name]
        return memory[: layout.nbytes].view(layout.dtype).view(layout.shape)

    return buffer


def planned(definition: Definition, pool: Pool) -> tuple[InputPlan, dict[str, int]]:
    stated = {name: SMALL[name] for name, axis in definition.axes.items() if axis.type == "var"}
    workload = Workload.model_validate({"uuid": "smallest", "axes": stated, "inputs": {}})
    plan = plan_inputs(definition, workload, traceset_root=None, secret=SECRET, pool=pool)
    return plan, definition.resolve_axes(stated)


def thinned(definition: Definition) -> Definition:
    document = copy.deepcopy(definition.model_dump(mode="json"))
    for name, axis in document["axes"].items():
        if name in THIN:
            axis["value"] = THIN[name]
    return Definition.model_validate(document)


@pytest.mark.parametrize("op_type", OP_TYPES)
def test_official_interfaces_get_valid_inputs(
    op_type: str,
    generate: ModuleType,
    shared_dataset: Path,
    pool: Pool,
    buffers: Callable[[InputPlan, str], torch.Tensor],
) -> None:
    for path in sorted((shared_dataset / "interfaces" / op_type).glob("*.json")):
        document = generate.definition_for_interface(json.loads(path.read_text()))
        definition = Definition.model_validate(document)
        plan, axes = planned(definition, pool)
        assert not definition.check_constraints(axes)
        check_scalars(plan.scalars, axes)
        bulk = {name for name, layout in plan.tensors.items() if layout.nbytes > EXECUTED_BYTES}
        drawn = plan.draw(0, only=plan.tensors.keys() - bulk)
        for name, tensor in drawn.items():
            check_input(name, tensor, drawn, axes)
        for name in bulk:
            if plan.tensors[name].nbytes <= TENSOR_BYTES:
                tensor = plan.draw(0, out={name: buffers(plan, name)}, only={name})[name]
                check_input(name, tensor, drawn, axes)
        if plan.nbytes > EXECUTED_BYTES:
            definition = thinned(definition)
            plan, axes = planned(definition, pool)
            assert plan.nbytes <= 2 * EXECUTED_BYTES
            drawn = plan.draw(0)
        check_results(definition, {**drawn, **plan.scalars}, axes)


def test_no_interface_is_left_out(shared_dataset: Path) -> None:
    assert {path.parent.name for path in (shared_dataset / "interfaces").glob("*/*.json")} == set(OP_TYPES)
    assert len(list((shared_dataset / "interfaces").glob("*/*.json"))) == 156
