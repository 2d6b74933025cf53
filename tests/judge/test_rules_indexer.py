"""A choice of tokens is right if it is valid and its scores, sorted, are those of the reference's choice."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.errors import NotJudgeable
from pytest_fib.judge.rules import Calls, Comparison, Rule, dsa_indexer
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


ROWS, WIDTH = 3, 4
lengths = st.integers(0, WIDTH * PAGE)
# Of few pages, so that they come twice; some do not exist.
tables = st.lists(
    st.integers(-1, 5) | st.sampled_from([PAGES - 1, PAGES, 10**6]), min_size=WIDTH, max_size=WIDTH
)
choices = st.lists(
    st.integers(-2, 6 * PAGE) | st.integers(PAGES * PAGE - 2, PAGES * PAGE + 2) | st.just(2**31 - 1),
    min_size=TOPK,
    max_size=TOPK,
)


def sequence(inputs: dict[str, torch.Tensor], row: int) -> set[int]:
    """The slots of a sequence, by loops: its table may name pages twice, or such as do not exist."""
    table = inputs["block_table"][row].tolist()
    return {
        table[j // PAGE] * PAGE + j % PAGE
        for j in range(int(inputs["seq_lens"][row]))
        if 0 <= table[j // PAGE] < PAGES
    }


def fault(inputs: dict[str, torch.Tensor], row: int, slots: list[int]) -> str:
    """What is wrong with the slots of one row, by loops."""
    taken = [slot for slot in slots if slot >= 0]
    twice = [slot for slot in taken if taken.count(slot) > 1]
    if twice:
        return f"row {row} has slot {min(twice)} twice"
    beyond = [slot for slot in taken if slot not in sequence(inputs, row)]
    return f"row {row} has slot {beyond[0]}, which is none of the tokens of its sequence" if beyond else ""


def verdict(
    inputs: dict[str, torch.Tensor], got: list[list[int]], best: list[list[int]]
) -> tuple[str, list[float]]:
    """What the rule has to say, row by row in loops: a sentence, or how far sorted scores are from each other."""
    apart = []
    for row in range(ROWS):
        if fault(inputs, row, best[row]):
            return f"in whose reference {fault(inputs, row, best[row])}:", []
        if fault(inputs, row, got[row]):
            return f"in call 7 {fault(inputs, row, got[row])}", []
        inside = {**inputs, "block_table": inputs["block_table"].clamp(0, PAGES - 1)}
        known = scores_of(inside, row)
        left, right = (
            sorted((known[slot] if slot >= 0 else -math.inf for slot in slots), reverse=True)
            for slots in (got[row], best[row])
        )
        apart += [0.0 if one == other else abs(one - other) for one, other in zip(left, right, strict=True)]
    return "", apart


@pytest.mark.parametrize("at_once", [1, dsa_indexer._BLOCK_BYTES], ids=["row by row", "all rows at once"])
@given(data=st.data())
def test_the_verdict_is_that_of_loops_over_any_tables_and_choices(at_once: int, data: st.DataObject) -> None:
    made = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    keys = torch.randn(PAGES, PAGE, DIM, generator=made).to(torch.float8_e4m3fn)
    inputs = {
        "q_index_fp8": torch.randn(ROWS, HEADS, DIM, generator=made).to(torch.float8_e4m3fn),
        "k_index_cache_fp8": cache(keys, torch.rand(PAGES, PAGE, generator=made) + 0.5),
        "weights": torch.randn(ROWS, HEADS, generator=made),
        "seq_lens": torch.tensor(
            data.draw(st.lists(lengths, min_size=ROWS, max_size=ROWS)), dtype=torch.int32
        ),
        "block_table": torch.tensor(
            data.draw(st.lists(tables, min_size=ROWS, max_size=ROWS)), dtype=torch.int32
        ),
    }

    def choice(row: int) -> list[int]:
        """Mostly valid: otherwise no example would get beyond its first row."""
        if data.draw(st.integers(0, 9)) == 0:
            return data.draw(choices)
        slots = data.draw(st.permutations(sorted(sequence(inputs, row))))[: data.draw(st.integers(0, TOPK))]
        return [*slots, *[-1] * (TOPK - len(slots))]

    got, best = ([choice(row) for row in range(ROWS)] for _ in range(2))
    sentence, apart = verdict(inputs, got, best)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dsa_indexer, "_BLOCK_BYTES", at_once)
        tensors = (torch.tensor(slots, dtype=torch.int32) for slots in (got, best))
        if "reference" in sentence:
            with pytest.raises(NotJudgeable) as raised:
                judged(inputs, *tensors)
            assert sentence in str(raised.value)
            return
        found = judged(inputs, *tensors)
    if sentence:
        assert found.mismatch is not None
        assert found.mismatch.sentence == sentence
        assert found.max_absolute_error == math.inf
    else:
        finite = [distance for distance in apart if math.isfinite(distance)]
        assert found.max_absolute_error == pytest.approx(max(finite, default=0.0), abs=1e-4)
        if all(distance < 1e-4 for distance in apart):
            assert found.mismatch is None
        if any(distance == math.inf for distance in apart):
            assert found.mismatch is not None


def test_everything_is_computed_where_the_inputs_are(
    inputs: dict[str, torch.Tensor], best: torch.Tensor
) -> None:
    with torch.device("meta"):  # what is made without saying where cannot be combined with the inputs
        assert Indexer.on_device
        assert judged(inputs, best.flip(1), best).mismatch is None


def test_a_cache_without_pages_has_no_tokens(inputs: dict[str, torch.Tensor], best: torch.Tensor) -> None:
    nothing = {**inputs, "k_index_cache_fp8": inputs["k_index_cache_fp8"][:0]}
    none = torch.full_like(best, -1)
    assert judged(nothing, none, none).mismatch is None
    mismatch = judged(nothing, best, none).mismatch
    assert mismatch is not None
    assert "none of the tokens" in mismatch.sentence
