"""Sparse attention and its indexer against float64, slot by slot and byte by byte."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from .conftest import Reference, normal

TRACESETS = Path(__file__).resolve().parents[2] / "tracesets"
HEADS, CKV, KPE = 4, 64, 16
INDEXER = "dsa_topk_indexer_fp8_h8_d32_topk32_ps16"
INDEX_HEADS, DIM, PAGE, TOPK = 8, 32, 16, 32


@pytest.mark.parametrize(("page_size", "topk"), [(1, 32), (16, 64)])
def test_a_token_attends_to_its_slots_in_any_order(
    page_size: int, topk: int, reference: Reference, assert_attends: Callable[..., None]
) -> None:
    rng = np.random.default_rng(1)
    pages = 96 // page_size
    rows = [list(rng.permutation(96)[:count]) for count in (topk, 1, 0, 7)]
    indices = torch.full((len(rows), topk), -1, dtype=torch.int32)
    for row, slots in enumerate(rows):
        indices[row, : len(slots)] = torch.tensor(slots, dtype=torch.int32)
    indices[3] = indices[3].roll(9)  # holes count as nothing wherever they are
    q_nope, q_pe = normal(2, len(rows), HEADS, CKV), normal(3, len(rows), HEADS, KPE)
    ckv, kpe = normal(4, pages, page_size, CKV), normal(5, pages, page_size, KPE)
    outputs = reference(f"dsa_sparse_attention_h{HEADS}_ckv{CKV}_kpe{KPE}_topk{topk}_ps{page_size}")["run"](
        q_nope=q_nope, q_pe=q_pe, ckv_cache=ckv, kpe_cache=kpe, sparse_indices=indices, sm_scale=0.2
    )
    content, position = ckv.double().numpy(), kpe.double().numpy()

    def seen(row: int, head: int) -> tuple[Any, list[tuple[Any, Any]]]:
        places = [divmod(int(slot), page_size) for slot in rows[row]]
        query = [*q_nope[row, head].tolist(), *q_pe[row, head].tolist()]
        return query, [([*content[at], *position[at]], content[at]) for at in places]

    assert_attends(outputs, 0.2, seen)


def packed(numbers: torch.Tensor, scales: np.ndarray[Any, Any]) -> torch.Tensor:
    """Write pages byte by byte: all numbers of a page, then its scales as little-endian float32."""
    pages = []
    for page, own in zip(numbers.view(torch.uint8).tolist(), scales, strict=True):
        run = bytes(byte for token in page for byte in token) + b"".join(struct.pack("<f", s) for s in own)
        pages.append(list(run))
    run_bytes = torch.tensor(pages, dtype=torch.uint8).view(torch.int8)
    return run_bytes.view(len(pages), PAGE, 1, DIM + 4)


def index_problem(lengths: list[int], largest_scale: float = 0.02) -> dict[str, torch.Tensor]:
    """Inputs of the indexer; entries of its table that are not needed may be anything."""
    rng = np.random.default_rng(7)
    pages, width = 12, 5
    numbers = (
        torch.from_numpy(rng.normal(0, 150, (pages, PAGE, DIM))).clamp(-448, 448).to(torch.float8_e4m3fn)
    )
    scales = rng.uniform(largest_scale / 20, largest_scale, (pages, PAGE)).astype(np.float32)
    q = torch.from_numpy(rng.standard_normal((len(lengths), INDEX_HEADS, DIM))).to(torch.float8_e4m3fn)
    weights = torch.from_numpy(rng.standard_normal((len(lengths), INDEX_HEADS))).float()
    table = np.stack([rng.permutation(pages)[:width] for _ in lengths])
    needed = np.arange(width) < -(-np.array(lengths) // PAGE)[:, None]
    return {
        "q_index_fp8": q,
        "k_index_cache_fp8": packed(numbers, scales),
        "weights": weights,
        "seq_lens": torch.tensor(lengths, dtype=torch.int32),
        "block_table": torch.from_numpy(np.where(needed, table, 10_000)).to(torch.int32),
    }


def keys_of(cache: torch.Tensor, page: int, offset: int) -> Any:
    """One key in float64, from its bytes."""
    run = bytes(cache[page].flatten().view(torch.uint8).tolist())
    numbers = torch.tensor(list(run[offset * DIM : (offset + 1) * DIM]), dtype=torch.uint8)
    (scale,) = struct.unpack_from("<f", run, PAGE * DIM + 4 * offset)
    return numbers.view(torch.float8_e4m3fn).double().numpy() * scale


@pytest.mark.parametrize("at_once", [1, 3, 256])
@pytest.mark.parametrize("lengths", [[32, 1], [0, 33, 80], [17], [0, 0]], ids=str)
def test_the_indexer_chooses_the_tokens_of_largest_score(
    lengths: list[int], at_once: int, reference: Reference
) -> None:
    x = index_problem(lengths)
    q, weights, table = x["q_index_fp8"], x["weights"], x["block_table"].tolist()
    module = reference(INDEXER)
    module["AT_ONCE"] = at_once
    got = module["run"](**x)
    assert (got.dtype, tuple(got.shape)) == (torch.int32, (len(lengths), TOPK))
    for b, length in enumerate(lengths):
        scores = {}
        for token in range(length):
            page, offset = table[b][token // PAGE], token % PAGE
            key = keys_of(x["k_index_cache_fp8"], page, offset)
            products = [max(0.0, float(q[b, h].double().numpy() @ key)) for h in range(INDEX_HEADS)]
            scores[page * PAGE + offset] = sum(
                float(w) * p for w, p in zip(weights[b], products, strict=True)
            )
        best = sorted(scores, key=lambda slot: -scores[slot])[:TOPK]
        assert got[b].tolist() == best + [-1] * (TOPK - len(best))


def test_every_token_of_a_short_sequence_is_chosen_whatever_its_score(reference: Reference) -> None:
    x = index_problem([0, 3, 20], largest_scale=3e38)  # scores are -inf, inf and NaN
    got = reference(INDEXER)["run"](**x)
    for row, length in enumerate([0, 3, 20]):
        slots = {int(x["block_table"][row, j // PAGE]) * PAGE + j % PAGE for j in range(length)}
        assert set(got[row, :length].tolist()) == slots
        assert got[row, length:].tolist() == [-1] * (TOPK - length)


def test_a_table_without_pages_has_no_tokens(reference: Reference) -> None:
    x = index_problem([0, 0])
    x["block_table"] = x["block_table"][:, :0]
    x["k_index_cache_fp8"] = x["k_index_cache_fp8"][:0]
    assert reference(INDEXER)["run"](**x).tolist() == [[-1] * TOPK] * 2


@pytest.mark.parametrize(
    "name",
    ["dsa_sparse_attention_h16_ckv512_kpe64_topk2048_ps64", "dsa_topk_indexer_fp8_h64_d128_topk2048_ps64"],
)
def test_contest_workloads_have_the_contest_sizes(name: str, shared_dataset: Path) -> None:
    def sizes(root: Path) -> Counter[tuple[tuple[str, int], ...]]:
        lines = (root / f"workloads/dsa_paged/{name}.jsonl").read_text().splitlines()
        return Counter(tuple(sorted(json.loads(line)["workload"]["axes"].items())) for line in lines)

    assert sizes(TRACESETS / "mlsys26") == sizes(shared_dataset / "contest")
