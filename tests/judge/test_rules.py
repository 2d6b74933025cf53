from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.judge.config import Tolerance
from pytest_fib.judge.rules import Comparison, Rule, compare, rule_for

inf, nan = math.inf, math.nan


DEFAULT = Rule()


def judged(got: list[float], expected: list[float], rule: Rule = DEFAULT) -> Comparison:
    return compare("y", torch.tensor([got]), [torch.tensor(expected)], rule, [0])


@pytest.mark.parametrize(
    ("got", "expected", "flashinfer", "allclose"),
    [
        (1.0, 1.0, True, True),
        (1.009, 1.0, True, True),
        (1.015, 1.0, False, True),
        (0.009, 0.0, True, True),  # within atol, whatever the relative error
        (0.011, 0.0, False, False),
        (100.9, 100.0, True, True),  # within rtol, whatever the absolute error
        (101.1, 100.0, False, False),
        (inf, inf, True, True),
        (-inf, -inf, True, True),
        (-inf, inf, False, False),
        (nan, nan, True, True),
        (nan, 1.0, False, False),
        (1.0, nan, False, False),
        (1.0, -inf, False, False),
        (inf, 1.0, False, False),
    ],
)
def test_when_an_element_is_out(got: float, expected: float, flashinfer: bool, allclose: bool) -> None:
    assert (judged([got], [expected]).mismatch is None) == flashinfer
    assert (judged([got], [expected], Rule("allclose")).mismatch is None) == allclose


def test_the_matched_ratio_is_per_call() -> None:
    good = torch.tensor([*[0.0] * 9, 5.0])
    bad = torch.tensor([1.0, 1.0, *[0.0] * 7, 5.0])
    expected = [good] * 2
    rule = Rule(required_matched_ratio=0.9)
    assert compare("y", torch.stack([good, bad]), expected, rule, [7, 8]).mismatch.call == 8
    assert (
        compare("y", torch.stack([good, bad]), expected, Rule(required_matched_ratio=0.8), [7, 8]).mismatch
        is None
    )


@pytest.mark.parametrize("strange", [nan, inf, -inf])
def test_no_ratio_excuses_a_wrong_non_finite_element(strange: float) -> None:
    lenient = Rule(required_matched_ratio=0.5)
    assert judged([1.0, 2.0, 5.0, 0.0], [0.0, 0.0, 5.0, 0.0], lenient).mismatch is None
    mismatch = judged([strange, 0.0, 5.0, 0.0], [0.0, 0.0, 5.0, 0.0], lenient).mismatch
    assert mismatch is not None
    assert mismatch.index == (0,)


def test_no_ratio_excuses_nonsense() -> None:
    lenient = Rule(required_matched_ratio=0.5)
    assert judged([0.0, 2.0], [2.0, 2.0], lenient).mismatch is None
    assert judged([1e30, 2.0], [2.0, 2.0], lenient).mismatch is not None


def test_no_ratio_excuses_an_error_beyond_the_cap() -> None:
    capped = Rule(required_matched_ratio=0.5, max_error_cap=3.0)
    assert judged([2.0, 9.0], [0.0, 9.0], capped).mismatch is None
    assert judged([4.0, 9.0], [0.0, 9.0], capped).mismatch is not None


def test_the_mismatch_names_the_worst_element() -> None:
    expected = torch.zeros(2, 3, 4)
    got = expected.clone()
    got[0, 1, 2], got[1, 2, 3] = 0.5, -4.0
    mismatch = compare("y", got[None], [expected], Rule(), [5]).mismatch
    assert mismatch is not None
    assert (mismatch.index, mismatch.expected, mismatch.got) == ((1, 2, 3), 0.0, -4.0)
    assert (mismatch.failed, mismatch.total, mismatch.call) == (2, 24, 5)


def test_a_wrong_non_finite_element_is_the_worst() -> None:
    mismatch = judged([100.0, nan, 0.0], [0.0, 0.0, 0.0]).mismatch
    assert mismatch is not None
    assert mismatch.index == (1,)
    assert "non-finite" in mismatch.problem


def test_errors_are_reported_over_finite_elements() -> None:
    comparison = judged([1.0, -inf, 2.5], [1.5, -inf, 2.5], Rule(atol=1))
    assert comparison.mismatch is None
    assert comparison.max_absolute_error == 0.5


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.int8, torch.bool, torch.float8_e4m3fn])
def test_other_dtypes_are_compared_by_value(dtype: torch.dtype) -> None:
    expected = torch.tensor([1, 0, 1]).to(dtype)
    wrong = torch.tensor([1, 1, 1]).to(dtype)
    assert compare("y", expected[None], [expected], Rule(), [0]).mismatch is None
    assert compare("y", wrong[None], [expected], Rule(), [0]).mismatch is not None


def test_large_integers_are_not_rounded() -> None:
    expected = torch.tensor([2**40], dtype=torch.int64)
    rule = Rule(rtol=0.0, atol=0.0)
    assert compare("y", (expected + 1)[None], [expected], rule, [0]).mismatch is not None


@given(st.lists(st.floats(width=32), min_size=1, max_size=20))
def test_everything_equals_itself(values: list[float]) -> None:
    assert judged(values, values, Rule(rtol=0.0, atol=0.0)).mismatch is None


@given(
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=20),
    st.floats(0.0, 0.1),
    st.floats(0.0, 0.1),
)
def test_allclose_is_never_looser_than_both_tolerances_together(
    values: list[float], rtol: float, atol: float
) -> None:
    got = [value * 1.01 + 0.01 for value in values]
    both = judged(got, values, Rule("flashinfer", rtol, atol))
    either = judged(got, values, Rule("allclose", rtol, atol))
    if both.mismatch is None and either.mismatch is not None:
        # An element that one tolerance lets pass lies within the sum of both.
        raise AssertionError("allclose rejected what flashinfer accepts")


def test_overrides_win_in_order() -> None:
    assert rule_for("moe").required_matched_ratio == 0.95
    assert rule_for("gemm").required_matched_ratio == 1.0
    workload = Tolerance(rule="allclose", rtol=0.1)
    rule = rule_for("moe", workload, Tolerance(rtol=0.2))
    assert rule == Rule("allclose", 0.2, 1e-2, 0.95)
