"""Which sizes of an axis are worth trying: all are possible, those at which kernels go wrong are frequent.

All sizes lie on one line, in ascending order, on which an ordinary size has one place and an edge has many.
Hypothesis draws a place: a smaller place is never a larger size, so that it shrinks to the smallest size there is,
edge or not, and a place means the same size whatever the bounds are.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

LARGEST = 1 << 20

EDGES = (*range(10), *(power + step for power in (1 << k for k in range(4, 20)) for step in (-1, 0, 1)))
"""Zero, one, the next sizes, then powers of two and both their neighbours: one row too many or too few for a tile."""

PLACES_OF_AN_EDGE = 64


def first_place(size: int) -> int:
    """Return the first place of ``size``, in [0, LARGEST]."""
    return size + (PLACES_OF_AN_EDGE - 1) * bisect_left(EDGES, size)


def last_place(size: int) -> int:
    """Return the last place of ``size``, in [0, LARGEST)."""
    return first_place(size + 1) - 1


def size_at(place: int) -> int:
    """Return the size at ``place``."""
    return bisect_right(range(LARGEST + 1), place, key=first_place) - 1
