"""Error ratios of honest and of cheap arithmetic, and calls whose inputs are not normal."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pytest_fib.inputs import InputPlan, plan_inputs
from pytest_fib.judge.numerics import (
    MAX_RATIO,
    Exact,
    Others,
    Sample,
    Samples,
    error_ratio,
    ratio_of,
    rule_at_magnitude,
)
from pytest_fib.judge.reference import Reference
from pytest_fib.judge.rules import Rule

from .conftest import SCALE_ADD, workload

GENERATOR = torch.Generator().manual_seed(11)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=GENERATOR)


def rmsnorm(x: torch.Tensor, w: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    wide = x.to(dtype)
    return wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6) * w.to(dtype)


def summed_in_bfloat16(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    total = torch.zeros(len(x), 1, dtype=torch.bfloat16)
    for column in x.split(1, dim=1):
        total = total + column * column
    return (x.float() * torch.rsqrt((total / x.shape[1]).float() + 1e-6) * w.float()).bfloat16()


def test_an_honest_bfloat16_rmsnorm_has_a_ratio_about_one() -> None:
    x, w = normal(16, 1024).bfloat16(), normal(1024).bfloat16()
    exact, expected = rmsnorm(x, w, torch.float64), rmsnorm(x, w, torch.float32).bfloat16()
    assert 0.4 < ratio_of(expected, expected, exact, 1024) < 1.1
    assert 0.8 < ratio_of(rmsnorm(x, w, torch.bfloat16), expected, exact, 1024) < 2.5
    assert ratio_of(summed_in_bfloat16(x, w), expected, exact, 1024) > MAX_RATIO


@pytest.mark.parametrize("terms", [64, 4096])
def test_products_of_ten_bits_stand_out_and_orders_of_summation_do_not(terms: int) -> None:
    a, b = normal(16, terms), normal(terms, 32)
    exact, expected = a.double() @ b.double(), a @ b
    one_by_one = torch.zeros(16, 32)
    for index in range(terms):
        one_by_one = torch.addcmul(one_by_one, a[:, index : index + 1], b[index : index + 1])
    ten_bits = [(tensor.view(torch.int32) & -8192).view(torch.float32) for tensor in (a, b)]
    assert ratio_of(one_by_one, expected, exact, terms) < 2
    assert ratio_of(ten_bits[0] @ ten_bits[1], expected, exact, terms) > 10 * MAX_RATIO
    assert ratio_of((a.half() @ b.half()).float(), expected, exact, terms) > 10 * MAX_RATIO


def test_a_poor_reference_is_its_own_yardstick() -> None:
    exact = normal(64, 64).double()
    poor = (exact + 0.01 * normal(64, 64)).float()
    as_poor = (exact - 0.01 * normal(64, 64)).float()
    assert 0.5 < ratio_of(as_poor, poor, exact, 64) < 2


def test_float64_outputs_are_not_excused_by_float32() -> None:
    exact = normal(64, 64).double() / 3
    assert ratio_of(exact.float().double(), exact, exact, 64) > 1000


def test_what_is_not_finite_is_left_out() -> None:
    exact = torch.tensor([1.0, float("inf"), float("nan"), 2.0, 3.0], dtype=torch.float64)
    expected = exact.float()
    got = torch.tensor([1.0, float("inf"), 0.0, 2.0, float("-inf")])
    assert ratio_of(got, expected, exact, 1) == 0
    assert ratio_of(got[1:3], expected[1:3], exact[1:3], 1) == 0


def test_zeros_where_zeros_belong_are_fine() -> None:
    zeros = torch.zeros(8)
    assert ratio_of(zeros, zeros, zeros.double(), 1) == 0
    assert ratio_of(zeros + 1e-30, zeros, zeros.double(), 1) > MAX_RATIO


@pytest.fixture
def plan() -> InputPlan:
    return plan_inputs(SCALE_ADD, workload(), traceset_root=None, secret=b"n" * 32)


def sample(plan: InputPlan, call: int, digits: int | None = None) -> Sample:
    drawn = plan.draw(call)
    expected = drawn["x"] * drawn["w"] + 0.5
    got = expected if digits is None else (expected * 10**digits).round() / 10**digits
    return Sample(call, (got,), (expected,))


SHAPES = {"y": (4, 64)}


def test_the_median_of_the_samples_counts(plan: InputPlan) -> None:
    reference = Reference(SCALE_ADD)

    def ratio(*digits: int | None) -> float:
        kept = [sample(plan, call, rounded) for call, rounded in enumerate(digits)]
        found = error_ratio(kept, plan, reference, SHAPES, 10.0)
        assert found is not None
        return found

    assert ratio(None, None, 2) < 1.5
    assert ratio(2, 2, None) > 1000


def test_a_budget_ends_it_after_the_first(plan: InputPlan) -> None:
    kept = [sample(plan, 0), sample(plan, 1, 1), sample(plan, 2, 1)]
    ratio = error_ratio(kept, plan, Reference(SCALE_ADD), SHAPES, 0.0)
    assert ratio is not None
    assert ratio < 1.5


def test_without_a_float64_run_there_is_no_ratio(plan: InputPlan) -> None:
    source = "def run(x, w, bias):\n    return x.type('torch.FloatTensor') * w + bias"
    reference = Reference(SCALE_ADD.model_copy(update={"reference": source}))
    assert error_ratio([sample(plan, 0)], plan, reference, SHAPES, 1.0) is None


def test_samples_are_few_copies_and_spread_over_all_calls() -> None:
    counts = np.zeros(100)
    for seed in range(300):
        samples = Samples(np.random.default_rng(seed), 4)
        for call in range(100):
            tensor = torch.full((3,), float(call))
            samples.offer(call, [tensor], [tensor])
            tensor.fill_(-1)
        assert len(samples.kept) == 4
        for kept in samples.kept:
            assert kept.got[0].tolist() == [float(kept.call)] * 3
            counts[kept.call] += 1
    early, late = counts[:50].sum(), counts[50:].sum()
    assert abs(early - late) < 6 * 600**0.5


RULE = Rule()


def test_absolute_tolerances_grow_with_magnitude_only() -> None:
    small = rule_at_magnitude(RULE, torch.tensor([0.1, 3.0]))
    large = rule_at_magnitude(RULE, torch.tensor([0.1, -400.0, float("-inf")]))
    assert small == RULE
    assert large is not None
    assert (large.atol, large.rtol) == (1.0, RULE.rtol)
    coarse = rule_at_magnitude(RULE, torch.tensor([400.0], dtype=torch.bfloat16))
    assert coarse is not None
    assert coarse.atol == 2 * 400 / 256


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 40000.0])
def test_where_the_reference_overflows_nothing_is_said(value: float) -> None:
    assert rule_at_magnitude(RULE, torch.tensor([1.0, value], dtype=torch.float16)) is None


def others_after(got: torch.Tensor, source: str = "def run(x, w, bias):\n    return x * w + bias") -> Others:
    reference = Reference(SCALE_ADD.model_copy(update={"reference": source}))
    inputs = {"x": torch.full((1, 64), 20.0), "w": torch.ones(64), "bias": 0.0}
    shapes = {"y": (1, 64)}
    (expected,), _elapsed = reference(inputs, shapes)
    others = Others()
    others.add("scaled", {"y": got.view(1, 1, 64)}, [expected], RULE, 7, Exact(reference, inputs, shapes))
    return others


def test_a_clamped_result_is_wrong_elsewhere() -> None:
    others = others_after(torch.full((64,), 6.5))
    assert (others.calls, others.wrong, others.doubtful) == (1, 1, 0)
    assert others.first is not None
    assert others.first[0] == "scaled"
    assert (others.first[1].call, others.first[1].failed) == (7, 64)
    right = others_after(torch.full((64,), 20.0))
    assert (right.calls, right.wrong, right.first) == (1, 0, None)


def test_a_reference_that_is_wrong_itself_condemns_nobody() -> None:
    # In float32 the large number swallows x; in float64 it does not.
    delicate = "import torch\ndef run(x, w, bias):\n    return (x + torch.tensor(1e10, dtype=x.dtype)) - 1e10"
    others = others_after(torch.full((64,), 20.0), delicate)
    assert (others.calls, others.wrong, others.doubtful) == (1, 0, 1)
