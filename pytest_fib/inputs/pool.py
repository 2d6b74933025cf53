"""Random content at the price of a copy: secret windows of a private pool, scrambled by secret masks.

Drawing normals costs several nanoseconds each, far more than many a kernel under test. So the pool holds, for
each kind of content, an array of values and an array of masks, both made once from the secret. A tensor is a
window of the values XOR a window of the masks, both at secret places that differ at every call; long tensors
are many such windows. The masks keep the distribution: they flip signs of normals, mantissa bits of uniform
numbers, and any bits of integers. There are about 2^42 pairs of windows, so content does not come back.

On a device the same arrays, copied there once, give the same bits (``DevicePool``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from pytest_fib.inputs.dtypes import CARRIERS, TORCH, bits_of, empty_bits, from_bits
from pytest_fib.inputs.keys import DIGEST_BYTES, Stream, generator

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

_AT_ONCE = 64 << 20  # bytes of a device's windows that are made by one operation

Bits = np.ndarray[Any, Any]
Places = np.ndarray[Any, np.dtype[np.int64]]  # [windows, 2]


def unit_rows(length: int, dtype: str) -> str:
    """Return the content whose rows of ``length`` elements, at most WINDOW, are random directions of norm 1."""
    return f"{UNIT}{length} {dtype}"


class Pool:
    """The random content of one secret; never shown to a candidate. Arrays are made when needed and kept."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._arrays: dict[str, tuple[Bits, Bits]] = {}
        self._elsewhere: dict[torch.device, DevicePool] = {}

    def on(self, device: torch.device) -> DevicePool:
        """Return this pool's twin on ``device``, always the same."""
        return self._elsewhere.setdefault(device, DevicePool(self, device))

    def arrays(self, content: str) -> tuple[Bits, Bits]:
        """Return the values and the masks of ``content``, flat; the values are of whole rows."""
        return self._arrays.get(content) or self._make(content)

    @staticmethod
    def empty(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Return an uninitialised tensor where this pool writes; large ones in huge pages, which numpy asks for."""
        return from_bits(empty_bits(math.prod(shape), dtype), dtype, shape)

    def new(
        self, shape: tuple[int, ...], dtype: torch.dtype, content: str, digest: bytes, power: int = 0
    ) -> torch.Tensor:
        """Return a tensor of what ``fill`` makes."""
        bits = empty_bits(math.prod(shape), dtype)
        self.fill(bits, content, digest, power)
        return from_bits(bits, dtype, shape)

    def write(self, out: torch.Tensor, content: str, digest: bytes, power: int = 0) -> None:
        """Overwrite ``out`` (contiguous, CPU) as ``fill`` does."""
        self.fill(bits_of(out), content, digest, power)

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
        values, masks = self.arrays(content)
        if 0 < out.size <= _window(content):
            first, second = _place(content, out.size, values.size, digest)
            np.bitwise_xor(values[first : first + out.size], masks[second : second + out.size], out=out)
            if power:
                out += out.dtype.type(_exponents(content, power))
            return
        window, places = _places(content, out.size, values.size, digest)
        for start, (first, second) in zip(range(0, out.size, window), places.tolist(), strict=True):
            part = out[start : start + window]
            np.bitwise_xor(values[first : first + part.size], masks[second : second + part.size], out=part)
            if power:
                part += part.dtype.type(_exponents(content, power))  # while it is in the cache

    def _make(self, content: str) -> tuple[Bits, Bits]:
        rng = Stream(self._secret, "pool", content).generator(0)
        if content == UNIFORM:
            pair = _uniform(rng)
        elif content.startswith(tuple(_DERIVED)):
            kind, name = content.split()
            values, masks = self.arrays(name)
            pair = _DERIVED[kind + " "](rng, values, TORCH[name]), masks
        elif content.startswith(UNIT):
            name = content.split()[-1]
            values, masks = self.arrays(name)
            pair = _unit(values, TORCH[name], _row_length(content)), masks
        elif TORCH[content].is_floating_point:
            pair = _normal(rng, TORCH[content])
        else:
            pair = _integers(rng, content), _integers(rng, content)
        self._arrays[content] = pair
        return pair


class DevicePool:
    """The content of ``pool`` made on ``device``: the same bits, at the price of a copy there."""

    def __init__(self, pool: Pool, device: torch.device) -> None:
        self.device = device
        self._pool = pool
        self._arrays: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Return an uninitialised tensor where this pool writes."""
        return torch.empty(shape, dtype=dtype, device=self.device)

    def new(
        self, shape: tuple[int, ...], dtype: torch.dtype, content: str, digest: bytes, power: int = 0
    ) -> torch.Tensor:
        """Return a tensor of what ``write`` makes."""
        tensor = self.empty(shape, dtype)
        self.write(tensor, content, digest, power)
        return tensor

    def write(self, out: torch.Tensor, content: str, digest: bytes, power: int = 0) -> None:
        """Overwrite ``out`` (contiguous, on the device) with what ``Pool.fill`` makes."""
        values, masks = self._copied(content)
        bits = out.view(-1).view(values.dtype)
        window, places = _places(content, bits.numel(), values.numel(), digest)
        whole = bits.numel() // window if len(places) > 1 else 0
        if whole:
            self._write_windows(bits[: whole * window].view(whole, window), values, masks, places[:whole])
        for first, second in places[whole:].tolist():
            rest = bits[whole * window :]
            torch.bitwise_xor(values[first : first + len(rest)], masks[second : second + len(rest)], out=rest)
        if power:
            bits += _exponents(content, power)

    def write_rows(
        self, rows: torch.Tensor, content: str, digests: Sequence[bytes], powers: Sequence[int] = ()
    ) -> None:
        """Overwrite each row of ``rows`` (``[calls, elements]``) as ``write`` does."""
        values, masks = self._copied(content)
        bits = rows.view(values.dtype)
        count = bits.shape[1]
        window, places = _places_together(content, count, values.numel(), digests)
        for number, start in enumerate(range(0, count, window)):
            self._write_windows(bits[:, start : start + window], values, masks, places[:, number])
        if any(powers):
            added = torch.tensor([_exponents(content, power) for power in powers], dtype=bits.dtype)
            bits += added.to(self.device).unsqueeze(1)

    def _write_windows(
        self, rows: torch.Tensor, values: torch.Tensor, masks: torch.Tensor, places: Places
    ) -> None:
        window = rows.shape[1]
        firsts, seconds = torch.from_numpy(places).to(self.device).unbind(1)
        step = max(1, _AT_ONCE // (window * rows.itemsize))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            torch.bitwise_xor(
                values.unfold(0, window, 1).index_select(0, firsts[part]),
                masks.unfold(0, window, 1).index_select(0, seconds[part]),
                out=rows[part],
            )

    def _copied(self, content: str) -> tuple[torch.Tensor, torch.Tensor]:
        if content not in self._arrays:
            values, masks = (torch.from_numpy(array).to(self.device) for array in self._pool.arrays(content))
            self._arrays[content] = values, masks
        return self._arrays[content]


def _places(content: str, count: int, size: int, digest: bytes) -> tuple[int, Places]:
    """Return how many elements share a pair of places, and for each such window its places in values and masks.

    ``size`` is that of the values.
    """
    row, window = _row_length(content), _window(content)
    if count <= window:
        single = [_place(content, count, size, digest)] if count else []
        return window, np.array(single, dtype=np.int64).reshape(-1, 2)
    places = generator(digest).integers(0, SIZE - WINDOW + 1, (math.ceil(count / window), 2))
    places[:, 0] -= places[:, 0] % row
    return window, places


def _window(content: str) -> int:
    """Return how many elements share a pair of places: whole rows."""
    row = _row_length(content)
    return WINDOW // row * row


def _place(content: str, count: int, size: int, digest: bytes) -> tuple[int, int]:
    """Return the place in values, and in masks, of a window of ``count`` elements that is all there is."""
    row = _row_length(content)
    first = int.from_bytes(digest[:8], "little") % ((size - count) // row + 1) * row
    return first, int.from_bytes(digest[8:16], "little") % (SIZE - count + 1)


def _places_together(
    content: str, count: int, size: int, digests: Sequence[bytes]
) -> tuple[int, np.ndarray[Any, np.dtype[np.int64]]]:
    """Return for each digest what ``_places`` does, as ``[digests, windows, 2]``."""
    window = _window(content)
    if count > window:
        return window, np.stack([_places(content, count, size, digest)[1] for digest in digests])
    # As ``_place``, for all of them at once.
    row = _row_length(content)
    numbers = np.frombuffer(b"".join(digests), dtype="<u8").reshape(-1, DIGEST_BYTES // 8)
    firsts = numbers[:, 0] % np.uint64((size - count) // row + 1) * np.uint64(row)
    seconds = numbers[:, 1] % np.uint64(SIZE - count + 1)
    return window, np.stack([firsts, seconds], axis=1).astype(np.int64)[:, None]


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


def _exponents(content: str, power: int) -> int:
    """Return what, added to the bits, multiplies scalable content by two to ``power``: it is far from both ends."""
    mantissa = round(-math.log2(torch.finfo(TORCH[content.removeprefix(SCALABLE)]).eps))
    return power * (1 << mantissa)


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
