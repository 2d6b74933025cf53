"""Latent attention gets the same structure as grouped attention, and DeepSeek's scale."""

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
from pytest_fib.inputs.structured.rules import sequence_pages

Make = Callable[..., InputPlan]
FAST = settings(deadline=None, max_examples=100, derandomize=True)
SCALE = pytest.approx((128 + 64) ** -0.5 * (1 + 0.1 * np.log(40)) ** 2, rel=1e-4)


@FAST
@given(counts=st.lists(st.integers(0, 9), max_size=8), spare=st.integers(0, 9), seed=st.integers(0, 999))
def test_the_pages_of_a_sequence_are_distinct(counts: list[int], spare: int, seed: int) -> None:
    num_pages = max(counts, default=0) + spare
    numbers = sequence_pages(np.random.default_rng(seed), np.array(counts, dtype=np.int64), num_pages)
    assert numbers.size == sum(counts)
    assert ((numbers >= 0) & (numbers < num_pages)).all()
    for first, last in pairwise(np.cumsum([0, *counts])):
        assert len(set(numbers[first:last].tolist())) == last - first


def test_in_a_call_of_four_sequences_begin_with_the_same_pages_and_else_share_none() -> None:
    counts = np.array([5, 3, 8])
    shared = 0
    for seed in range(400):
        numbers = sequence_pages(np.random.default_rng(seed), counts, 1000)
        heads = {int(numbers[first]) for first in (0, 5, 8)}
        assert len(heads) in (1, 3)
        if len(heads) == 3:
            assert len(set(numbers.tolist())) == 16
        shared += len(heads) == 1
    assert 70 < shared < 130


def paged(make_plan: Make, batch: int, pages: int, indices: int, page: int, queries: int | None) -> InputPlan:
    rows = "batch" if queries is None else "queries"
    inputs: dict[str, Any] = {
        "q_nope": ([rows, 4, 16], "bfloat16"),
        "q_pe": ([rows, 4, 8], "bfloat16"),
        "ckv_cache": (["pages", page, 16], "bfloat16"),
        "kpe_cache": (["pages", page, 8], "bfloat16"),
        "kv_indptr": (["len"], "int32"),
        "kv_indices": (["indices"], "int32"),
        "kv_last_page_len": (["batch"], "int32"),
        "sm_scale": (None, "float32"),
    }
    if queries is not None:
        inputs["qo_indptr"] = (["len"], "int32")
    axes = {"batch": batch, "len": batch + 1, "pages": pages, "indices": indices, "queries": queries or 0}
    return make_plan(inputs, axes, op_type="mla_paged")


@FAST
@given(
    batch=st.integers(1, 6),
    pages=st.integers(1, 9),
    share=st.floats(0, 1),
    queries=st.none() | st.integers(0, 30),
    call=st.integers(0, 9),
)
def test_paged(make_plan: Make, batch: int, pages: int, share: float, queries: int | None, call: int) -> None:
    indices = int(share * batch * pages)
    plan = paged(make_plan, batch, pages, indices, 4, queries)
    drawn = plan.draw(call)
    bounds = drawn["kv_indptr"].tolist()
    assert (bounds[0], bounds[-1]) == (0, indices)
    for first, last in pairwise(bounds):
        own = drawn["kv_indices"][first:last].tolist()
        assert len(set(own)) == len(own)
        assert all(0 <= page < pages for page in own)
    assert ((drawn["kv_last_page_len"] >= 1) & (drawn["kv_last_page_len"] <= 4)).all()
    if queries is not None:
        assert drawn["qo_indptr"][-1] == queries
    assert plan.scalars == {"sm_scale": SCALE}


def test_more_indices_than_pages_of_all_sequences_are_refused(make_plan: Make) -> None:
    with pytest.raises(NotJudgeable, match="2 sequences cannot hold 7 different pages each out of 3"):
        paged(make_plan, 2, 3, 7, 4, None)


def test_ragged(make_plan: Make) -> None:
    inputs = {
        "q": (["queries", 4, 24], "bfloat16"),
        "k": (["keys", 4, 24], "bfloat16"),
        "v": (["keys", 4, 16], "bfloat16"),
        "qo_indptr": (["len"], "int32"),
        "kv_indptr": (["len"], "int32"),
        "sm_scale": (None, "float32"),
    }
    plan = make_plan(inputs, {"queries": 40, "keys": 70, "len": 6}, op_type="mla_ragged")
    for drawn in plan.draw_many(range(10)):
        queries, keys = drawn["qo_indptr"].diff(), drawn["kv_indptr"].diff()
        assert (queries.sum(), keys.sum()) == (40, 70)
        assert (keys >= queries).all()
        assert (queries > 0).all()
    assert plan.scalars == {"sm_scale": SCALE}


def test_captured_pages_that_do_not_exist_are_a_skip(make_plan: Make, tmp_path: Any) -> None:
    from safetensors.torch import save_file

    save_file({"kv_indices": torch.tensor([0, 3], dtype=torch.int32)}, tmp_path / "x.safetensors")
    inputs = {
        "q_nope": ([1, 4, 16], "bfloat16"),
        "q_pe": ([1, 4, 8], "bfloat16"),
        "ckv_cache": ([3, 1, 16], "bfloat16"),
        "kpe_cache": ([3, 1, 8], "bfloat16"),
        "kv_indptr": ([2], "int32"),
        "kv_indices": ([2], "int32"),
    }
    sources = {"kv_indices": {"type": "safetensors", "path": "x.safetensors", "tensor_key": "kv_indices"}}
    with pytest.raises(NotJudgeable, match=r"'kv_indices' of workload w holds 3, which is not in \[0, 3\)"):
        make_plan(inputs, op_type="mla_paged", sources=sources, traceset_root=tmp_path)
