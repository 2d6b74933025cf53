"""Markup that is safe by construction: whatever is not :class:`Markup` already is text, and is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TypeAlias

from pytest_fib.data.text import escape

TEXT_LIMIT = 200
"""Characters of a text from a file that are shown, unless a caller says otherwise."""


class Markup(str):
    """Text that is HTML or SVG already."""

    __slots__ = ()


Child: TypeAlias = "Markup | str"
Attribute: TypeAlias = "str | float | bool | None"


def text(value: str, limit: int = TEXT_LIMIT) -> Markup:
    """Return a text from anywhere as markup on one line; control and bidirectional characters are spelled out."""
    return Markup(html.escape(escape(value, limit)))


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """Return an element; an underscore in the name of an attribute is a hyphen, one at its end is dropped.

    An attribute that is None or False is left out, one that is True has no value.
    """
    return Markup(f"{_opening(name, attributes)}{joined(children)}</{name}>")


def void(name: str, /, **attributes: Attribute) -> Markup:
    """Return an element without content and without an end, such as ``<td>`` may be in HTML or ``<meta>`` is."""
    return Markup(_opening(name, attributes))


def joined(children: Iterable[Child]) -> Markup:
    """Return children one after the other; those that are text are escaped."""
    return Markup("".join(child if isinstance(child, Markup) else text(child) for child in children))


def number(value: float) -> str:
    """Return a coordinate with one decimal at most, as short as possible."""
    shown = f"{value:.1f}".removesuffix(".0")
    return "0" if shown == "-0" else shown


def _opening(name: str, attributes: dict[str, Attribute]) -> str:
    shown = [
        _attribute(key.rstrip("_").replace("_", "-"), value)
        for key, value in attributes.items()
        if value is not None and value is not False
    ]
    return f"<{' '.join([name, *shown])}>"


def _attribute(name: str, value: Attribute) -> str:
    if value is True:
        return name
    shown = number(value) if isinstance(value, int | float) else html.escape(escape(str(value), 2000))
    return f'{name}="{shown}"'
