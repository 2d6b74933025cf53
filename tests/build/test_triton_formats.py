"""Narrow floats in numpy against torch's own conversions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.build.triton_formats import FORMATS

TORCH = {
    "bf16": torch.bfloat16,
    "fp8e4nv": torch.float8_e4m3fn,
    "fp8e5": torch.float8_e5m2,
    "fp8e4b8": torch.float8_e4m3fnuz,
    "fp8e5b16": torch.float8_e5m2fnuz,
}


def patterns(name: str) -> np.ndarray:
    return np.arange(1 << FORMATS[name].bits).astype(FORMATS[name].storage)


@pytest.mark.parametrize("name", TORCH)
def test_every_pattern_has_torchs_value(name: str) -> None:
    expected = torch.from_numpy(patterns(name)).view(TORCH[name]).float().numpy()
    np.testing.assert_array_equal(FORMATS[name].decode(patterns(name)), expected)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("toward_zero", [False, True])
def test_every_finite_pattern_survives_the_way_back(name: str, toward_zero: bool) -> None:
    values = FORMATS[name].decode(patterns(name))
    finite = np.isfinite(values)
    np.testing.assert_array_equal(FORMATS[name].encode(values, toward_zero)[finite], patterns(name)[finite])


@pytest.mark.parametrize("name", TORCH)
@given(value=st.floats(width=32, allow_infinity=False, allow_nan=False))
def test_rounding_is_torchs(name: str, value: float) -> None:
    if name != "bf16":
        limit = torch.finfo(TORCH[name]).max
        value = max(-limit, min(limit, value))
    expected = torch.tensor(value).to(TORCH[name])
    assert FORMATS[name].decode(FORMATS[name].encode(np.float32(value))) == expected.float().item()


@pytest.mark.parametrize("name", FORMATS)
@given(value=st.floats(width=32, min_value=-1.5, max_value=1.5))
def test_toward_zero_never_grows_and_nearest_is_nearest(name: str, value: float) -> None:
    fmt = FORMATS[name]
    nearest, inward = (float(fmt.decode(fmt.encode(np.float32(value), mode))) for mode in (False, True))
    assert abs(inward) <= abs(value)
    assert abs(nearest - value) <= abs(inward - value)


@pytest.mark.parametrize("name", ["fp8e4nv", "fp8e5", "fp8e4b8", "fp8e5b16", "fp8e4b15"])
def test_float8_saturates(name: str) -> None:
    fmt = FORMATS[name]
    largest = np.nanmax(np.where(np.isfinite(values := fmt.decode(patterns(name))), values, np.nan))
    beyond = np.array([1e30, -1e30, np.inf, -np.inf], np.float32)
    np.testing.assert_array_equal(fmt.decode(fmt.encode(beyond)), largest * np.array([1, -1, 1, -1]))


@pytest.mark.parametrize("name", TORCH)
def test_nan_stays_nan(name: str) -> None:
    fmt = FORMATS[name]
    assert np.isnan(fmt.decode(fmt.encode(np.array([np.nan, -np.nan], np.float32)))).all()
