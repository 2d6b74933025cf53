"""Values of a JSON document that may come from anywhere: one of another kind than expected counts as missing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def mapping(value: object) -> Mapping[str, Any]:
    """Return an object; empty for anything else."""
    return value if isinstance(value, Mapping) else {}


def mappings(value: object) -> list[Mapping[str, Any]]:
    """Return the objects in a list."""
    return [entry for entry in listed(value) if isinstance(entry, Mapping)]


def listed(value: object) -> list[Any]:
    """Return a list; empty for anything else."""
    return value if isinstance(value, list) else []


def string(value: object) -> str:
    """Return a string; empty for anything else."""
    return value if isinstance(value, str) else ""


def strings(value: object) -> tuple[str, ...]:
    """Return the strings in a list."""
    return tuple(entry for entry in listed(value) if isinstance(entry, str))


def count(value: object) -> int:
    """Return an int from 0 to 2**62 - 1; 0 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62 else 0


def number(value: object) -> float | None:
    """Return a finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def positive(value: object) -> float | None:
    """Return a number that a logarithm can take and whose quotient with its like does not overflow; else None."""
    found = number(value)
    return found if found is not None and 1e-100 < found < 1e100 else None
