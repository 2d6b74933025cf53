"""The layers around a candidate as plain values: which are missing, and how to say so in one line.

Layers are triples: name, whether it holds, and why not (or a remark).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from pytest_fib.data.text import escape

# Second lines of defence for what an empty network namespace and a PID namespace take away already.
OPTIONAL = frozenset({"cgroup", "landlock_scopes", "landlock_tcp", "uts"})


def missing_layers(layers: Iterable[Sequence[Any]]) -> dict[str, str]:
    """Return why each layer does not hold without which the sandbox is not whole."""
    return {str(name): str(why) for name, active, why in layers if not active and name not in OPTIONAL}


def describe(layers: Collection[Sequence[Any]]) -> str:
    """Return in a few words whether the sandbox is whole, and what is missing."""
    missing = missing_layers(layers)
    if missing:
        return f"sandbox incomplete: {in_words(missing)}"
    return f"sandbox complete ({sum(bool(active) for _, active, _ in layers)} layers)"


def refusal(missing: Mapping[str, str]) -> str:
    """Return the sentence that refuses to judge without ``missing`` layers."""
    return (
        f"the sandbox is incomplete here: without {in_words(missing)}; allow what is missing (user namespaces, "
        "mostly), or leave out --fib-require-sandbox"
    )


def in_words(missing: Mapping[str, str]) -> str:
    """Return what :func:`missing_layers` found as a list in one line."""
    return ", ".join(
        f"{escape(name, 40)} ({escape(reason, 120)})" if reason else escape(name, 40)
        for name, reason in missing.items()
    )
