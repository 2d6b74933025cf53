"""Values of scalar inputs: as the workload states them, or sensible ones where it leaves them open."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from pytest_fib.data.text import escape
from pytest_fib.errors import DataError

Scalar = bool | int | float

_SCALES = frozenset({"sm_scale", "scale", "softmax_scale", "attention_scale"})
_EPSILONS = frozenset({"eps", "epsilon", "rms_norm_eps", "variance_epsilon"})


def converted(name: str, dtype: str, value: Scalar, workload: str) -> Scalar:
    """Return ``value`` as the Python type of ``dtype``: bool, int or float.

    Raises
    ------
    DataError
        The value would change, e.g. 2.5 for an int32.
    """
    if dtype == "bool":
        result: Scalar = bool(value)
    elif dtype.startswith("float") or dtype == "bfloat16":
        return float(value)
    else:
        result = int(value) if math.isfinite(value) else 0
        _check_range(name, dtype, result, workload)
    if result != value:
        raise DataError(
            f"scalar '{escape(name, 60)}' of workload {escape(workload, 80)} is {value}, "
            f"which is not a {dtype}; correct the value"
        )
    return result


def _check_range(name: str, dtype: str, value: int, workload: str) -> None:
    limits = np.iinfo(dtype)
    if not limits.min <= value <= limits.max:
        raise DataError(
            f"scalar '{escape(name, 60)}' of workload {escape(workload, 80)} is {value}, "
            f"which does not fit {dtype}; correct the value"
        )


def suggested(name: str, dtype: str, axes: Mapping[str, int], rng: np.random.Generator) -> Scalar:
    """Return a value for a scalar that nobody states: 1/sqrt(head_dim), 1e-6, or a small positive number."""
    if name in _SCALES:
        return 1 / math.sqrt(max(1, axes.get("head_dim", axes.get("head_size", 128))))
    if name in _EPSILONS:
        return 1e-6
    if dtype == "bool":
        return bool(rng.integers(2))
    if dtype.startswith("float") or dtype == "bfloat16":
        return float(rng.uniform(0.5, 1.5))
    return int(rng.integers(1, 64))
