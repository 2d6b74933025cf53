"""A right sampler passes however large the vocabulary is; samplers with the usual mistakes are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fib.data.definition import Definition
from pytest_fib.errors import NotJudgeable
from pytest_fib.judge.rules import Calls, Comparison, Rule, choose
from pytest_fib.judge.rules.sampling import Sampling, support

TIMED_CALLS, REPEATED = 20, 8


def kept_by(probs: torch.Tensor, top_k: torch.Tensor, top_p: torch.Tensor, renormalise: bool = True) -> Kept:
    """What top-k and then top-p leave of each row, found in the plainest way: tokens by index, and their weights."""
    size = probs.shape[1]
    limit = torch.where((top_k > 0) & (top_k < size), top_k, size)
    values, order = probs.double().topk(int(limit.max()), dim=1)
    values = values * (torch.arange(values.shape[1]) < limit[:, None])
    sums = (values / values.sum(dim=1, keepdim=True) if renormalise else values).cumsum(dim=1)
    before = torch.cat([torch.zeros(len(sums), 1), sums[:, :-1]], dim=1)
    values = values * ((before <= top_p[:, None]) | (top_p >= 1)[:, None])
    tokens, places = order.sort(dim=1)
    return Kept(values.gather(1, places) / values.sum(dim=1, keepdim=True), tokens)


@dataclass(frozen=True)
class Kept:
    """Tokens of each row by index and what they weigh: zero if the filters drop them."""

    weights: torch.Tensor
    tokens: torch.Tensor

    def draw(self, weights: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return self.at(torch.multinomial(weights, 1, generator=generator)[:, 0])

    def scan(self, weights: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        """The first token at which the sum exceeds ``uniform``, the last one that weighs anything if none does."""
        last = (weights > 0).int().cumsum(dim=1).argmax(dim=1)
        return self.at((weights.cumsum(dim=1) <= uniform[:, None]).sum(dim=1).minimum(last))

    def at(self, places: torch.Tensor) -> torch.Tensor:
        return self.tokens.gather(1, places[:, None])[:, 0]


@dataclass
class Fake:
    """A sampler whose randomness is its own."""

    generator: torch.Generator

    def uniform(self, rows: int) -> torch.Tensor:
        return torch.rand(rows, generator=self.generator, dtype=torch.float64)

    def right(self, probs: torch.Tensor, kept: Kept) -> torch.Tensor:
        return kept.draw(kept.weights, self.generator)

    def inverse(self, probs: torch.Tensor, kept: Kept) -> torch.Tensor:
        return kept.scan(kept.weights, self.uniform(len(probs)))

    def argmax(self, probs: torch.Tensor, kept: Kept) -> torch.Tensor:
        return probs.argmax(dim=1)

    def uniform_in_support(self, probs: torch.Tensor, kept: Kept) -> torch.Tensor:
        return kept.draw((kept.weights > 0).double(), self.generator)

    def one_number_for_all_rows(self, probs: torch.Tensor, kept: Kept) -> torch.Tensor:
        return kept.scan(kept.weights, self.uniform(1).expand(len(probs)))

    def one_number_for_two_rows(self, probs: torch.Tensor, kept: Kept) -> torch.Tensor:
        numbers = self.uniform((len(probs) + 1) // 2).repeat_interleave(2)[: len(probs)]
        return kept.scan(kept.weights, numbers)

    def same_seed_in_every_call(self, probs: torch.Tensor, kept: Kept) -> torch.Tensor:
        return kept.draw(kept.weights, torch.Generator().manual_seed(0))

    def seeded_by_the_inputs(self, probs: torch.Tensor, kept: Kept) -> torch.Tensor:
        seed = int(probs.view(torch.int32).sum()) % 2**31
        return kept.draw(kept.weights, torch.Generator().manual_seed(seed))

    def without_renormalisation(self, probs: torch.Tensor, kept: Kept) -> torch.Tensor:
        """Scans to a number that the sum of what is kept may never reach, and takes the last token then."""
        whole = torch.where(kept.weights > 0, probs.gather(1, kept.tokens).double(), 0.0)
        return kept.scan(whole, self.uniform(len(probs)))

    def no_filter(self, probs: torch.Tensor, kept: Kept) -> torch.Tensor:
        return torch.multinomial(probs, 1, generator=self.generator)[:, 0]

    def hot(self, probs: torch.Tensor, kept: Kept) -> torch.Tensor:
        return kept.draw(kept.weights.pow(1 / 1.5), self.generator)

    def next_row(self, probs: torch.Tensor, kept: Kept) -> torch.Tensor:
        return self.right(probs, kept).roll(1)

    def never_the_last_token(self, probs: torch.Tensor, kept: Kept) -> torch.Tensor:
        weights = torch.where(kept.tokens == probs.shape[1] - 1, 0.0, kept.weights)
        return kept.draw(weights, self.generator)


Sampler = Callable[[torch.Tensor, Kept], torch.Tensor]


def judged(
    sampler: Sampler,
    rows: int,
    vocabulary: int,
    *,
    sharpness: float = 2.0,
    filters: bool = True,
    seed: int = 0,
    renormalise: bool = True,
) -> Comparison:
    """Judge as many draws as a workload affords: fresh inputs at first, then some that come back."""
    made = torch.Generator().manual_seed(seed)
    rule = Sampling(Rule(), np.random.default_rng(seed))

    def draw() -> dict[str, torch.Tensor]:
        logits = torch.randn(rows, vocabulary, generator=made) * sharpness
        limits = torch.randint(1, min(100, vocabulary) + 1, (rows,), generator=made, dtype=torch.int32)
        shares = 0.5 + 0.45 * torch.rand(rows, generator=made)
        return {
            "probs": logits.softmax(dim=1),
            "top_k": limits if filters else torch.zeros_like(limits),
            "top_p": shares if filters else torch.ones_like(shares),
        }

    result = Comparison.nothing()
    call = 0

    def make(inputs: dict[str, torch.Tensor], kept: Kept) -> None:
        nonlocal result, call
        samples = sampler(inputs["probs"], kept)
        result = result.merge(rule.compare(Calls([call], [inputs], {"samples": samples[None]}, [[]])))
        call += 1

    for _ in range(TIMED_CALLS):
        inputs = draw()
        make(inputs, kept_by(*inputs.values(), renormalise))
    further = rule.further_calls(call)
    while further > 0 and result.mismatch is None:
        inputs = draw()
        kept = kept_by(*inputs.values(), renormalise)
        for _ in range(REPEATED):
            make(inputs, kept)
        further -= REPEATED
    return result.merge(rule.conclude())


SIZES = [(1, 2), (3, 2), (1, 300), (8, 300), (64, 1000), (4, 30_000), (4, 262_144)]


@pytest.mark.parametrize(
    ("rows", "vocabulary", "filters"),
    [(*size, True) for size in SIZES] + [(*size, False) for size in SIZES if size[1] <= 1000],
)
def test_right_samplers_pass(rows: int, vocabulary: int, filters: bool) -> None:
    fake = Fake(torch.Generator().manual_seed(5))
    for sampler in (fake.right, fake.inverse) if vocabulary < 100_000 else (fake.right,):
        assert judged(sampler, rows, vocabulary, filters=filters).mismatch is None


WRONG = [
    ("argmax", SIZES[2:]),
    ("uniform_in_support", SIZES[2:-1]),
    ("one_number_for_all_rows", [(8, 300), (64, 1000), (4, 30_000)]),
    ("one_number_for_two_rows", [(8, 300), (64, 1000), (4, 30_000)]),
    ("same_seed_in_every_call", [(8, 300), (64, 1000), (1, 300), (4, 30_000)]),
    ("seeded_by_the_inputs", [(8, 300), (64, 1000), (1, 300), (4, 30_000)]),
    ("without_renormalisation", [(1, 300), (8, 300), (4, 30_000)]),
    ("no_filter", [(1, 300), (8, 300), (4, 30_000)]),
    ("hot", [(1, 300), (8, 300), (64, 1000), (4, 30_000)]),
    ("next_row", [(8, 300), (4, 30_000)]),
]


@pytest.mark.parametrize(
    ("name", "rows", "vocabulary"), [(name, *size) for name, sizes in WRONG for size in sizes]
)
def test_wrong_samplers_are_found(name: str, rows: int, vocabulary: int) -> None:
    fake = Fake(torch.Generator().manual_seed(7))
    mismatch = judged(getattr(fake, name), rows, vocabulary).mismatch
    assert mismatch is not None
    assert mismatch.sentence
    rarely = mismatch.sentence.partition("a right sampler is as uneven ")[2]
    assert rarely.startswith(("practically never", "once in ")) == ("distribution" in mismatch.problem)


@pytest.mark.parametrize(("rows", "vocabulary"), [(1, 300), (8, 300), (4, 30_000)])
def test_the_nucleus_of_the_whole_row_is_not_that_of_the_top_k(rows: int, vocabulary: int) -> None:
    fake = Fake(torch.Generator().manual_seed(7))
    mismatch = judged(fake.right, rows, vocabulary, renormalise=False).mismatch
    assert mismatch is not None
    assert "outside of the support" in mismatch.problem


@pytest.mark.parametrize("name", ["uniform_in_support", "argmax", "never_the_last_token"])
@pytest.mark.parametrize("rows", [1, 3])
def test_two_tokens_are_enough(name: str, rows: int) -> None:
    fake = Fake(torch.Generator().manual_seed(7))
    assert judged(getattr(fake, name), rows, 2, filters=False).mismatch is not None


def test_many_samplers_that_are_right_pass() -> None:
    for seed in range(20):
        fake = Fake(torch.Generator().manual_seed(100 + seed))
        assert judged(fake.inverse, 16, 50, seed=seed).mismatch is None


def rows_of(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32)


def allowed(probs: list[float], top_k: int | None = None, top_p: float | None = None) -> set[int]:
    table = rows_of(*[probs] * len(probs))
    limits = None if top_k is None else torch.full((len(probs),), top_k, dtype=torch.int32)
    shares = None if top_p is None else torch.full((len(probs),), top_p)
    kept = support(table, limits, shares).allows(torch.arange(len(probs)))
    return set(kept.nonzero().flatten().tolist())


@pytest.mark.parametrize(
    ("probs", "top_k", "top_p", "kept"),
    [
        ([0.5, 0.3, 0.2], 2, None, {0, 1}),
        ([0.5, 0.3, 0.2], 0, None, {0, 1, 2}),
        ([0.5, 0.3, 0.2], 3, None, {0, 1, 2}),
        ([0.5, 0.3, 0.2], -1, None, {0, 1, 2}),
        ([0.3, 0.2, 0.3, 0.2], 3, None, {0, 1, 2, 3}),  # which of equals is kept is free
        ([0.5, 0.5, 0.0], None, None, {0, 1}),
        ([0.5, 0.5, 0.0], 3, None, {0, 1}),
        ([0.5, 0.3, 0.2], None, 0.6, {0, 1}),  # the crossing token is kept
        ([0.5, 0.3, 0.2], None, 0.4, {0}),
        ([0.5, 0.3, 0.2], None, 0.5, {0, 1}),  # the sum has to exceed the share
        ([0.5, 0.3, 0.2], None, 0.0, {0}),
        ([0.5, 0.3, 0.2], None, -1.0, {0}),
        ([0.5, 0.3, 0.2], None, 1.0, {0, 1, 2}),
        ([0.2, 0.5, 0.3], None, 1.5, {0, 1, 2}),
        ([0.5, 0.3, 0.2], 2, 0.6, {0}),  # 0.5 of 0.8 exceeds 0.6
        ([0.5, 0.3, 0.2], 2, 0.7, {0, 1}),
        ([0.05, 0.03, 0.02], 2, 0.6, {0}),  # rows need not sum to one where top-k renormalises
    ],
)
def test_the_support(probs: list[float], top_k: int | None, top_p: float | None, kept: set[int]) -> None:
    assert allowed(probs, top_k, top_p) == kept


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=12).filter(any),
    st.integers(-1, 14),
    st.floats(-0.125, 1.125, width=32),
)
def test_what_the_plain_way_keeps_is_allowed(weights: list[int], top_k: int, top_p: float) -> None:
    probs = torch.tensor([weights], dtype=torch.float32)
    probs /= probs.sum()
    kept = kept_by(probs, torch.tensor([top_k]), torch.tensor([top_p]))
    known = support(probs, torch.tensor([top_k]), torch.tensor([top_p]))
    for token in kept.tokens[kept.weights > 0].tolist():
        assert bool(known.allows(torch.tensor([token])))


@settings(max_examples=20)
@given(
    st.lists(st.integers(0, 4), min_size=2, max_size=8).filter(any), st.integers(1, 8), st.integers(0, 2**31)
)
def test_transforms_of_right_draws_are_uniform_whatever_is_tied(
    weights: list[int], top_k: int, seed: int
) -> None:
    probs = torch.tensor([weights], dtype=torch.float32)
    probs = (probs / probs.sum()).expand(4000, -1).contiguous()
    limits = torch.full((4000,), top_k)
    kept = kept_by(probs, limits, torch.ones(4000))
    samples = kept.draw(kept.weights, torch.Generator().manual_seed(seed))
    for numbers in support(probs, limits, None).transform(samples, np.random.default_rng(seed)):
        assert abs(float(numbers.mean()) - 0.5) < 0.03
        assert abs(float((numbers < 0.1).mean()) - 0.1) < 0.03


@pytest.mark.parametrize("token", [-1, 3, 2**40])
def test_a_token_outside_of_the_vocabulary_is_found(token: int) -> None:
    rule = Sampling(Rule(), np.random.default_rng(0))
    inputs = {"probs": rows_of([0.5, 0.3, 0.2])}
    found = rule.compare(Calls([4], [inputs], {"samples": torch.tensor([[token]])}, [[]])).mismatch
    assert found is not None
    assert "the vocabulary has 3" in found.sentence


def test_the_reference_has_to_fit_the_rule() -> None:
    rule = Sampling(Rule(), np.random.default_rng(0))
    inputs = {"probs": rows_of([0.5, 0.5, 0.0])}
    calls = Calls([0], [inputs], {"samples": torch.tensor([[0]])}, [[torch.tensor([2])]])
    with pytest.raises(NotJudgeable, match="does not fit this definition"):
        rule.compare(calls)
    with pytest.raises(NotJudgeable, match="'probs'"):
        rule.compare(Calls([0], [{"logits": rows_of([0.5])}], {"samples": torch.tensor([[0]])}, [[]]))


def test_no_rows_are_no_problem() -> None:
    rule = Sampling(Rule(), np.random.default_rng(0))
    empty = Calls(
        [0], [{"probs": torch.empty(0, 5)}], {"samples": torch.empty(1, 0, dtype=torch.int64)}, [[]]
    )
    assert rule.compare(empty).merge(rule.conclude()).mismatch is None
    assert rule.further_calls(1) == 0


def test_op_type_sampling_has_this_rule() -> None:
    tensor = {"shape": ["n"], "dtype": "float32"}
    definition = Definition.model_validate(
        {
            "name": "d",
            "op_type": "sampling",
            "axes": {"n": {"type": "var"}},
            "inputs": {},
            "outputs": {"y": tensor},
        }
    )
    assert isinstance(choose(definition).verifier(np.random.default_rng(0)), Sampling)
