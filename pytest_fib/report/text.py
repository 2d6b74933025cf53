"""Text that is made for people: plurals, names cut to a width, what a stream can encode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_ASCII = str.maketrans({"µ": "u", "±": "+-", "–": "-", "…": "~", "·": "-"})


def plural(count: int, noun: str) -> str:
    """Return the count and the noun, as in ``2 problems``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def shorten(text: str, width: int) -> str:
    """Return ``text`` in at most ``width`` columns: head and tail tell two names apart, the middle goes."""
    if len(text) <= width:
        return text
    if width <= 1:
        return "…"[:width]
    head = width // 2
    tail = width - 1 - head
    return text[:head] + "…" + (text[-tail:] if tail else "")


def for_encoding(text: str, encoding: str | None) -> str:
    """Return ``text`` as a stream of that encoding can show it."""
    try:
        text.encode(encoding or "ascii")
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding or "ascii", "replace").decode(encoding or "ascii")
    except LookupError:
        return text.translate(_ASCII)
    return text


@dataclass(frozen=True)
class Line:
    """One line of output and the markup that pytest's terminal writer gives it."""

    text: str
    markup: Mapping[str, bool] = field(default_factory=dict)
