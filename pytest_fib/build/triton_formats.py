"""Triton's narrow floats as numpy sees them: bit patterns in unsigned integers, and their float32 values.

numpy has neither bfloat16 nor float8, so Triton's CPU interpreter keeps both as ``uint16`` and ``uint8``.
This module reads such patterns into float32 exactly and rounds float32 back to them. It needs numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BF16_QUIET_BIT = 0x0040


@dataclass(frozen=True)
class FloatFormat:
    """One narrow float: its Triton name (``bf16``, ``fp8e4nv``, …) and how its bits are laid out.

    ``specials`` says which patterns are not finite numbers: ``ieee`` (largest exponent is infinity and NaN),
    ``nan`` (only the all-ones pattern is NaN), ``fnuz`` (only the pattern of minus zero is NaN), ``none``.
    """

    name: str
    bits: int
    mantissa: int
    bias: int
    specials: str

    @property
    def storage(self) -> np.dtype[Any]:
        """The unsigned numpy dtype that holds the patterns."""
        return np.dtype(np.uint16 if self.bits == 16 else np.uint8)

    def decode(self, patterns: NDArray[Any]) -> NDArray[np.float32]:
        """The exact float32 values of bit patterns, in the same shape."""
        data = np.asarray(patterns)
        if self.bits == 16:
            return np.asarray(np.asarray(data.astype(np.uint32) << np.uint32(16)).view(np.float32))
        return np.asarray(_values_of(self)[data])

    def encode(self, values: NDArray[Any], toward_zero: bool = False) -> NDArray[Any]:
        """Bit patterns of numbers, rounded to nearest even (or toward zero), in the same shape.

        float8 saturates at its largest finite value, as the conversions of NVIDIA GPUs do; bfloat16 overflows
        to infinity. NaN stays NaN where the format has one.
        """
        numbers = np.asarray(values).astype(np.float32)
        return (
            _encode_bf16(numbers, toward_zero) if self.bits == 16 else _encode_fp8(self, numbers, toward_zero)
        )


FORMATS = {
    item.name: item
    for item in (
        FloatFormat("bf16", 16, 7, 127, "ieee"),
        FloatFormat("fp8e4nv", 8, 3, 7, "nan"),
        FloatFormat("fp8e5", 8, 2, 15, "ieee"),
        FloatFormat("fp8e4b8", 8, 3, 8, "fnuz"),
        FloatFormat("fp8e5b16", 8, 2, 16, "fnuz"),
        FloatFormat("fp8e4b15", 8, 3, 15, "none"),
    )
}


def _encode_bf16(numbers: NDArray[np.float32], toward_zero: bool) -> NDArray[Any]:
    bits = np.asarray(numbers).view(np.uint32)
    upper = (bits >> np.uint32(16)).astype(np.uint32)
    if not toward_zero:
        with np.errstate(over="ignore"):
            bits = bits + np.uint32(0x7FFF) + (upper & np.uint32(1))
    rounded = bits >> np.uint32(16)
    return np.asarray(
        np.where(np.isnan(numbers), upper | np.uint32(_BF16_QUIET_BIT), rounded).astype(np.uint16)
    )


def _encode_fp8(fmt: FloatFormat, numbers: NDArray[np.float32], toward_zero: bool) -> NDArray[Any]:
    positive, halfway = _ladder_of(fmt)
    magnitude = np.abs(numbers)
    if toward_zero:
        codes = np.searchsorted(positive, magnitude, side="right") - 1
    else:
        codes = np.searchsorted(halfway[:-1], magnitude, side="left")
        codes = codes + ((halfway[codes] == magnitude) & (codes & 1 == 1))
    codes = np.where(np.isnan(numbers), _nan_code(fmt), codes)
    negative = np.signbit(numbers)
    if fmt.specials == "fnuz":
        negative = negative & (codes != 0)
    return np.asarray((codes | np.where(negative, 0x80, 0)).astype(np.uint8))


def _nan_code(fmt: FloatFormat) -> int:
    return {"ieee": 0x7F, "nan": 0x7F, "fnuz": 0x80, "none": 0x7F}[fmt.specials]


@cache
def _values_of(fmt: FloatFormat) -> NDArray[np.float32]:
    codes = np.arange(256)
    exponent = (codes & 0x7F) >> fmt.mantissa
    fraction = codes & ((1 << fmt.mantissa) - 1)
    hidden = np.where(exponent > 0, 1 << fmt.mantissa, 0)
    scale = np.maximum(exponent, 1) - fmt.bias - fmt.mantissa
    values = np.ldexp((fraction + hidden).astype(np.float32), scale)
    values = np.where(codes & 0x80, -values, values)
    if fmt.specials == "ieee":
        largest = exponent == (1 << (7 - fmt.mantissa)) - 1
        values = np.where(largest, np.where(fraction == 0, np.copysign(np.inf, values), np.nan), values)
    elif fmt.specials == "nan":
        values = np.where(codes & 0x7F == 0x7F, np.nan, values)
    elif fmt.specials == "fnuz":
        values = np.where(codes == 0x80, np.nan, values)
    return np.asarray(values.astype(np.float32))


@cache
def _ladder_of(fmt: FloatFormat) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The finite values from zero up, and the points halfway to the next; the last has none, hence NaN."""
    positive = _values_of(fmt)[:128]
    positive = positive[np.isfinite(positive)]
    halfway = np.append((positive[:-1] + positive[1:]) / 2, np.float32(np.nan)).astype(np.float32)
    return positive, halfway
