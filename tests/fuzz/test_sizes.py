"""Sizes on a line: all of them, in order, and edges often."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.fuzz.sizes import EDGES, LARGEST, PLACES_OF_AN_EDGE, first_place, last_place, size_at

SIZES = st.integers(0, LARGEST - 1)


@given(SIZES)
def test_a_size_is_found_at_its_places_and_nowhere_else(size: int) -> None:
    first, last = first_place(size), last_place(size)
    assert last - first + 1 == (PLACES_OF_AN_EDGE if size in EDGES else 1)
    assert size_at(first) == size_at(last) == size
    assert size_at(last + 1) == size + 1


@given(st.integers(0, last_place(LARGEST - 1)), st.integers(0, last_place(LARGEST - 1)))
def test_a_smaller_place_is_never_a_larger_size(one: int, other: int) -> None:
    assert size_at(min(one, other)) <= size_at(max(one, other))


def test_edges_are_small_sizes_and_powers_of_two_with_their_neighbours() -> None:
    assert EDGES[:16] == (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33)
    assert {1023, 1024, 1025} <= set(EDGES)
    assert list(EDGES) == sorted(set(EDGES))


def test_most_places_below_a_thousand_are_edges() -> None:
    drawn = Counter(size_at(place) in EDGES for place in range(last_place(1000)))
    assert 0.5 < drawn[True] / drawn.total() < 0.8
