"""How the content of one tensor comes about; what the modules in ``structured`` answer with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]

Draw = Callable[[np.random.Generator, Callable[[str], Array]], Array]
"""Makes a tensor: called with its own generator and with a function that returns the content of another input
in the same call (flat int64) by name; returns a numpy array of numbers of the tensor's size."""


@dataclass(frozen=True)
class Plain:
    """What the dtype alone suggests: normal, uniform integers, both booleans (see ``Pool.fill``)."""


@dataclass(frozen=True)
class Normal:
    """Normally distributed with mean 0 and standard deviation ``scale``."""

    scale: float


@dataclass(frozen=True)
class Directions:
    """Rows along the last dimension that are vectors of length 1, in directions that are all equally likely."""


@dataclass(frozen=True)
class Uniform:
    """Uniform in [``low``, ``high``)."""

    low: float
    high: float


@dataclass(frozen=True)
class Probabilities:
    """Rows of positive numbers that sum to one: the softmax of normal logits with deviation ``sharpness``."""

    sharpness: float = 1.0


@dataclass(frozen=True)
class QuantisedPages:
    """Bytes of pages that hold ``rows`` rows of ``width`` float8_e4m3fn numbers, then one float32 scale per row.

    It is what rows of normal numbers become whose largest, about three deviations, is made the type's largest.
    """

    rows: int
    width: int


@dataclass(frozen=True)
class Structured:
    """Numbers that obey rules, mostly integers among each other: offsets, page numbers, a table of cosines."""

    draw: Draw


Recipe = Plain | Normal | Directions | Uniform | Probabilities | QuantisedPages | Structured


@dataclass(frozen=True)
class Problem:
    """What a structured generator may look at: sizes and types, never a seed.

    ``shapes`` and ``dtypes`` hold all tensor inputs; ``drawn`` names those that recipes are used for. ``edges`` asks
    for the least common content that is still valid: empty sequences, lengths that are the least or the most.
    """

    definition: str
    workload: str
    axes: Mapping[str, int]
    shapes: Mapping[str, Shape]
    dtypes: Mapping[str, str]
    drawn: frozenset[str]
    edges: bool = False
