"""The names of element types and what they weigh."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

ITEMSIZE: Mapping[str, float] = MappingProxyType(
    {
        "float64": 8,
        "float32": 4,
        "float16": 2,
        "bfloat16": 2,
        "float8_e4m3fn": 1,
        "float8_e5m2": 1,
        "float4_e2m1": 0.5,
        "int64": 8,
        "int32": 4,
        "int16": 2,
        "int8": 1,
        "uint8": 1,
        "bool": 1,
    }
)
"""Bytes per element, by canonical name; two ``float4_e2m1`` share one byte."""

_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "float8_e4m3": "float8_e4m3fn",
        "fp8_e4m3": "float8_e4m3fn",
        "fp8_e5m2": "float8_e5m2",
        "float4_e2m1fn": "float4_e2m1",
        "float4_e2m1fn_x2": "float4_e2m1",
        "float": "float32",
        "double": "float64",
        "half": "float16",
        "int": "int32",
        "long": "int64",
    }
)


def canonical(name: str) -> str | None:
    """Return the canonical name of a dtype that is spelled as found in the wild, or None if it is unknown.

    ``torch.`` prefixes and capitals are accepted: ``torch.bfloat16`` and ``BF16``-like spellings of old
    definitions differ only in such things; ``float8_e4m3`` is today's ``float8_e4m3fn``.
    """
    lowered = name.strip().lower().removeprefix("torch.")
    lowered = _ALIASES.get(lowered, lowered)
    return lowered if lowered in ITEMSIZE else None
