"""Structured inputs obey the rules of their op type for any axes, or the workload is refused."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fib.errors import NotJudgeable
from pytest_fib.inputs import InputPlan
from pytest_fib.inputs.structured.rules import at_least_one_each, lengths, pages, partition

Make = Callable[..., InputPlan]
Drawn = dict[str, torch.Tensor]
settings.register_profile("inputs", deadline=None, max_examples=150, derandomize=True)
FAST = settings(settings.get_profile("inputs"))


@FAST
@given(data=st.data())
def test_partition_keeps_its_bounds(data: st.DataObject) -> None:
    minimum = np.array(data.draw(st.lists(st.integers(0, 20), max_size=12)), dtype=np.int64)
    spare = np.array([data.draw(st.integers(0, 20)) for _ in minimum], dtype=np.int64)
    total = int(minimum.sum()) + data.draw(st.integers(0, int(spare.sum())))
    rng, edges = np.random.default_rng(data.draw(st.integers(0, 99))), data.draw(st.booleans())
    parts = partition(rng, total, minimum, minimum + spare, edges=edges)
    assert parts.sum() == total
    assert ((parts >= minimum) & (parts <= minimum + spare)).all()


@pytest.mark.parametrize(
    ("total", "minimum", "maximum"), [(3, [2, 2], None), (1, [], None), (5, [0, 0], [2, 2])]
)
def test_an_impossible_partition_is_refused(
    total: int, minimum: list[int], maximum: list[int] | None
) -> None:
    bounds = [None if side is None else np.array(side, dtype=np.int64) for side in (minimum, maximum)]
    assert bounds[0] is not None
    with pytest.raises(ValueError, match="cannot be split"):
        partition(np.random.default_rng(0), total, bounds[0], bounds[1])


def test_parts_differ_by_a_factor_of_about_three() -> None:
    parts = partition(np.random.default_rng(0), 100_000, np.zeros(100, dtype=np.int64))
    assert 400 < parts.min() < 700
    assert 1300 < parts.max() < 1600


def test_at_edges_a_third_of_the_parts_is_empty_and_never_all() -> None:
    minimum = at_least_one_each(100_000, 100, edges=True)
    parts = partition(np.random.default_rng(0), 100_000, minimum, edges=True)
    assert 20 < (parts == 0).sum() < 50
    for seed in range(50):
        pair = partition(np.random.default_rng(seed), 7, at_least_one_each(7, 2, edges=True), edges=True)
        assert pair.sum() == 7


def test_at_edges_half_of_the_lengths_are_the_least_or_the_most() -> None:
    least = np.full(1000, 3, dtype=np.int64)
    drawn = lengths(np.random.default_rng(0), least, 100, edges=True)
    assert ((drawn >= 3) & (drawn <= 100)).all()
    assert (drawn == 3).sum() > 200
    assert (drawn == 100).sum() > 200
    assert (lengths(np.random.default_rng(0), least, 100) == 3).sum() < 50


@pytest.mark.parametrize("asks", [False, True])
def test_a_workload_may_ask_for_empty_sequences(make_plan: Make, asks: bool) -> None:
    tensors = {"q": (["total_q", 4, 8], "bfloat16"), "k": (["total_kv", 2, 8], "bfloat16")}
    offsets = {name: (["len"], "int32") for name in ("qo_indptr", "kv_indptr")}
    axes = {"total_q": 64, "total_kv": 64, "len": 9}
    sources = {"q": {"type": "random", "edges": asks}}
    plan = make_plan({**tensors, **offsets}, axes, sources=sources, op_type="gqa_ragged")
    empty = [bool((content["qo_indptr"].diff() == 0).any()) for content in plan.draw_many(range(20))]
    assert sum(empty) > 10 if asks else not any(empty)


@FAST
@given(count=st.integers(0, 60), num_pages=st.integers(1, 40), seed=st.integers(0, 99))
def test_neighbouring_pages_are_distinct(count: int, num_pages: int, seed: int) -> None:
    numbers = pages(np.random.default_rng(seed), count, num_pages)
    assert numbers.size == count
    assert ((numbers >= 0) & (numbers < num_pages)).all()
    for start in range(count):
        window = numbers[start : start + num_pages]
        assert len(set(window.tolist())) == window.size


def paged(
    make_plan: Make, batch: int, num_pages: int, indices: int, page: int, queries: int | None
) -> InputPlan:
    """Decode without ``queries``, else prefill; ``kv_last_page_len`` with pages of more than one token."""
    inputs: dict[str, Any] = {
        "q": (["batch" if queries is None else "queries", 4, 8], "bfloat16"),
        "k_cache": (["pages", page, 2, 8], "bfloat16"),
        "v_cache": (["pages", page, 2, 8], "bfloat16"),
        "kv_indptr": (["len"], "int32"),
        "kv_indices": (["indices"], "int32"),
        "sm_scale": (None, "float32"),
    }
    if queries is not None:
        inputs["qo_indptr"] = (["len"], "int32")
    if page > 1:
        inputs["kv_last_page_len"] = (["batch"], "int32")
    axes = {
        "batch": batch,
        "len": batch + 1,
        "pages": num_pages,
        "indices": indices,
        "queries": queries or 0,
        "head_dim": 64,
    }
    return make_plan(inputs, axes, op_type="gqa_paged")


def assert_offsets(offsets: torch.Tensor, count: int, total: int) -> None:
    assert offsets.shape == (count + 1,)
    assert offsets[0] == 0
    assert offsets[-1] == total
    assert (offsets.diff() >= 0).all()
    if total >= count:
        assert (offsets.diff() > 0).all()


def assert_pages(drawn: Drawn, batch: int, num_pages: int, page: int) -> None:
    indices, bounds = drawn["kv_indices"].tolist(), drawn["kv_indptr"].tolist()
    assert all(0 <= index < num_pages for index in indices)
    for first, last in pairwise(bounds):
        assert len(set(indices[first:last])) == last - first
    if page > 1:
        last_page_len = drawn["kv_last_page_len"]
        assert last_page_len.shape == (batch,)
        assert ((last_page_len >= 1) & (last_page_len <= page)).all()


sizes = st.integers(0, 9)


@FAST
@given(batch=sizes, num_pages=sizes, share=st.floats(0, 1), page=st.sampled_from([1, 2, 16]), call=sizes)
def test_decode(make_plan: Make, batch: int, num_pages: int, share: float, page: int, call: int) -> None:
    indices = int(share * batch * num_pages)
    plan = paged(make_plan, batch, num_pages, indices, page, None)
    drawn = plan.draw(call)
    assert_offsets(drawn["kv_indptr"], batch, indices)
    assert_pages(drawn, batch, num_pages, page)
    assert plan.scalars == {"sm_scale": 0.125}


@FAST
@given(
    batch=st.integers(1, 9),
    num_pages=sizes,
    share=st.floats(0, 1),
    page=st.sampled_from([1, 4]),
    queries=st.integers(0, 40),
    call=sizes,
)
def test_paged_prefill(
    make_plan: Make, batch: int, num_pages: int, share: float, page: int, queries: int, call: int
) -> None:
    indices = int(share * batch * num_pages)
    drawn = paged(make_plan, batch, num_pages, indices, page, queries).draw(call)
    assert_offsets(drawn["qo_indptr"], batch, queries)
    assert drawn["kv_indptr"][-1] == indices
    assert_pages(drawn, batch, num_pages, page)
    needed = (drawn["qo_indptr"].diff() + page - 1) // page
    needed = needed.clamp(min=1 if indices >= batch else 0)
    if needed.sum() <= indices and (needed <= num_pages).all():
        held = (drawn["kv_indptr"].diff() - 1) * page + drawn.get("kv_last_page_len", torch.ones(batch))
        asked = drawn["qo_indptr"].diff()
        assert (held >= asked)[asked > 0].all()


@FAST
@given(batch=st.integers(1, 9), queries=st.integers(0, 40), keys=st.integers(0, 80), call=sizes)
def test_ragged(make_plan: Make, batch: int, queries: int, keys: int, call: int) -> None:
    inputs = {
        "q": (["queries", 4, 8], "bfloat16"),
        "k": (["keys", 2, 8], "bfloat16"),
        "v": (["keys", 2, 8], "bfloat16"),
        "kv_indptr": (["len"], "int32"),
        "qo_indptr": (["len"], "int32"),
    }
    axes = {"queries": queries, "keys": keys, "len": batch + 1}
    drawn = make_plan(inputs, axes, op_type="gqa_ragged").draw(call)
    assert list(drawn) == list(inputs)
    assert_offsets(drawn["qo_indptr"], batch, queries)
    assert drawn["kv_indptr"][0] == 0
    assert drawn["kv_indptr"][-1] == keys
    assert (drawn["kv_indptr"].diff() >= 0).all()
    if keys >= queries:
        assert (drawn["kv_indptr"].diff() >= drawn["qo_indptr"].diff()).all()


def test_there_may_be_one_length_of_a_last_page_more_than_sequences(make_plan: Make, tmp_path: Any) -> None:
    from safetensors.torch import save_file

    inputs: dict[str, Any] = {
        "q": ([2, 4, 8], "bfloat16"),
        "k_cache": ([5, 16, 2, 8], "bfloat16"),
        "v_cache": ([5, 16, 2, 8], "bfloat16"),
        "qo_indptr": ([3], "int32"),
        "kv_indptr": ([3], "int32"),
        "kv_indices": ([4], "int32"),
        "kv_last_page_len": ([3], "int32"),
    }
    drawn = make_plan(inputs, op_type="gqa_paged").draw(0)["kv_last_page_len"]
    assert ((drawn >= 1) & (drawn <= 16)).all()
    save_file(
        {"kv_last_page_len": torch.tensor([17, 1, 99]).int(), "kv_indptr": torch.tensor([0, 0, 4]).int()},
        tmp_path / "x",
    )
    sources = {
        key: {"type": "safetensors", "path": "x", "tensor_key": key}
        for key in ("kv_last_page_len", "kv_indptr")
    }
    make_plan(inputs, op_type="gqa_paged", sources=sources, traceset_root=tmp_path)


def test_the_last_page_holds_what_the_queries_need(make_plan: Make) -> None:
    plan = paged(make_plan, 1, 2, 2, 4, 7)
    assert {plan.draw(call)["kv_last_page_len"].item() for call in range(30)} == {3, 4}


def test_structure_is_drawn_afresh_at_every_call(make_plan: Make) -> None:
    plan = paged(make_plan, 4, 50, 100, 16, None)
    calls = [plan.draw(call) for call in range(10)]
    for name in ("kv_indptr", "kv_indices", "kv_last_page_len"):
        assert len({tuple(drawn[name].tolist()) for drawn in calls}) > 8


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((1, 0, 2, 1, 7), "1 sequences cannot hold 2 different pages each out of 0"),
        ((2, 3, 7, 1, None), "2 sequences cannot hold 7 different pages"),
        ((0, 3, 0, 1, 7), "7 queries belong to no sequence"),
        ((0, 3, 2, 1, None), "0 sequences cannot hold 2"),
        ((2, 3, 2, 0, None), None),
    ],
)
def test_axes_without_valid_content_are_refused(
    make_plan: Make, sizes: tuple[int, int, int, int, int | None], message: str | None
) -> None:
    if message is None:
        assert paged(make_plan, *sizes).draw(0)["kv_indptr"][-1] == 2
        return
    with pytest.raises(NotJudgeable, match=f"workload w of 'd' has no valid inputs: {message}"):
        paged(make_plan, *sizes)


def test_lengths_that_contradict_each_other_are_refused(make_plan: Make) -> None:
    inputs = {
        "q": ([3, 4, 8], "bfloat16"),
        "k_cache": ([5, 1, 2, 8], "bfloat16"),
        "kv_indptr": ([3], "int32"),
        "kv_indices": ([2], "int32"),
    }
    with pytest.raises(NotJudgeable, match="kv_indptr says 2 sequences, q another number"):
        make_plan(inputs, op_type="gqa_paged")
    ragged = {**inputs, "k": ([5, 2, 8], "bfloat16"), "qo_indptr": ([4], "int32")}
    with pytest.raises(NotJudgeable, match="differ in length"):
        make_plan(ragged, op_type="gqa_ragged")


@pytest.mark.parametrize("op_type", ["gqa_paged", "gqa_ragged", "moe"])
def test_definitions_of_another_form_get_plain_content(make_plan: Make, op_type: str) -> None:
    inputs = {
        "q": ([3], "bfloat16"),
        "k": ([3], "bfloat16"),
        "k_cache": ([5, 2], "bfloat16"),
        "kv_indptr": ([2, 2], "int32"),
        "qo_indptr": ([], "int32"),
        "kv_indices": ([2], "int32"),
        "topk_ids": ([2], "int32"),
    }
    assert list(make_plan(inputs, op_type=op_type).draw(0)) == list(inputs)


MOE_AXES = {
    "seq_len": 300,
    "num_experts": 64,
    "num_local_experts": 16,
    "hidden_size": 256,
    "intermediate_size": 128,
}
MOE = {
    "routing_logits": (["seq_len", "num_experts"], "float32"),
    "routing_bias": (["num_experts"], "bfloat16"),
    "hidden_states": (["seq_len", "hidden_size"], "float8_e4m3fn"),
    "hidden_states_scale": ([2, "seq_len"], "float32"),
    "gemm1_weights": ([2, 256, "hidden_size"], "float8_e4m3fn"),
    "gemm1_weights_scale": (["num_local_experts", 200, 2], "float32"),
    "gemm2_weights": ([2, "hidden_size", "intermediate_size"], "float8_e4m3fn"),
    "gemm2_weights_scale": (["num_local_experts", 200, 2], "float32"),
    "local_expert_offset": (None, "int32"),
    "routed_scaling_factor": (None, "float32"),
}


def test_moe_scales_are_positive_and_spread(make_plan: Make) -> None:
    drawn = make_plan(MOE, MOE_AXES, op_type="moe").draw(0)
    middles = {"hidden_states_scale": 1, "gemm1_weights_scale": 1 / 16, "gemm2_weights_scale": 4 / 128**0.5}
    for name, middle in middles.items():
        relative = drawn[name] / middle
        assert relative.min() == pytest.approx(0.5, abs=0.02)
        assert relative.max() == pytest.approx(1.5, abs=0.02)
        assert relative.mean() == pytest.approx(1, abs=0.05)
    assert drawn["routing_logits"].std() == pytest.approx(1.5, abs=0.05)
    assert 0.01 < drawn["routing_bias"].float().std() < 0.03


def test_moe_scalars_name_a_shard_that_exists(make_plan: Make) -> None:
    plans = [make_plan(MOE, MOE_AXES, op_type="moe", uuid=f"w{i}") for i in range(40)]
    assert {plan.scalars["local_expert_offset"] for plan in plans} == {0, 16, 32, 48}
    assert {plan.scalars["routed_scaling_factor"] for plan in plans} == {2.5}


def test_moe_weights_without_scales_are_small_themselves(make_plan: Make) -> None:
    inputs = {
        **MOE,
        "gemm1_weights": ([8, 64, "hidden_size"], "float32"),
        "gemm2_weights": ([8, 64, 128], "bfloat16"),
    }
    drawn = make_plan(inputs, MOE_AXES, op_type="moe").draw(0)
    assert drawn["gemm1_weights"].std() == pytest.approx(1 / 16, rel=0.05)
    assert drawn["gemm2_weights"].float().std() == pytest.approx(4 / 128**0.5, rel=0.05)


def test_packed_routing_names_different_experts_and_weights_that_sum_to_one(make_plan: Make) -> None:
    packed = make_plan({"topk_ids": (["seq_len", 8], "int32")}, MOE_AXES, op_type="moe").draw(0)["topk_ids"]
    experts = packed >> 16
    assert ((experts >= 0) & (experts < 64)).all()
    assert all(len(set(row)) == 8 for row in experts.tolist())
    weights = (packed & 0xFFFF).to(torch.int16).view(torch.bfloat16).float()
    assert torch.allclose(weights.sum(1), torch.ones(300), atol=0.05)


def test_captured_routing_to_experts_that_do_not_exist_is_a_skip(make_plan: Make, tmp_path: Any) -> None:
    from safetensors.torch import save_file

    save_file({"topk_ids": torch.tensor([[64 << 16]], dtype=torch.int32)}, tmp_path / "x.safetensors")
    sources = {"topk_ids": {"type": "safetensors", "path": "x.safetensors", "tensor_key": "topk_ids"}}
    with pytest.raises(NotJudgeable, match=r"'topk_ids' of workload w holds 64, which is not in \[0, 64\)"):
        make_plan(
            {"topk_ids": ([1, 1], "int32")}, MOE_AXES, op_type="moe", sources=sources, traceset_root=tmp_path
        )
