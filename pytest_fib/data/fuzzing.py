"""What a search among shapes that nobody published has found: plain frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_fib.data.evaluation import Evaluation


@dataclass(frozen=True)
class Shape:
    """Sizes of all variable axes, and whether the inputs are edges (see ``RandomInput``).

    ``drawn`` are the sizes that the others follow from, in the order in which they are made small.
    """

    axes: Mapping[str, int]
    edges: bool
    drawn: tuple[int, ...]

    @property
    def order(self) -> tuple[bool, tuple[int, ...]]:
        """What shrinking makes small."""
        return self.edges, self.drawn

    @property
    def empty(self) -> bool:
        """Whether there is nothing of something."""
        return 0 in self.axes.values()

    @property
    def text(self) -> str:
        """The shape in words, e.g. ``batch_size=3``."""
        sizes = ", ".join(f"{name}={size}" for name, size in self.axes.items())
        return f"{sizes}, at edges" if self.edges else sizes


@dataclass(frozen=True)
class Failing:
    """A shape that fails, as small as it could be made.

    ``line`` is its workload as a line of JSON. ``after`` is the shape judged before it where it fails only then, in a
    process that has judged others; such a failure is not shrunk.
    """

    shape: Shape
    evaluation: Evaluation
    line: str
    after: Shape | None = None


@dataclass(frozen=True)
class Search:
    """What came of one search.

    Attributes
    ----------
    wanted, judged
        How many shapes were asked for, and how many different ones with a right answer hypothesis drew.
    failing
        The smallest failing shape of each kind of failure, the first kind first; empty if all passed.
    first
        What the judge said of the first shape, None where none was judged.
    refused
        Why the last shape without a right answer was not judged.
    out_of_time
        Whether the time was over before enough shapes were found.
    seconds
        How long it took.
    """

    wanted: int
    judged: int
    failing: tuple[Failing, ...]
    first: Evaluation | None
    refused: str
    out_of_time: bool
    seconds: float
