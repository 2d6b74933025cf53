"""Speed of light: how fast a device moves bytes and multiplies matrices, and the least time that work takes there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Roof:
    """What a device was measured to do at best; bytes and operations per nanosecond.

    Attributes
    ----------
    bandwidth
        Pairs of a size in bytes and the rate at which as much is read and written; the larger it is, the farther away
        it lies.
    matrix
        Operations by the dtype of the factors, each multiplication and each addition counted.
    kept
        Bytes of outputs that stay in a cache and need not reach memory.
    """

    bandwidth: Sequence[tuple[float, float]]
    matrix: Mapping[str, float] = field(default_factory=dict)
    kept: float = 0.0

    def bytes_per_ns(self, nbytes: float) -> float:
        """Return the best rate for that many bytes: that of the largest size below, or of any larger one."""
        below = [size for size, _ in self.bandwidth if size <= nbytes]
        least = max(below, default=0.0)
        return max(rate for size, rate in self.bandwidth if size >= least)

    def operations_per_ns(self, dtype: str) -> float | None:
        """Return the best rate for factors of ``dtype``: its own, or that of a wider one, which can hold them."""
        size = ITEMSIZES.get(dtype, 0)
        rates = [rate for name, rate in self.matrix.items() if name == dtype or ITEMSIZES.get(name, 0) > size]
        return max(rates, default=None)

    def least_ns(self, reads: float, writes: float, operations: float = 0.0, dtype: str = "") -> float:
        """Return the nanoseconds below which the work cannot be done at these rates."""
        moved = reads + max(0.0, writes - self.kept)
        memory = moved / self.bytes_per_ns(moved)
        rate = self.operations_per_ns(dtype) if operations else None
        return max(memory, operations / rate if rate else 0.0)


ITEMSIZES: Mapping[str, int] = {
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
    "int8": 1,
    "float16": 2,
    "bfloat16": 2,
    "float32": 4,
    "float64": 8,
}


def sol_score(latency: float, baseline: float, least: float) -> float:
    """Return SOL-ExecBench's score: 1 at the speed of light, 0.5 at the baseline's, towards 0 beyond.

    ``1 / (1 + (latency - least) / (baseline - least))``; a latency below ``least`` counts as ``least``. Where the
    baseline is no slower than ``least`` there is nothing to gain: 1 for who is no slower either, else 0.
    """
    above, room = max(0.0, latency - least), baseline - least
    if room <= 0:
        return 1.0 if above == 0 else 0.0
    return 1 / (1 + above / room)
