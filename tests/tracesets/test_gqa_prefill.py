"""Paged causal prefill against attention in float64, query by query and key by key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from .conftest import Reference, int32, normal, visible_tokens

NAME = "gqa_paged_prefill_causal_h4_kv2_d64_ps"
HEADS, GROUP = 4, 2


@pytest.mark.parametrize(
    ("page_size", "queries", "pages", "last"),
    [
        (1, [3, 1, 2], [[4, 1, 3, 0], [2], [5, 4]], [1, 1, 1]),
        (1, [4, 0, 2], [[1, 0], [3], []], [1, 1, 1]),
        (16, [3, 2, 20], [[2, 0], [3], [1, 2]], [5, 16, 1]),
        (16, [4, 1, 2], [[1], [], [0]], [2, 7, 1]),
    ],
    ids=["tokens", "tokens-that-some-queries-do-not-see", "pages", "pages-that-some-queries-do-not-see"],
)
def test_a_query_sees_the_tokens_up_to_its_own(
    page_size: int,
    queries: list[int],
    pages: list[list[int]],
    last: list[int],
    reference: Reference,
    assert_attends: Callable[..., None],
) -> None:
    q = normal(1, sum(queries), HEADS, 64)
    k, v = normal(2, 6, page_size, 2, 64), normal(3, 6, page_size, 2, 64)
    extra = {} if page_size == 1 else {"kv_last_page_len": int32(last)}
    outputs = reference(f"{NAME}{page_size}")["run"](
        q=q,
        k_cache=k,
        v_cache=v,
        qo_indptr=int32([0, *np.cumsum(queries)]),
        kv_indptr=int32([0, *np.cumsum([len(own) for own in pages])]),
        kv_indices=int32([page for own in pages for page in own]),
        sm_scale=0.25,
        **extra,
    )
    keys, values = k.double().numpy(), v.double().numpy()

    def seen(row: int, head: int) -> tuple[Any, list[tuple[Any, Any]]]:
        visible = visible_tokens(row, queries, pages, last, page_size)
        pairs = [(keys[at][head // GROUP], values[at][head // GROUP]) for at in visible]
        return q[row, head].double().numpy(), pairs

    assert_attends(outputs, 0.25, seen)


def test_long_prompts_are_taken_in_blocks_of_queries_that_see_the_same_as_alone(reference: Reference) -> None:
    n, run = 530, reference(f"{NAME}1")["run"]
    q, k, v = normal(1, n, HEADS, 64), normal(2, n, 1, 2, 64), normal(3, n, 1, 2, 64)
    indices = int32(list(np.random.default_rng(4).permutation(n)))
    bounds = int32([0, n])
    output, lse = run(
        q=q, k_cache=k, v_cache=v, qo_indptr=bounds, kv_indptr=bounds, kv_indices=indices, sm_scale=0.125
    )
    for i in (0, 255, 256, n - 1):
        alone = run(
            q=q[i : i + 1],
            k_cache=k,
            v_cache=v,
            qo_indptr=int32([0, 1]),
            kv_indptr=int32([0, i + 1]),
            kv_indices=indices[: i + 1],
            sm_scale=0.125,
        )
        torch.testing.assert_close(output[i : i + 1], alone[0], rtol=2.0**-7, atol=1e-6)
        torch.testing.assert_close(lse[i : i + 1], alone[1])
