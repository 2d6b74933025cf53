from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.data.definition import Definition
from pytest_fib.judge.config import Tolerance
from pytest_fib.judge.rules import Calls, Choice, Comparison, Rule, choose, compare
from pytest_fib.rule_lines import RULES, RuleLineError, parse_lines

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


def definition(name: str = "d", op_type: str = "", outputs: tuple[str, ...] = ("y",)) -> Definition:
    tensor = {"shape": ["n"], "dtype": "float32"}
    fields = {"name": name, "op_type": op_type, "axes": {"n": {"type": "var"}}}
    inputs = {"x": tensor, "intermediate_states_buffer": tensor}
    return Definition.model_validate({**fields, "inputs": inputs, "outputs": dict.fromkeys(outputs, tensor)})


def test_overrides_win_in_order() -> None:
    assert choose(definition(op_type="moe")).rule.required_matched_ratio == 0.95
    assert choose(definition(op_type="gemm")).rule.required_matched_ratio == 1.0
    workload = Tolerance(rule="allclose", rtol=0.1)
    choice = choose(definition(op_type="moe"), workload, None, Tolerance(rtol=0.2))
    assert choice.rule == Rule("allclose", 0.2, 1e-2, 0.95)


def test_the_table_knows_what_is_special() -> None:
    assert choose(definition()) == Choice("default", Rule(), (), ())
    mtp = choose(definition("gdn_mtp_qk4_v8_d128_k_last", "gdn"))
    assert (mtp.name, mtp.in_place) == ("default", ("intermediate_states_buffer",))
    assert choose(definition("gdn_decode_qk4_v8_d128_k_last", "gdn")).in_place == ()
    attention = choose(definition("dsa_sparse_attention_h16", "dsa_paged", ("output", "lse")))
    assert (attention.name, attention.optional) == ("dsa_attention", ("lse",))
    assert choose(definition("top_k_sampling_from_probs_v9", "sampling")).name == "sampling"
    assert choose(definition("dsa_topk_indexer_fp8_h64", "dsa_paged")).name == "dsa_indexer"


def test_samplers_alone_are_judged_on_the_cpu() -> None:
    for name in RULES:
        choice = Choice(name, Rule(), (), ())
        assert choice.verifier(np.random.default_rng(0)).on_device is (name != "sampling")


def test_lines_of_the_ini_come_before_the_table() -> None:
    lines = parse_lines(
        ["", "mine_*: default, in_place=x, optional=y, atol=0.5, formula=allclose", "moe: default"]
    )
    choice = choose(definition("mine_1", "moe"), lines=lines)
    assert choice == Choice("default", Rule("allclose", atol=0.5), ("x",), ("y",))
    assert choose(definition("other", "moe"), lines=lines).rule == Rule()
    assert choose(definition("other", "moe"), Tolerance(atol=0.1), lines=lines).rule == Rule(atol=0.1)


@pytest.mark.parametrize(
    "line",
    [
        "moe",
        "moe: nonsense",
        ": default",
        "moe: default, atol",
        "moe: default, atol=-1",
        "moe: default, x=1",
        "moe: default, required_matched_ratio=0",
        "moe: default, formula=other",
        "moe: default, in_place=",
    ],
)
def test_a_line_that_makes_no_sense_is_refused(line: str) -> None:
    with pytest.raises(RuleLineError) as error:
        parse_lines(["moe: default", line])
    assert error.value.line == line


def test_what_is_left_out_is_not_compared_and_what_is_written_is() -> None:
    rule = choose(definition("dsa_sparse_attention_h1", "dsa_paged", ("output", "lse")))
    right = [torch.zeros(2), torch.ones(2)]
    got = {"output": torch.zeros(2, 2), "lse": torch.full((2, 2), 7.0)}

    def judged(*untouched: frozenset[str]) -> Comparison:
        calls = Calls([3, 4], [{}, {}], got, [right, right], untouched)
        return rule.verifier(np.random.default_rng(0)).compare(calls)

    left = frozenset({"lse"})
    assert judged(left, left).mismatch is None
    mismatch = judged(left, frozenset()).mismatch
    assert mismatch is not None
    assert (mismatch.output, mismatch.call) == ("lse", 4)
