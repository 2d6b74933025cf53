"""References whose float64 run can be had, and ones where it cannot and must not be claimed."""

from __future__ import annotations

import pytest
import torch

from pytest_fib.data.definition import Definition
from pytest_fib.judge.float64 import NotFloat64, float64
from pytest_fib.judge.reference import Reference

SHAPES = {"y": (4, 64)}
GENERATOR = torch.Generator().manual_seed(3)
X = torch.randn(4, 64, generator=GENERATOR, dtype=torch.float64).to(torch.bfloat16)


def in_float64(
    source: str, dtype: str = "bfloat16", **more: torch.Tensor
) -> list[torch.Tensor | None] | None:
    inputs = {"x": X, **more}
    definition = Definition.model_validate(
        {
            "name": "d",
            "op_type": "t",
            "axes": {},
            "inputs": {
                name: {"shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}
                for name, value in inputs.items()
            },
            "outputs": {"y": {"shape": [4, 64], "dtype": dtype}},
            "reference": "import torch\nimport torch.nn.functional as F\n" + source,
        }
    )
    return Reference(definition).in_float64(inputs, SHAPES)


CONVERTING = [
    "def run(x): return torch.exp(x.float()).to(torch.bfloat16)",
    "def run(x): return torch.exp(x.to(torch.float32)).to(x.dtype)",
    "def run(x): return torch.exp(x.to(dtype=torch.float32)).type_as(x)",
    "def run(x): return torch.exp(x.type(torch.float32)).bfloat16()",
    "def run(x): return (torch.zeros(4, 64, dtype=torch.float32) + x).exp().half()",
    "def run(x): return (torch.zeros(4, 64) + x).exp().bfloat16()",
    "def run(x): return torch.tensor(1.0, dtype=torch.float16) * x.to(torch.float32, copy=True).exp_()",
    "def run(x):\n    y = torch.empty_like(x, dtype=torch.float32)\n    y[:] = x\n    return y.exp()",
]


@pytest.mark.parametrize("source", CONVERTING)
def test_conversions_do_not_narrow(source: str) -> None:
    outputs = in_float64(source)
    assert outputs is not None
    assert outputs[0] is not None
    assert outputs[0].dtype is torch.float64
    assert torch.equal(outputs[0], X.double().exp())


@pytest.mark.parametrize(
    "source",
    [
        "def run(x): return x.type('torch.FloatTensor')",
        "import numpy as np\ndef run(x): return torch.from_numpy(x.numpy().astype(np.float32)).double()",
        "def run(x): return (x.view(torch.int64) + 1).view(x.dtype)",
        "def run(x):\n    assert x.dtype == torch.bfloat16\n    return x",
        "def run(x): return x[:2]",
        "def run(x): return x, x",
        "def run(x): return 1.0",
    ],
)
def test_a_run_that_would_not_be_one_is_refused(source: str) -> None:
    assert in_float64(source) is None


def test_eight_bits_stay_eight_bits() -> None:
    weight = torch.linspace(-3, 3, 64).to(torch.float8_e4m3fn)
    outputs = in_float64("def run(x, w): return x * w.to(torch.float32)", w=weight)
    assert outputs is not None
    assert torch.equal(outputs[0], X.double() * weight.double())  # type: ignore[arg-type]


def test_outputs_that_are_no_floats_are_left_out() -> None:
    assert in_float64("def run(x): return (x > 0).int()", "int32") == [None]


def test_inputs_and_the_default_dtype_stay_as_they_are() -> None:
    before = X.clone()
    outputs = in_float64("def run(x): return x.add_(1)")
    assert outputs is not None
    assert torch.equal(X, before)
    in_float64("def run(x):\n    x = x + 1\n    raise ValueError")
    assert torch.get_default_dtype() is torch.float32


def test_what_is_narrow_all_the_same_raises() -> None:
    weak = torch.ones(2, dtype=torch.float32)
    with pytest.raises(NotFloat64, match=r"returns torch\.float32"), float64():
        torch.add(weak, 1)
