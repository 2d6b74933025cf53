"""Which distribution the plain random inputs of a call have: in one call of four, secretly, not the normal one.

Kernels that are right for standard normal numbers only (clamped, squeezed into a narrow type, without the maximum
taken out of a softmax) are found by inputs that are none. Ranges are such that honest kernels in the inputs' own
type stay right: products over some thousands of elements fit float16, and exponents stay far from their ends.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from pytest_fib.data.definition import Definition
from pytest_fib.inputs.dtypes import TORCH
from pytest_fib.inputs.keys import Stream, generator
from pytest_fib.inputs.pool import HEAVY, MOST_POWER, SCALABLE, SPARSE, DevicePool, Pool
from pytest_fib.inputs.recipes import Plain, Recipe

NORMAL = "normal"
SCALED = "scaled"
HEAVY_TAILED = "heavy-tailed"
SPARSE_ROWS = "sparse"
SPIKES = "one large element per row"
CONSTANT_ROWS = "constant rows"
OTHERS = (SCALED, HEAVY_TAILED, SPARSE_ROWS, SPIKES, CONSTANT_ROWS)

BLOCK = 4
"""Of so many consecutive calls exactly one, at a secret place, has another distribution."""

_SPIKE = (4.0, 6.0)  # powers of two
# Products of two tensors, summed over thousands of elements, have to fit float16.
_MOST_POWER_HALF, _SPIKE_HALF = 3, (3.0, 5.0)

# Where the outputs hang on which of two numbers is larger, honest kernels disagree about ties and near ties; where
# a recurrence multiplies, magnitudes explode.
_DISCRETE_OR_UNSTABLE = ("moe", "sampling", "topk", "dsa_", "quant", "gdn", "mamba", "ssm", "delta")
# Inputs with a meaning that plain numbers do not have.
_SPECIAL_NAMES = ("scale", "prob", "mask", "cos", "sin", "log", "decay", "freq", "var")


class Distributions:
    """The distribution of each call of one workload; ``stream`` makes it secret."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._block, self._digest = -1, b""  # of the last answer: most questions are about the same block

    def of(self, call: int) -> str:
        """Return ``NORMAL`` or one of ``OTHERS``."""
        block, place = divmod(call, BLOCK)
        if block != self._block:
            self._block, self._digest = block, self._stream.digest(block)
        digest = self._digest
        return OTHERS[digest[1] % len(OTHERS)] if place == digest[0] % BLOCK else NORMAL


def varied_inputs(
    definition: Definition, recipes: Mapping[str, Recipe], drawn: Iterable[str]
) -> frozenset[str]:
    """Return the names of the inputs, of those ``drawn``, that may have any distribution.

    These are float inputs of at least 16 bits that no recipe speaks for, of op types whose outputs are floats and
    depend continuously on them.
    """
    outputs = [TORCH.get(spec.dtype) for spec in definition.outputs.values()]
    if any(dtype is None or not _is_wide_float(dtype) for dtype in outputs):
        return frozenset()
    if any(part in definition.op_type for part in _DISCRETE_OR_UNSTABLE):
        return frozenset()
    return frozenset(
        name
        for name in drawn
        if isinstance(recipes.get(name, Plain()), Plain)
        and _is_wide_float(TORCH[definition.inputs[name].dtype])
        and not any(part in name.lower() for part in _SPECIAL_NAMES)
    )


def _is_wide_float(dtype: torch.dtype) -> bool:
    return dtype.is_floating_point and dtype.itemsize >= 2


def fill(out: torch.Tensor, dtype: str, distribution: str, pool: Pool | DevicePool, digest: bytes) -> None:
    """Overwrite ``out`` (contiguous, where the pool writes, of float ``dtype``) with content of one of ``OTHERS``.

    Rows run along the last dimension. ``digest`` is 32 secret bytes; equal bytes give equal content.
    """
    whole = of_the_pool(dtype, distribution, digest)
    if whole is not None:
        pool.write(out, whole[0], digest, whole[1])
    elif distribution == CONSTANT_ROWS and _rows_of(out.shape) > 1:
        values = pool.empty((_rows_of(out.shape),), out.dtype)
        pool.write(values, dtype, digest)
        out.view(len(values), -1).copy_(values.unsqueeze(1))
    else:
        # A single row of one value would be a constant weight, which says less than any other.
        pool.write(out, dtype, digest)
        _add_spikes(out, digest)


def fill_together(
    rows: torch.Tensor,
    shape: tuple[int, ...],
    dtype: str,
    distribution: str,
    pool: DevicePool,
    digests: Sequence[bytes],
) -> None:
    """Overwrite each row of ``rows`` (``[calls, elements]``, of tensors of ``shape``) as ``fill`` does.

    ``distribution`` is one that is more than the pool's content; ``rows`` are where the pool is.
    """
    count, length = _rows_of(shape), _length_of(shape)
    if distribution == CONSTANT_ROWS and count > 1:
        values = pool.empty((len(rows), count), rows.dtype)
        pool.write_rows(values, dtype, digests)
        rows.view(len(rows), count, -1).copy_(values.unsqueeze(2))
        return
    pool.write_rows(rows, dtype, digests)
    found = [_spikes(count, length, rows.dtype, digest) for digest in digests]
    width = rows.shape[1]
    places = np.concatenate([place + number * width for number, (place, _) in enumerate(found)])
    sizes = np.concatenate([size for _, size in found])
    _put(rows, places, sizes)


def of_the_pool(dtype: str, distribution: str, digest: bytes) -> tuple[str, int] | None:
    """Return the pool's content, and the power of two, that ``distribution`` is; None if it is more than that."""
    if distribution == HEAVY_TAILED:
        return HEAVY + dtype, 0
    if distribution == SPARSE_ROWS:
        return SPARSE + dtype, 0
    if distribution == SCALED:
        power = 1 + digest[24] % (_MOST_POWER_HALF if dtype == "float16" else MOST_POWER)
        return SCALABLE + dtype, power if digest[25] & 1 else -power
    return None


def _rows_of(shape: tuple[int, ...]) -> int:
    return math.prod(shape[:-1])


def _length_of(shape: tuple[int, ...]) -> int:
    return shape[-1] if shape else 1


def _add_spikes(out: torch.Tensor, digest: bytes) -> None:
    if out.numel() > 0:
        _put(out, *_spikes(_rows_of(out.shape), _length_of(out.shape), out.dtype, digest))


def _spikes(
    rows: int, length: int, dtype: torch.dtype, digest: bytes
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return where in a flat tensor of ``rows`` rows large elements are, one in each, and what they are."""
    rng = generator(digest[16:])
    low, high = _SPIKE_HALF if dtype is torch.float16 else _SPIKE
    sizes = np.exp2(rng.uniform(low, high, rows)) * rng.choice((-1.0, 1.0), rows)
    return np.arange(rows) * length + rng.integers(0, length, rows), sizes


def _put(out: torch.Tensor, places: npt.NDArray[np.int64], sizes: npt.NDArray[np.float64]) -> None:
    values = torch.from_numpy(sizes).to(out.dtype)
    out.view(-1).index_copy_(0, torch.from_numpy(places).to(out.device), values.to(out.device))
