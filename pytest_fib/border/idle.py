"""What the judge's own candidates do in the calls that show the hand-over: work for a known time, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("idle.cc")
"""The C++ of such calls, which is compiled like a solution."""


@dataclass(frozen=True)
class Work:
    """What every call does before it returns.

    Attributes
    ----------
    ns, nbytes
        For how many nanoseconds it works at least, and how many bytes it writes at least; nothing if both are 0.
    places
        How many calls in a row write to memory of their own.
    requests
        Of how many calls each request is. Behind the last one, the candidate prints for how many nanoseconds each of
        them worked, and begins again; it tells nothing if there are none.
    """

    ns: int = 0
    nbytes: int = 0
    places: int = 1
    requests: tuple[int, ...] = ()


NO_WORK = Work()
