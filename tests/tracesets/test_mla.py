"""Latent attention against attention in float64, key by key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from .conftest import Reference, int32, normal, visible_tokens

HEADS, CKV, KPE = 4, 64, 16
SCALE = 0.2


PAGED = [
    (1, None, [[4, 1, 3, 0], [2], [5, 4]], [1, 1, 1]),
    (1, None, [[], [2, 0]], [1, 1]),
    (16, None, [[2, 0], [], [1, 2]], [5, 9, 16]),
    (1, [3, 1, 2], [[4, 1, 3, 0], [2], [5, 4]], [1, 1, 1]),
    (1, [4, 0, 2], [[1, 0], [3], []], [1, 1, 1]),
    (16, [3, 2, 20], [[2, 0], [3], [1, 2]], [5, 16, 1]),
    (16, [4, 1, 2], [[1], [], [0]], [2, 7, 1]),
]


@pytest.mark.parametrize(("page_size", "prefill", "pages", "last"), PAGED)
def test_all_heads_attend_to_the_latent_rows_of_their_sequence(
    page_size: int,
    prefill: list[int] | None,
    pages: list[list[int]],
    last: list[int],
    reference: Reference,
    assert_attends: Callable[..., None],
) -> None:
    queries = prefill or [1] * len(pages)
    stage = "decode" if prefill is None else "prefill_causal"
    extra = {} if page_size == 1 else {"kv_last_page_len": int32(last)}
    if prefill:
        extra["qo_indptr"] = int32([0, *np.cumsum(queries)])
    q_nope, q_pe = normal(1, sum(queries), HEADS, CKV), normal(2, sum(queries), HEADS, KPE)
    ckv, kpe = normal(3, 6, page_size, CKV), normal(4, 6, page_size, KPE)
    outputs = reference(f"mla_paged_{stage}_h{HEADS}_ckv{CKV}_kpe{KPE}_ps{page_size}")["run"](
        q_nope=q_nope,
        q_pe=q_pe,
        ckv_cache=ckv,
        kpe_cache=kpe,
        kv_indptr=int32([0, *np.cumsum([len(own) for own in pages])]),
        kv_indices=int32([page for own in pages for page in own]),
        sm_scale=SCALE,
        **extra,
    )
    content, position = ckv.double().numpy(), kpe.double().numpy()

    def seen(row: int, head: int) -> tuple[Any, list[tuple[Any, Any]]]:
        visible = visible_tokens(row, queries, pages, last, page_size)
        query = [*q_nope[row, head].tolist(), *q_pe[row, head].tolist()]
        return query, [([*content[at], *position[at]], content[at]) for at in visible]

    assert_attends(outputs, SCALE, seen)


@pytest.mark.parametrize(
    ("queries", "keys"),
    [([3, 1, 4], [3, 6, 4]), ([4, 2], [1, 0]), ([0, 2], [3, 2]), ([], [])],
    ids=["prefixes", "fewer-keys", "no-queries", "nothing"],
)
def test_ragged_values_are_narrower_than_keys(
    queries: list[int], keys: list[int], reference: Reference, assert_attends: Callable[..., None]
) -> None:
    q = normal(1, sum(queries), HEADS, 48)
    k, v = normal(2, sum(keys), HEADS, 48), normal(3, sum(keys), HEADS, 32)
    outputs = reference("mla_ragged_prefill_causal_h4_qk48_vo32")["run"](
        q=q,
        k=k,
        v=v,
        qo_indptr=int32([0, *np.cumsum(queries, dtype=int)]),
        kv_indptr=int32([0, *np.cumsum(keys, dtype=int)]),
        sm_scale=SCALE,
    )
    assert outputs[0].shape == (sum(queries), HEADS, 32)

    def seen(row: int, head: int) -> tuple[Any, list[tuple[Any, Any]]]:
        b = next(b for b in range(len(queries)) if row < sum(queries[: b + 1]))
        i, first = row - sum(queries[:b]), sum(keys[:b])
        visible = range(first, first + max(0, i + 1 + keys[b] - queries[b]))
        pairs = [(k[j, head].double().numpy(), v[j, head].double().numpy()) for j in visible]
        return q[row, head].double().numpy(), pairs

    assert_attends(outputs, SCALE, seen)


def test_latent_attention_is_attention_of_full_heads_with_the_projections_absorbed(
    reference: Reference,
) -> None:
    """With keys W_UK c and values W_UV c per head, absorbing the projections gives the same result."""
    rng = np.random.default_rng(5)
    tokens, nope, value = 9, 8, 6
    up_keys, up_values = rng.standard_normal((HEADS, nope, CKV)) / 8, rng.standard_normal((HEADS, value, CKV))
    q_full, q_pe = rng.standard_normal((HEADS, nope)), normal(2, 1, HEADS, KPE)
    ckv, kpe = normal(3, tokens, 1, CKV), normal(4, tokens, 1, KPE)
    absorbed = torch.from_numpy(np.einsum("hn,hnc->hc", q_full, up_keys)[None]).to(torch.float32)
    output, _ = reference(f"mla_paged_decode_h{HEADS}_ckv{CKV}_kpe{KPE}_ps1")["run"](
        q_nope=absorbed,
        q_pe=q_pe.float(),
        ckv_cache=ckv,
        kpe_cache=kpe,
        kv_indptr=int32([0, tokens]),
        kv_indices=int32(list(range(tokens))),
        sm_scale=SCALE,
    )
    content, position = ckv[:, 0].double().numpy(), kpe[:, 0].double().numpy()
    for h in range(HEADS):
        keys, values = content @ up_keys[h].T, content @ up_values[h].T
        logits = SCALE * (keys @ q_full[h] + position @ q_pe[0, h].double().numpy())
        weights = np.exp(logits) / np.exp(logits).sum()
        np.testing.assert_allclose(
            up_values[h] @ output[0, h].double().numpy(), weights @ values, rtol=1e-4, atol=1e-4
        )
