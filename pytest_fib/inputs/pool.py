"""Random content at the price of a copy: secret windows of a private pool, scrambled by secret masks.

Drawing normals costs several nanoseconds each, far more than many a kernel under test. So the pool holds, for
each kind of content, an array of values and an array of masks, both made once from the secret. A tensor is a
window of the values XOR a window of the masks, both at secret places that differ at every call; long tensors
are many such windows. The masks keep the distribution: they flip signs of normals, mantissa bits of uniform
numbers, and any bits of integers. There are about 2^42 pairs of windows, so content does not come back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pytest_fib.inputs.dtypes import CARRIERS, TORCH, bits_of
from pytest_fib.inputs.keys import Stream, generator

SIZE = 1 << 21  # elements per array: large enough that windows differ, small enough to stay in a core's cache
WINDOW = 1 << 18  # elements that share one pair of secret places

UNIFORM = "uniform"  # float32 in [1, 2)
HEAVY = "heavy "  # before the name of a float dtype: normal times exp(normal), clipped
SPARSE = "sparse "  # before the name of a float dtype: one element of eight is normal, the others are zero
SCALABLE = "scalable "  # before the name of a float dtype: normal, but no magnitude is below 2^-8
FULL = "full "  # before the name of an 8-bit float dtype: normal; DEVIATIONS are the type's largest number
DEVIATIONS = 3.0  # about where the largest of a hundred normal numbers is
UNIT = "unit "  # before a number of elements and the name of a float dtype, see ``unit_rows``
MOST_POWER = 5  # of two, by which scalable content may be multiplied or divided
_ONE = 0x3F800000  # float32 1.0
_MANTISSA = 1 << 23
_CLIP, _CLIP_HALF = 128.0, 32.0  # products of two numbers, summed over thousands, have to fit float16
_INT_BITS = 11  # int16 and wider: [-1024, 1024)

Bits = np.ndarray[Any, Any]


def unit_rows(length: int, dtype: str) -> str:
    """Return the content whose rows of ``length`` elements, at most WINDOW, are random directions of norm 1."""
    return f"{UNIT}{length} {dtype}"


class Pool:
    """The random content of one secret; never shown to a candidate. Arrays are made when needed and kept."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._arrays: dict[str, tuple[Bits, Bits]] = {}

    def fill(self, out: Bits, content: str, digest: bytes, power: int = 0) -> None:
        """Overwrite ``out`` with random content.

        Parameters
        ----------
        out
            Flat array of integers with the item size of the content, e.g. from ``dtypes.empty_bits``.
        content
            A dtype name (floats: standard normal, those of 8 bits clamped to [-2, 2]; int8 and uint8: all
            values; wider integers: [-1024, 1024); bool: both), one after ``HEAVY``, ``SPARSE`` or ``SCALABLE``,
            ``FULL``, ``UNIFORM``, or what ``unit_rows`` returns (``out`` then holds whole rows).
        digest
            32 secret bytes; equal bytes give equal content.
        power
            With ``SCALABLE``: floats are multiplied by two to this power, -MOST_POWER to MOST_POWER.
        """
        values, masks = self._arrays.get(content) or self._make(content)
        row = _row_length(content)
        count, window = out.size, WINDOW // row * row
        if count <= window:
            first = int.from_bytes(digest[:8], "little") % ((values.size - count) // row + 1) * row
            second = int.from_bytes(digest[8:16], "little") % (SIZE - count + 1)
            np.bitwise_xor(values[first : first + count], masks[second : second + count], out=out)
            if power:
                _shift_exponents(out, content, power)
            return
        starts = range(0, count, window)
        places = generator(digest).integers(0, SIZE - WINDOW + 1, (len(starts), 2)).tolist()
        for start, (first, second) in zip(starts, places, strict=True):
            part = out[start : start + window]
            first -= first % row
            np.bitwise_xor(values[first : first + part.size], masks[second : second + part.size], out=part)
            if power:
                _shift_exponents(part, content, power)  # while it is in the cache

    def _make(self, content: str) -> tuple[Bits, Bits]:
        rng = Stream(self._secret, "pool", content).generator(0)
        if content == UNIFORM:
            pair = _uniform(rng)
        elif content.startswith(tuple(_DERIVED)):
            kind, name = content.split()
            values, masks = self._arrays.get(name) or self._make(name)
            pair = _DERIVED[kind + " "](rng, values, TORCH[name]), masks
        elif content.startswith(UNIT):
            name = content.split()[-1]
            values, masks = self._arrays.get(name) or self._make(name)
            pair = _unit(values, TORCH[name], _row_length(content)), masks
        elif TORCH[content].is_floating_point:
            pair = _normal(rng, TORCH[content])
        else:
            pair = _integers(rng, content), _integers(rng, content)
        self._arrays[content] = pair
        return pair


def _normal(rng: np.random.Generator, dtype: torch.dtype) -> tuple[Bits, Bits]:
    precise = np.float64 if dtype is torch.float64 else np.float32
    normal = torch.from_numpy(rng.standard_normal(SIZE, dtype=precise))
    if dtype.itemsize == 1:
        normal.clamp_(-2, 2)
    _, carrier = CARRIERS[dtype.itemsize]
    flips = rng.integers(0, 2, SIZE, dtype=np.uint8).astype(carrier)
    return bits_of(normal.to(dtype)), flips << (8 * dtype.itemsize - 1)


def _heavy(rng: np.random.Generator, values: Bits, dtype: torch.dtype) -> Bits:
    normal = torch.from_numpy(values).view(dtype)
    shifted = normal.roll(int(rng.integers(SIZE // 4, SIZE // 2)))  # as good as another normal number
    limit = _CLIP_HALF if dtype is torch.float16 else _CLIP
    return bits_of((normal.double() * shifted.double().exp()).clamp_(-limit, limit).to(dtype))


def _sparse(rng: np.random.Generator, values: Bits, dtype: torch.dtype) -> Bits:
    return np.where(rng.integers(0, 8, SIZE, dtype=np.uint8) == 0, values, values.dtype.type(0))


def _scalable(rng: np.random.Generator, values: Bits, dtype: torch.dtype) -> Bits:
    normal = torch.from_numpy(values).view(dtype).double()
    return bits_of(normal.abs().clamp_(min=2.0**-8).copysign_(normal).to(dtype))


def _row_length(content: str) -> int:
    """How many elements belong together: windows of values begin and end between rows (of masks anywhere)."""
    return int(content.split()[1]) if content.startswith(UNIT) else 1


def _unit(values: Bits, dtype: torch.dtype, length: int) -> Bits:
    whole = values[: SIZE // length * length]
    rows = torch.from_numpy(whole).view(dtype).double().view(-1, length)
    return bits_of((rows / rows.norm(dim=1, keepdim=True)).to(dtype))


def _full(rng: np.random.Generator, values: Bits, dtype: torch.dtype) -> Bits:
    largest = torch.finfo(dtype).max
    normal = torch.from_numpy(rng.standard_normal(len(values), dtype=np.float32))
    return bits_of((normal * (largest / DEVIATIONS)).clamp_(-largest, largest).to(dtype))


_DERIVED: dict[str, Callable[[np.random.Generator, Bits, torch.dtype], Bits]] = {
    HEAVY: _heavy,
    SPARSE: _sparse,
    SCALABLE: _scalable,
    FULL: _full,
}


def _shift_exponents(bits: Bits, content: str, power: int) -> None:
    """Multiply by adding to exponents, in one quick pass of integers; scalable content is far from both ends."""
    mantissa = round(-math.log2(torch.finfo(TORCH[content.removeprefix(SCALABLE)]).eps))
    bits += bits.dtype.type(power * (1 << mantissa))


def _uniform(rng: np.random.Generator) -> tuple[Bits, Bits]:
    values = rng.integers(0, _MANTISSA, SIZE, dtype=np.int32)
    return values + np.int32(_ONE), rng.integers(0, _MANTISSA, SIZE, dtype=np.int32)


def _integers(rng: np.random.Generator, name: str) -> Bits:
    if name == "bool":
        return rng.integers(0, 2, SIZE, dtype=np.uint8)
    itemsize = TORCH[name].itemsize
    if itemsize == 1:
        return rng.integers(0, 256, SIZE, dtype=np.uint8)
    # A range of 2^n integers around zero is closed under XOR, so values XOR masks stay inside and uniform.
    limit = 1 << (_INT_BITS - 1)
    return rng.integers(-limit, limit, SIZE, dtype=CARRIERS[itemsize][1])
