from __future__ import annotations

import pytest

from pytest_fib.data.dtypes import ITEMSIZE, canonical


@pytest.mark.parametrize("name", ITEMSIZE)
def test_canonical_names_stay(name: str) -> None:
    assert canonical(name) == name
    assert canonical(f"torch.{name}") == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("float8_e4m3", "float8_e4m3fn"),
        ("float4_e2m1fn_x2", "float4_e2m1"),
        ("Float32", "float32"),
        ("complex64", None),
        ("", None),
    ],
)
def test_spellings_in_the_wild(name: str, expected: str | None) -> None:
    assert canonical(name) == expected
