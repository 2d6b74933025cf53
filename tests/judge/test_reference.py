from __future__ import annotations

import pytest
import torch

from pytest_fib.errors import DataError, NotJudgeable
from pytest_fib.judge.reference import Reference

from .conftest import SCALE_ADD

SHAPES = {"y": (2, 64)}
INPUTS = {"x": torch.ones(2, 64), "w": torch.full((64,), 2.0), "bias": 3.0}


def reference(source: str) -> Reference:
    return Reference(SCALE_ADD.model_copy(update={"reference": source}))


@pytest.mark.parametrize(
    "source",
    [
        "def run(x, w, bias):\n    return x * w + bias",
        "def run(bias, w, x):\n    return x * w + bias",  # called by name
        "def run(a, b, c):\n    return a * b + c",  # called by position
        "def run(x, w, bias):\n    return (x * w + bias,)",
        "def run(x, w, bias):\n    return {'y': x * w + bias}",
        "def run(x, w, bias):\r\n    return x * w + bias\r\n",
    ],
)
def test_references_found_in_the_wild_are_called_rightly(source: str) -> None:
    (output,), elapsed = reference(source)(INPUTS, SHAPES)
    assert torch.equal(output, torch.full((2, 64), 5.0))
    assert elapsed > 0


def test_inputs_are_left_as_they_are() -> None:
    inputs = {
        name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in INPUTS.items()
    }
    writing = reference("def run(x, w, bias):\n    x.mul_(w).add_(bias)\n    return x.clone()")
    for _ in range(2):
        (output,), _ = writing(inputs, SHAPES)
        assert torch.equal(output, torch.full((2, 64), 5.0))
        assert torch.equal(inputs["x"], torch.ones(2, 64))


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("def run(x, w, bias):\n    return {}['k']", "raised KeyError"),
        ("def run(x, w, bias):\n    return x[:1]", "the definition says"),
        ("def run(x, w, bias):\n    return x.double()", "the definition says"),
        ("def run(x, w, bias):\n    return x, x", "2 values for 1 outputs"),
        ("def run(x, w, bias):\n    return None", "returned y as NoneType, which is no tensor"),
        (
            "def run(x, w, bias):\n    y = x\n    raise ValueError('\x1b[31m\\nred')",
            "raised ValueError: \\x1b[31m\\nred;",
        ),
        ("import no_such_module\ndef run(x, w, bias):\n    return x", "cannot be imported"),
    ],
)
def test_a_broken_reference_is_one_sentence(source: str, sentence: str) -> None:
    with pytest.raises(DataError, match="reference of scale_add_h64") as caught:
        reference(source)(INPUTS, SHAPES)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["", "run = 3", "def run(:", "def run(x, w, bias):\n    ..."])
def test_without_a_reference_there_is_nothing_to_judge_against(source: str) -> None:
    with pytest.raises(NotJudgeable, match="reference"):
        reference(source)
