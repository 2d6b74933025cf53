"""Marks and frames of figures, as SVG. Colours come from classes ``s0`` to ``s7``, so the style sheet has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pytest_fib.report.html.markup import Child, Markup, joined, number, tag
from pytest_fib.report.html.scale import Scale

COLOURS = 8
"""Series are told apart by colour and shape; after so many both begin again."""

_SHAPES = (
    "m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0",  # circle
    "m-3-3h6v6h-6z",  # square
    "m0-4l4 7h-8z",  # triangle
    "m0-4.2l4.2 4.2l-4.2 4.2l-4.2-4.2z",  # diamond
    "m0 4l4-7h-8z",  # triangle, the other way
    "m-1-4h2v3h3v2h-3v3h-2v-3h-3v-2h3z",  # plus
    "m-4-1.5h8v3h-8z",  # bar
    "m-1.5-4h3v8h-3z",  # upright bar
)
TITLED_LIMIT = 300
"""Results of a run whose points have shapes and texts of their own; those of more are mere dots."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Frame:
    """Two axes and the rectangle, in pixels, that they span."""

    x: Scale
    y: Scale
    width: int = 360
    height: int = 230
    left: int = 66
    right: int = 12
    top: int = 8
    bottom: int = 38

    def at(self, x: float, y: float) -> Point:
        """Return the pixel of a pair of values."""
        across = self.width - self.left - self.right
        down = self.height - self.top - self.bottom
        return self.left + across * self.x.share(x), self.top + down * (1 - self.y.share(y))


@dataclass(frozen=True)
class Axis:
    """What an axis is called, and how its ticks are written."""

    name: str
    shown: Callable[[float], str]


def figure(frame: Frame, x: Axis, y: Axis, marks: Iterable[Markup], *, about: str) -> Markup:
    """Return a figure with its axes below ``marks``; ``about`` says in words what it shows."""
    return drawing(frame.width, frame.height, [_x_axis(frame, x), _y_axis(frame, y), *marks], about=about)


def drawing(width: int, height: int, parts: Iterable[Markup], *, about: str) -> Markup:
    """Return an ``svg`` element of a size in pixels."""
    return tag(
        "svg",
        *parts,
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="img",
        aria_label=about,
    )


def path(points: Sequence[Point], class_: str) -> Markup:
    """Return a line through pixels."""
    if not points:
        return Markup("")
    return tag("path", d="M" + " ".join(f"{number(x)} {number(y)}" for x, y in points), class_=f"l {class_}")


def segments(pairs: Sequence[tuple[Point, Point]], class_: str) -> Markup:
    """Return lines between pairs of pixels, all in one element."""
    if not pairs:
        return Markup("")
    moves = (f"M{number(x)} {number(y)}L{number(u)} {number(v)}" for (x, y), (u, v) in pairs)
    return tag("path", d="".join(moves), class_=f"l {class_}")


def steps(points: Sequence[Point], class_: str, title: str = "") -> Markup:
    """Return a staircase through pixels: across first, then up or down."""
    if not points:
        return Markup("")
    (x, y), rest = points[0], points[1:]
    moves = "".join(f"H{number(x)}V{number(y)}" for x, y in rest)
    return tag("path", *_titled(title), d=f"M{number(x)} {number(y)}{moves}", class_=f"l {class_}")


def dots(points: Iterable[Point], class_: str) -> Markup:
    """Return small dots, all in one element; those that fall on one another are drawn once."""
    spots = dict.fromkeys((round(x), round(y)) for x, y in points)
    return tag("path", d="".join(f"M{x} {y}h0" for x, y in spots), class_=f"d {class_}")


def markers(
    points: Sequence[tuple[Point, str]], series: int, class_: str = "", *, plain: bool = False
) -> Markup:
    """Return the points of a series, each with its text, in the shape of that series; ``plain`` ones are dots."""
    if plain:
        return dots((point for point, _ in points), f"{class_ or colour(series)} big")
    class_ = f"p {class_ or colour(series)}"
    shape = _SHAPES[series % COLOURS]
    return joined(
        tag("path", *_titled(title), d=f"M{number(x)} {number(y)}{shape}", class_=class_)
        for (x, y), title in points
    )


def label(
    x: float, y: float, words: str, *, anchor: str = "middle", class_: str = "", limit: int = 60
) -> Markup:
    """Return a line of text at a pixel; ``anchor`` is ``start``, ``middle`` or ``end``."""
    anchored = None if anchor == "start" else anchor
    shown = words if len(words) <= limit else f"{words[: limit // 2]}…{words[-(limit - limit // 2 - 1) :]}"
    return tag("text", shown, x=x, y=y, text_anchor=anchored, class_=class_ or None)


def colour(series: int) -> str:
    """Return the class that gives a series its colour."""
    return f"s{series % COLOURS}"


def legend(entries: Iterable[tuple[str, int, str]]) -> Markup:
    """Return names beside their marks; an entry is a name, the series whose shape it has, and its class."""
    items = [
        tag("span", tag("svg", markers([((6, 6), "")], series, class_), width=12, height=12), name)
        for name, series, class_ in entries
    ]
    return tag("div", *items, class_="legend")


def _titled(title: str) -> list[Child]:
    return [tag("title", title)] if title else []


def _x_axis(frame: Frame, axis: Axis) -> Markup:
    base = frame.height - frame.bottom
    ticks = [(frame.at(tick, frame.y.low)[0], tick) for tick in frame.x.ticks(5)]
    lines = segments([((x, frame.top), (x, base)) for x, _ in ticks], "g")
    parts = [label(x, base + 14, axis.shown(tick)) for x, tick in ticks]
    middle = (frame.left + frame.width - frame.right) / 2
    return joined([lines, *parts, label(middle, frame.height - 6, axis.name, class_="a")])


def _y_axis(frame: Frame, axis: Axis) -> Markup:
    ticks = [(frame.at(frame.x.low, tick)[1], tick) for tick in frame.y.ticks(6)]
    lines = segments([((frame.left, y), (frame.width - frame.right, y)) for y, _ in ticks], "g")
    parts = [label(frame.left - 5, y + 4, axis.shown(tick), anchor="end") for y, tick in ticks]
    middle = (frame.top + frame.height - frame.bottom) / 2
    turned = tag(
        "text",
        axis.name,
        transform=f"translate(12 {number(middle)}) rotate(-90)",
        text_anchor="middle",
        class_="a",
    )
    return joined([lines, *parts, turned])
