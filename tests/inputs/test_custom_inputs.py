from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from pytest_fib.errors import DataError
from pytest_fib.inputs import InputPlan

Make = Callable[..., InputPlan]

CUSTOM = {"type": "custom"}
INPUTS = {
    "x": (["n"], "float32"),
    "y": (["n"], "int64"),
    "w": (["n"], "float64"),
    "z": (["n"], "float32"),
    "s": (None, "float32"),
}
SOURCES: dict[str, Any] = {"x": CUSTOM, "y": CUSTOM, "w": CUSTOM, "s": {"type": "scalar", "value": 2.0}}
REFERENCE = """
import random
import numpy as np
import torch

def entry(known, device):
    x = torch.rand(known["n"], device=device) * known["s"]
    y = torch.tensor([random.randrange(10**9) for _ in range(known["n"])])
    w = torch.from_numpy(np.random.random(known["n"]))
    return {"x": x, "y": y, "w": w, "unused": None}

def wrong(known, device):
    return {"x": torch.zeros(known["n"], dtype=torch.float64), "y": "no tensor"}

def raises(known, device):
    raise RuntimeError("no \\x1b luck")

def number(known, device):
    return 5
"""


def plan_of(make_plan: Make, entry: str | None, reference: str = REFERENCE) -> InputPlan:
    return make_plan(INPUTS, {"n": 6}, sources=SOURCES, reference=reference, entry=entry)


def test_the_entry_point_makes_the_custom_inputs_and_only_those(make_plan: Make) -> None:
    plan = plan_of(make_plan, "entry")
    drawn = plan.draw(0)
    assert list(drawn) == ["x", "y", "w", "z"]
    assert drawn["x"].max() > 1
    assert drawn["z"].shape == (6,)


def test_its_random_numbers_come_from_the_secret_and_differ_per_call(make_plan: Make) -> None:
    plan, again = plan_of(make_plan, "entry"), plan_of(make_plan, "entry")
    for name in ("x", "y", "w"):
        first = plan.draw(0)[name]
        assert random.random() + np.random.random() + float(torch.rand(1)) >= 0  # moves the global states
        assert torch.equal(first, again.draw(0)[name])
        assert not torch.equal(plan.draw(0)[name], plan.draw(1)[name])


def test_all_custom_inputs_of_a_call_come_from_one_run(make_plan: Make) -> None:
    reference = (
        "import torch\ncount = [0]\n"
        "def entry(known, device):\n"
        "    count[0] += 1\n"
        "    x, y = torch.full((6,), float(count[0])), torch.full((6,), count[0])\n"
        "    return {'x': x, 'y': y, 'w': torch.zeros(6).double()}\n"
    )
    plan = plan_of(make_plan, "entry", reference)
    for run in (1, 2):
        drawn = plan.draw(0)
        assert drawn["x"].tolist() == drawn["y"].tolist() == [run] * 6


def test_a_tensor_of_another_kind_is_refused(make_plan: Make) -> None:
    with pytest.raises(DataError, match=r"made float64 \[6\] for input 'x', which should be float32 \[6\]"):
        plan_of(make_plan, "wrong").draw(0)


def test_an_exception_is_told_in_one_line(make_plan: Make) -> None:
    with pytest.raises(DataError, match=r"definition 'd' raised RuntimeError: no \\x1b luck; correct"):
        plan_of(make_plan, "raises").draw(0)


def test_something_else_than_a_dictionary_is_refused(make_plan: Make) -> None:
    with pytest.raises(DataError, match="returned int; it should return a dictionary"):
        plan_of(make_plan, "number").draw(0)


@pytest.mark.parametrize(
    ("entry", "reference", "message"),
    [
        (None, REFERENCE, "has no custom_inputs_entrypoint"),
        ("absent", REFERENCE, "has no function 'absent'"),
        ("entry", "1/0", "raised ZeroDivisionError when loaded"),
        ("entry", "def", "raised SyntaxError when loaded"),
    ],
)
def test_an_unusable_entry_point_is_found_when_planning(
    make_plan: Make, entry: str | None, reference: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        plan_of(make_plan, entry, reference)
