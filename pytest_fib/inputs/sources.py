"""Where the content of one input comes from, call by call."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from pytest_fib.inputs.distributions import NORMAL, fill
from pytest_fib.inputs.dtypes import bits_of, empty_bits, from_bits
from pytest_fib.inputs.keys import Stream, generator
from pytest_fib.inputs.pool import DEVIATIONS, FULL, MOST_POWER, SCALABLE, UNIFORM, Pool, unit_rows
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
        self._numel = layout.numel
        self._dtype = dtype
        self._recipe = recipe
        self._stream = stream
        self._pool = pool
        self._varied = varied

    def draw(self, drawing: Drawing, out: torch.Tensor | None) -> torch.Tensor:
        """Draw afresh for this call."""
        recipe = self._recipe
        if isinstance(recipe, Structured):
            return _copied(self._structured(recipe, drawing), out)
        digest = self._stream.digest(drawing.call)
        if self._varied and drawing.distribution != NORMAL:
            tensor = torch.empty(self._layout.shape, dtype=self._layout.dtype) if out is None else out
            fill(tensor, self._dtype, drawing.distribution, self._pool, digest)
            return tensor
        if isinstance(recipe, QuantisedPages):
            return self._quantised(recipe, digest, out)
        if isinstance(recipe, Plain) or not self._layout.dtype.is_floating_point:
            return self._filled(self._dtype, self._layout.dtype, digest, out)
        if isinstance(recipe, Directions):
            rows = unit_rows(self._layout.shape[-1], self._dtype)
            return self._filled(rows, self._layout.dtype, digest, out)
        if isinstance(recipe, Normal) and self._layout.dtype.itemsize >= 2:
            mantissa, exponent = math.frexp(recipe.scale)
            if mantissa == 0.5 and abs(exponent - 1) <= MOST_POWER:
                content = SCALABLE + self._dtype
                return self._filled(content, self._layout.dtype, digest, out, exponent - 1)
        return self._transformed(recipe, digest, out)

    def _filled(
        self, content: str, dtype: torch.dtype, digest: bytes, out: torch.Tensor | None, power: int = 0
    ) -> torch.Tensor:
        bits = empty_bits(self._numel, dtype) if out is None else bits_of(out)
        self._pool.fill(bits, content, digest, power)
        return from_bits(bits, dtype, self._layout.shape) if out is None else out

    def _transformed(self, recipe: Recipe, digest: bytes, out: torch.Tensor | None) -> torch.Tensor:
        # Arithmetic happens in float32 in place; other types take one more pass for the cast.
        place = out if self._layout.dtype is torch.float32 else None
        content = UNIFORM if isinstance(recipe, Uniform) else "float32"
        tensor = self._filled(content, torch.float32, digest, place)
        if isinstance(recipe, Uniform):
            width = recipe.high - recipe.low
            tensor.mul_(width).add_(recipe.low - width)
        elif isinstance(recipe, Normal):
            tensor.mul_(recipe.scale)
        elif isinstance(recipe, Probabilities):
            tensor.copy_(torch.softmax(tensor * recipe.sharpness, dim=-1))
        return _copied(tensor.to(self._layout.dtype), out)

    def _quantised(self, recipe: QuantisedPages, digest: bytes, out: torch.Tensor | None) -> torch.Tensor:
        tensor = self._filled(f"{FULL}float8_e4m3fn", self._layout.dtype, digest, out)
        numbers = recipe.rows * recipe.width
        pages = bits_of(tensor).reshape(-1, numbers + 4 * recipe.rows)
        middle = DEVIATIONS / torch.finfo(torch.float8_e4m3fn).max
        largest = generator(digest[16:]).uniform(0.85, 1.25, (len(pages), recipe.rows))  # as of rows of 128
        pages[:, numbers:] = (largest * middle).astype(np.float32).view(np.uint8)
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
