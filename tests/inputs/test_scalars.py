from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_fib.errors import DataError
from pytest_fib.inputs.scalars import Scalar, converted, suggested


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        ("float32", 2, 2.0),
        ("float32", 0.1, 0.1),
        ("bfloat16", True, 1.0),
        ("float64", -math.inf, -math.inf),
        ("int32", 2.0, 2),
        ("int64", True, 1),
        ("int8", -128, -128),
        ("bool", 1, True),
        ("bool", 0.0, False),
    ],
)
def test_a_value_becomes_the_python_type_of_its_dtype(dtype: str, value: Scalar, expected: Scalar) -> None:
    result = converted("s", dtype, value, "w")
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("int32", 2.5), ("int32", math.nan), ("int64", math.inf), ("bool", 2), ("int8", 128), ("int32", 2**31)],
)
def test_a_value_that_would_change_is_refused(dtype: str, value: Scalar) -> None:
    with pytest.raises(DataError, match=rf"scalar 's' of workload w is .* {dtype}; correct the value"):
        converted("s", dtype, value, "w")


def test_well_known_scalars_get_their_usual_values() -> None:
    rng = np.random.default_rng(0)
    assert suggested("sm_scale", "float32", {"head_dim": 64}, rng) == 0.125
    assert suggested("sm_scale", "float32", {"head_dim": 0}, rng) == 1.0
    assert suggested("eps", "float32", {}, rng) == 1e-6


@pytest.mark.parametrize(("dtype", "kind"), [("float32", float), ("int32", int), ("bool", bool)])
def test_other_scalars_are_small_and_positive(dtype: str, kind: type) -> None:
    for seed in range(50):
        value = suggested("x", dtype, {}, np.random.default_rng(seed))
        assert type(value) is kind
        assert 0 <= value < 64
