"""A choice of tokens is right if it is valid and its scores, sorted, are those of the reference's choice."""

from __future__ import annotations

import pytest
import torch

from pytest_fib.errors import NotJudgeable
from pytest_fib.judge.rules import Calls, Comparison, Rule
from pytest_fib.judge.rules.dsa_indexer import Indexer, Problem

HEADS, DIM, PAGE, PAGES, TOPK = 2, 8, 4, 9, 6


def cache(keys: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Pack [pages, page, dim] fp8 keys and [pages, page] scales as the cache does."""
    numbers = keys.flatten(1).view(torch.int8)
    packed = torch.cat([numbers, scales.view(torch.int8).flatten(1)], dim=1)
    return packed.view(PAGES, PAGE, 1, DIM + 4)


@pytest.fixture
def inputs() -> dict[str, torch.Tensor]:
    made = torch.Generator().manual_seed(3)
    keys = torch.randn(PAGES, PAGE, DIM, generator=made).to(torch.float8_e4m3fn)
    return {
        "q_index_fp8": torch.randn(3, HEADS, DIM, generator=made).to(torch.float8_e4m3fn),
        "k_index_cache_fp8": cache(keys, torch.rand(PAGES, PAGE, generator=made) + 0.5),
        "weights": torch.randn(3, HEADS, generator=made),
        "seq_lens": torch.tensor([11, 3, 0], dtype=torch.int32),
        "block_table": torch.tensor([[5, 2, 7, 8], [4, 5, 5, 5], [-1, -1, -1, -1]], dtype=torch.int32),
    }


def slots_of(inputs: dict[str, torch.Tensor], row: int) -> list[int]:
    table = inputs["block_table"][row].tolist()
    return [table[j // PAGE] * PAGE + j % PAGE for j in range(int(inputs["seq_lens"][row]))]


def scores_of(inputs: dict[str, torch.Tensor], row: int) -> dict[int, float]:
    """Scores of the tokens of a sequence, by loops in float64."""
    scores = {}
    for slot in slots_of(inputs, row):
        run = inputs["k_index_cache_fp8"][slot // PAGE].flatten()
        offset = slot % PAGE
        key = run[offset * DIM : (offset + 1) * DIM].view(torch.float8_e4m3fn).double()
        scale = run[PAGE * DIM :].view(torch.float32)[offset].double()
        score = 0.0
        for head in range(HEADS):
            product = float(inputs["q_index_fp8"][row, head].double() @ key * scale)
            score += float(inputs["weights"][row, head]) * max(0.0, product)
        scores[slot] = score
    return scores


@pytest.fixture
def best(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """What a reference returns."""
    chosen = torch.full((3, TOPK), -1, dtype=torch.int32)
    for row in range(3):
        scores = scores_of(inputs, row)
        for place, slot in enumerate(sorted(scores, key=lambda slot: -scores[slot])[:TOPK]):
            chosen[row, place] = slot
    return chosen


def judged(inputs: dict[str, torch.Tensor], got: torch.Tensor, best: torch.Tensor) -> Comparison:
    return Indexer(Rule()).compare(Calls([7], [inputs], {"topk_indices": got[None]}, [[best]]))


def test_scores_are_those_of_loops(inputs: dict[str, torch.Tensor]) -> None:
    for row in range(3):
        right = scores_of(inputs, row)
        found, reachable = Problem(inputs).scores(row, torch.tensor([*right, 999, 1], dtype=torch.int32))
        assert reachable.tolist() == [True] * len(right) + [False, False]
        assert found[: len(right)].tolist() == pytest.approx(list(right.values()), abs=1e-5)


def test_order_is_free(inputs: dict[str, torch.Tensor], best: torch.Tensor) -> None:
    assert judged(inputs, best, best).mismatch is None
    assert judged(inputs, best.flip(1), best).mismatch is None


def test_ties_are_free(inputs: dict[str, torch.Tensor], best: torch.Tensor) -> None:
    inputs["weights"][0] = 0.0  # now all scores are equal
    others = [slot for slot in slots_of(inputs, 0) if slot not in best[0].tolist()]
    got = best.clone()
    got[0, : len(others)] = torch.tensor(others)
    assert judged(inputs, got, best).mismatch is None


def test_a_worse_choice_fails(inputs: dict[str, torch.Tensor], best: torch.Tensor) -> None:
    scores = scores_of(inputs, 0)
    got = best.clone()
    got[0, 0] = min(scores, key=lambda slot: scores[slot])
    mismatch = judged(inputs, got, best).mismatch
    assert mismatch is not None
    assert "scores of topk_indices" in mismatch.output


def test_fewer_tokens_than_the_reference_fail(inputs: dict[str, torch.Tensor], best: torch.Tensor) -> None:
    got = best.clone()
    got[1, 2] = -1
    mismatch = judged(inputs, got, best).mismatch
    assert mismatch is not None
    assert "fewer tokens" in mismatch.problem


@pytest.mark.parametrize(
    ("row", "place", "slot", "words"),
    [
        (0, 0, 8 * PAGE, "none of the tokens"),  # a page of the table that the sequence does not reach
        (0, 0, 7 * PAGE + 3, "none of the tokens"),  # behind the end of the sequence
        (0, 0, 0, "none of the tokens"),
        (0, 0, 10**6, "none of the tokens"),
        (1, 5, 5 * PAGE, "none of the tokens"),
        (2, 0, 0, "none of the tokens"),
    ],
)
def test_slots_have_to_be_reachable(
    inputs: dict[str, torch.Tensor], best: torch.Tensor, row: int, place: int, slot: int, words: str
) -> None:
    got = best.clone()
    got[row, place] = slot
    mismatch = judged(inputs, got, best).mismatch
    assert mismatch is not None
    assert f"row {row} has slot {slot}" in mismatch.sentence
    assert words in mismatch.sentence


def test_no_slot_may_come_twice(inputs: dict[str, torch.Tensor], best: torch.Tensor) -> None:
    got = best.clone()
    got[0, 1] = got[0, 0]
    mismatch = judged(inputs, got, best).mismatch
    assert mismatch is not None
    assert "twice" in mismatch.sentence


def test_a_definition_that_means_something_else_is_not_judged(
    inputs: dict[str, torch.Tensor], best: torch.Tensor
) -> None:
    with pytest.raises(NotJudgeable, match="does not fit"):
        judged(inputs, best, best + 1)
    with pytest.raises(NotJudgeable, match="'weights'"):
        judged({**inputs, "weights": inputs["weights"][0]}, best, best)
