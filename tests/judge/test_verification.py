"""What is taken from calls and compared later, with a reference that is a function and without any process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.border.arena import Region
from pytest_fib.errors import DataError
from pytest_fib.inputs.distributions import NORMAL, SCALED
from pytest_fib.judge.arena import bytes_of
from pytest_fib.judge.numerics import Samples
from pytest_fib.judge.rules import choose
from pytest_fib.judge.verification import Taken, Tally, Verification, WrongOutput, choose_calls

from .conftest import SCALE_ADD

SHAPES = {"y": (4, 64)}
LAYOUT = Region.plan({"y": (SHAPES["y"], "float32")}, 1)


class Double:
    """A reference that doubles, and refuses to double NaN."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, inputs: Mapping[str, Any], shapes: object) -> tuple[list[torch.Tensor], int]:
        assert shapes == SHAPES
        self.asked += 1
        if inputs["x"].isnan().any():
            raise DataError("not a number")
        return [inputs["x"] * 2], 1000 * self.asked

    def in_float64(self, inputs: Mapping[str, Any], shapes: object) -> list[torch.Tensor]:
        return [inputs["x"].double() * 2]


@pytest.fixture
def verification() -> Verification:
    reference: Any = Double()
    verifier = choose(SCALE_ADD, None, None, lines=()).verifier(np.random.default_rng(0))
    return Verification(reference, verifier, SHAPES, LAYOUT)


def taken(
    number: int, factor: float = 2.0, distribution: str = NORMAL, value: float = 1.0, left: bool = False
) -> Taken:
    """Return a call that was given ``value`` everywhere and wrote ``factor`` times that."""
    x = torch.full(SHAPES["y"], value)
    outputs = torch.zeros(LAYOUT.stride, dtype=torch.uint8)
    slot = LAYOUT.slots[0]
    outputs[slot.offset : slot.offset + slot.nbytes] = bytes_of(x * factor)
    return Taken(number, distribution, {"x": x}, outputs, frozenset({"y"} if left else ()))


def test_nothing_waits_once_it_was_compared(verification: Verification) -> None:
    tally = Tally()
    verification.waiting.extend([taken(0), taken(1)])
    verification.verify(tally)
    verification.verify(tally)
    assert tally.verified_calls == 2
    assert tally.reference_ns == [1000, 2000]
    assert tally.comparison.mismatch is None
    assert tally.comparison.max_absolute_error == 0.0


def test_what_is_wrong_is_told_with_the_number_of_its_call(verification: Verification) -> None:
    verification.waiting.extend([taken(6), taken(7, factor=3.0)])
    with pytest.raises(WrongOutput) as caught:
        verification.verify(Tally())
    mismatch = caught.value.comparison.mismatch
    assert mismatch is not None
    assert mismatch.call == 7


def test_wrong_with_other_inputs_is_counted_apart(verification: Verification) -> None:
    tally = Tally()
    verification.waiting.extend(
        [taken(0), taken(1, 3.0, SCALED), taken(2, distribution=SCALED), taken(3, 3.0, SCALED)]
    )
    verification.verify(tally)
    assert (tally.others.calls, tally.others.wrong) == (3, 2)
    assert tally.others.first is not None
    assert tally.others.first[0] == SCALED
    assert tally.verified_calls == 4


def test_others_that_hold_the_hardest_rule_are_not_computed_again(verification: Verification) -> None:
    tally = Tally()
    verification.waiting.extend([taken(0, distribution=SCALED), taken(1, distribution=SCALED)])
    verification.verify(tally)
    assert (tally.others.calls, tally.others.wrong) == (2, 0)


def test_what_the_reference_refuses_nobody_has_to_compute(verification: Verification) -> None:
    tally = Tally()
    verification.waiting.extend([taken(0), taken(1, distribution=SCALED, value=float("nan"))])
    verification.verify(tally)
    assert tally.verified_calls == 1
    verification.waiting.append(taken(2, value=float("nan")))
    with pytest.raises(DataError, match="not a number"):
        verification.verify(tally)


def test_without_the_reference_the_rule_alone_decides(verification: Verification) -> None:
    class Rule:
        on_device = True
        rule = verification.verifier.rule

        def compare(self, calls: Any) -> Any:
            assert [list(expected) for expected in calls.expected] == [[]]
            assert calls.got["y"].shape == (1, *SHAPES["y"])
            return Tally().comparison

    rule: Any = Rule()
    tally = Tally()
    alone = replace(verification, referenced=False, verifier=rule)
    alone.waiting.append(taken(0, factor=3.0))
    alone.verify(tally)
    assert tally.verified_calls == 1
    assert tally.reference_ns == []


def test_what_was_left_out_is_looked_at_as_the_reference_has_it(verification: Verification) -> None:
    samples = Samples(np.random.default_rng(0))
    tally = Tally()
    optional = replace(verification, samples=samples, may_leave_out=True)
    optional.waiting.append(taken(0, left=True))
    optional.verify(tally)
    assert [sample.got[0].unique().tolist() for sample in samples.kept] == [[2.0]]


@given(st.integers(0, 60), st.integers(0, 70), st.integers(0, 2**32))
def test_calls_are_chosen_from_both_halves(count: int, wanted: int, seed: int) -> None:
    places = np.arange(count) * 3 + 5
    chosen = choose_calls(places, wanted, np.random.default_rng(seed))
    assert len(chosen) == len(set(chosen.tolist())) == min(count, wanted)
    assert set(chosen.tolist()) <= set(places.tolist())
    late = sum(place in places[count // 2 :] for place in chosen)
    assert 0 <= late - (len(chosen) - late) <= 1


def test_each_call_of_a_half_is_as_likely() -> None:
    random, times = np.random.default_rng(11), 4000
    seen = np.zeros(10)
    for _ in range(times):
        seen[choose_calls(np.arange(10), 4, random)] += 1
    assert abs(seen / times - 0.4).max() < 0.05
