"""The layers around a candidate as plain values: which are missing, and how to say so in one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

# Second lines of defence for what an empty network namespace and a PID namespace take away already.
OPTIONAL = frozenset({"cgroup", "landlock_scopes", "landlock_tcp", "uts"})


def missing_layers(layers: Iterable[Sequence[Any]]) -> dict[str, str]:
    """Return why each layer does not hold without which the sandbox is not whole.

    ``layers`` are triples: name, whether it holds, and why not (or a remark).
    """
    return {name: reason for name, active, reason in layers if not active and name not in OPTIONAL}


def in_words(missing: dict[str, str]) -> str:
    """Return what :func:`missing_layers` found as a list in one line."""
    return ", ".join(f"{name} ({reason})" if reason else name for name, reason in missing.items())
