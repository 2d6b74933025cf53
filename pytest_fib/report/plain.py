"""Values as JSON can hold them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from enum import Enum
from typing import Any


def jsonable(value: Any) -> Any:
    """Return ``value`` as JSON can hold it: not finite becomes None, bytes (which may be secret) a mere size."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return jsonable(value.value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return finite(value)
    if isinstance(value, Mapping):
        return {jsonable(str(key)): jsonable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(entry) for entry in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, bytes | bytearray):
        return f"<{len(value)} bytes>"
    return valid_text(value)


def finite(value: float) -> float | None:
    """Return a number that JSON has, None for one that is not finite."""
    return float(value) if math.isfinite(value) else None


def valid_text(value: object) -> str:
    """Return ``value`` as text that UTF-8 can hold; a broken character is spelled out."""
    return str(value).encode("utf-8", "backslashreplace").decode()
