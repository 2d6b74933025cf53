"""Where the content of one input comes from, call by call."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from pytest_fib.inputs.distributions import NORMAL, fill, fill_together, of_the_pool
from pytest_fib.inputs.keys import Stream
from pytest_fib.inputs.pool import (
    DEVIATIONS,
    FULL,
    MOST_POWER,
    SCALABLE,
    UNIFORM,
    WINDOW,
    DevicePool,
    Pool,
    unit_rows,
)
from pytest_fib.inputs.recipes import (
    Array,
    Directions,
    Normal,
    Plain,
    Probabilities,
    QuantisedPages,
    Recipe,
    Structured,
    Uniform,
)

_FEW = 16  # windows of one tensor, which is small beside many calls
_BULK_BYTES = 1 << 20  # less is copied to a device sooner than made there

# What makes a row of normal numbers, most of them 128, of what FULL holds: its largest is 0.85 to 1.25 as large.
_SCALE = DEVIATIONS / torch.finfo(torch.float8_e4m3fn).max
_LOWEST_SCALE, _HIGHEST_SCALE = 0.85 * _SCALE, 1.25 * _SCALE


@dataclass(frozen=True)
class TensorLayout:
    """Shape and element type of one input tensor (contiguous, row-major)."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{str(self.dtype).removeprefix('torch.')} {list(self.shape)}"

    @property
    def numel(self) -> int:
        """Number of elements."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def nbytes(self) -> int:
        """Number of bytes."""
        return self.numel * self.dtype.itemsize


class Drawing:
    """The inputs of one call while they are drawn, each once, in whatever order they need each other."""

    def __init__(
        self, call: int, distribution: str, sources: Mapping[str, Source], into: Mapping[str, torch.Tensor]
    ) -> None:
        self.call = call
        self.distribution = distribution
        self.shared: dict[object, Any] = {}  # what several inputs of this call are made from
        self._sources = sources
        self._into = into
        self._drawn: dict[str, torch.Tensor] = {}

    def tensor(self, name: str) -> torch.Tensor:
        """Return the content of one input in this call (CPU)."""
        if name not in self._drawn:
            self._drawn[name] = self._sources[name].draw(self, self._into.get(name))
        return self._drawn[name]

    def array(self, name: str) -> Array:
        """Return the content of one integer input in this call, flat, as int64."""
        return self.tensor(name).view(-1).to(torch.int64).numpy()


class Source(ABC):
    """Draws one input; equal calls give equal content, and no call depends on another."""

    @abstractmethod
    def draw(self, drawing: Drawing, out: torch.Tensor | None) -> torch.Tensor:
        """Return the content for ``drawing.call``: ``out`` (contiguous, CPU) filled, or an own tensor."""

    def draw_on(
        self, pool: DevicePool, drawing: Drawing, out: torch.Tensor | None, least: int = _BULK_BYTES
    ) -> torch.Tensor | None:
        """Return the same, made on the pool's device, where ``out`` is; None where the CPU has to make it.

        What has fewer bytes than ``least`` is left to the CPU.
        """
        return None


class Drawn(Source):
    """Content that comes from the secret by a recipe; ``varied``: of the distribution that the call has."""

    def __init__(
        self,
        layout: TensorLayout,
        dtype: str,
        recipe: Recipe,
        stream: Stream,
        pool: Pool,
        varied: bool = False,
    ) -> None:
        self._layout = layout
        self._dtype = dtype
        self._recipe = recipe
        self._stream = stream
        self._pool = pool
        self._varied = varied

    def draw(self, drawing: Drawing, out: torch.Tensor | None) -> torch.Tensor:
        """Draw afresh for this call."""
        if isinstance(self._recipe, Structured):
            return _copied(self._structured(self._recipe, drawing), out)
        return self._from(self._pool, drawing, out)

    def draw_on(
        self, pool: DevicePool, drawing: Drawing, out: torch.Tensor | None, least: int = _BULK_BYTES
    ) -> torch.Tensor | None:
        """Draw bulk content afresh for this call, the same bits as on the CPU."""
        # Numbers that obey rules are numpy's work, and a device's exponentials differ in the last bit.
        if self._layout.nbytes < least or isinstance(self._recipe, (Structured, Probabilities)):
            return None
        return self._from(pool, drawing, out)

    def _from(self, pool: Pool | DevicePool, drawing: Drawing, out: torch.Tensor | None) -> torch.Tensor:
        recipe = self._recipe
        digest = self._stream.digest(drawing.call)
        if self._varied and drawing.distribution != NORMAL:
            tensor = pool.empty(self._layout.shape, self._layout.dtype) if out is None else out
            fill(tensor, self._dtype, drawing.distribution, pool, digest)
            return tensor
        whole = self._of_the_pool(NORMAL, digest)
        if whole is not None:
            content, power = whole
            return self._filled(pool, content, self._layout.dtype, digest, out, power)
        if isinstance(recipe, QuantisedPages):
            return self._quantised(pool, recipe, digest, out)
        return self._transformed(pool, recipe, digest, out)

    def draw_together(self, pool: DevicePool, calls: Mapping[int, str]) -> dict[int, torch.Tensor]:
        """Return the content of those calls (number to distribution) for which it is a few windows of the pool.

        They are made on the device by a few operations for all of them, where each by itself is quicker copied.
        """
        found: dict[int, torch.Tensor] = {}
        layout = self._layout
        if not 0 < layout.numel <= _FEW * WINDOW:
            return found
        windows: dict[str, list[tuple[int, bytes, int]]] = {}
        more: dict[str, list[tuple[int, bytes]]] = {}
        for call, distribution in calls.items():
            digest = self._stream.digest(call)
            kind = distribution if self._varied else NORMAL
            whole = self._of_the_pool(kind, digest)
            if whole is not None:
                windows.setdefault(whole[0], []).append((call, digest, whole[1]))
            elif kind != NORMAL:
                more.setdefault(kind, []).append((call, digest))

        def rows_of(numbers: Sequence[int]) -> torch.Tensor:
            """Return a row for each call, which is kept as its tensor."""
            rows = pool.empty((len(numbers), layout.numel), layout.dtype)
            found.update(zip(numbers, rows.view(len(numbers), *layout.shape).unbind(), strict=True))
            return rows

        for content, members in windows.items():
            numbers, digests, powers = zip(*members, strict=True)
            pool.write_rows(rows_of(numbers), content, digests, powers)
        for kind, others in more.items():
            numbers, digests = zip(*others, strict=True)
            fill_together(rows_of(numbers), layout.shape, self._dtype, kind, pool, digests)
        return found

    def _of_the_pool(self, distribution: str, digest: bytes) -> tuple[str, int] | None:
        """Return the pool's content, and the power of two, that this input is; None if it is more than that."""
        recipe, kind = self._recipe, self._layout.dtype
        if isinstance(recipe, (Structured, QuantisedPages)):
            return None
        if distribution != NORMAL:
            return of_the_pool(self._dtype, distribution, digest)
        if isinstance(recipe, Plain) or not kind.is_floating_point:
            return self._dtype, 0
        if isinstance(recipe, Directions):
            return unit_rows(self._layout.shape[-1], self._dtype), 0
        if isinstance(recipe, Normal) and kind.itemsize >= 2:
            mantissa, exponent = math.frexp(recipe.scale)
            if mantissa == 0.5 and abs(exponent - 1) <= MOST_POWER:
                return SCALABLE + self._dtype, exponent - 1
        return None

    def _filled(
        self,
        pool: Pool | DevicePool,
        content: str,
        dtype: torch.dtype,
        digest: bytes,
        out: torch.Tensor | None,
        power: int = 0,
    ) -> torch.Tensor:
        if out is None:
            return pool.new(self._layout.shape, dtype, content, digest, power)
        pool.write(out, content, digest, power)
        return out

    def _transformed(
        self, pool: Pool | DevicePool, recipe: Recipe, digest: bytes, out: torch.Tensor | None
    ) -> torch.Tensor:
        # Arithmetic happens in float32 in place; other types take one more pass for the cast.
        place = out if self._layout.dtype is torch.float32 else None
        content = UNIFORM if isinstance(recipe, Uniform) else "float32"
        tensor = self._filled(pool, content, torch.float32, digest, place)
        if isinstance(recipe, Uniform):
            width = recipe.high - recipe.low
            tensor.mul_(width).add_(recipe.low - width)
        elif isinstance(recipe, Normal):
            tensor.mul_(recipe.scale)
        elif isinstance(recipe, Probabilities):
            tensor.copy_(torch.softmax(tensor * recipe.sharpness, dim=-1))
        return _copied(tensor.to(self._layout.dtype), out)

    def _quantised(
        self, pool: Pool | DevicePool, recipe: QuantisedPages, digest: bytes, out: torch.Tensor | None
    ) -> torch.Tensor:
        tensor = self._filled(pool, f"{FULL}float8_e4m3fn", self._layout.dtype, digest, out)
        numbers = recipe.rows * recipe.width
        pages = tensor.view(-1).view(torch.uint8).view(-1, numbers + 4 * recipe.rows)
        scales = pool.empty((len(pages), recipe.rows), torch.float32)
        pool.write(scales, UNIFORM, digest[16:] + digest[:16])
        scales.mul_(_HIGHEST_SCALE - _LOWEST_SCALE).add_(2 * _LOWEST_SCALE - _HIGHEST_SCALE)
        pages[:, numbers:] = scales.view(torch.uint8)
        return tensor

    def _structured(self, recipe: Structured, drawing: Drawing) -> torch.Tensor:
        array = recipe.draw(self._stream.generator(drawing.call), drawing.array)
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor.to(self._layout.dtype).view(self._layout.shape)


class Constant(Source):
    """Content that is the same at every call; made when first asked for."""

    def __init__(self, make: Callable[[], torch.Tensor]) -> None:
        self._make = make

    def draw(self, drawing: Drawing, out: torch.Tensor | None) -> torch.Tensor:
        """Return the constant."""
        return _copied(self.content, out)

    @cached_property
    def content(self) -> torch.Tensor:
        """The constant (CPU, contiguous)."""
        return self._make()


def _copied(tensor: torch.Tensor, out: torch.Tensor | None) -> torch.Tensor:
    if out is None or out is tensor:
        return tensor
    return out.copy_(tensor)
