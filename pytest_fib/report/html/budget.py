"""A page has a size that it must not exceed, so each part shows what fits and says what was left out."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_fib.report.html.markup import Markup, tag
from pytest_fib.report.text import plural

PAGE_LIMIT = 300_000
"""Bytes of a page."""


def size(markup: str) -> int:
    """Return the bytes of markup as it is written."""
    return len(markup.encode())


def fit(pieces: Iterable[Markup], limit: int) -> tuple[list[Markup], int]:
    """Return the first pieces that have ``limit`` bytes together, and the number of those left out."""
    kept: list[Markup] = []
    left_out = 0
    for piece in pieces:
        limit -= size(piece)
        if limit < 0:
            left_out += 1
        else:
            kept.append(piece)
    return kept, left_out


def note_left_out(count: int, noun: str, why: str) -> Markup:
    """Return a line that says what is not shown; empty if nothing is."""
    if not count:
        return Markup("")
    return tag("p", f"… {plural(count, noun)} not shown here: {why}", class_="note")
