"""A run as those who show it see it: what was judged, what was not, and where."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = Mapping[str, Any]


PASSED = "PASSED"


SLOWER = "SLOWER"


@dataclass(frozen=True)
class Result:
    """One solution judged on one workload; times in milliseconds.

    ``ratio`` is the latency over the baseline's, and ``blocks`` are the ratios of the single blocks.
    """

    definition: str
    solution: str
    solution_hash: str
    workload: str
    label: str
    status: str
    failure: str
    latency: float | None
    interval: tuple[float, float] | None
    trials: tuple[tuple[float, ...], ...]
    reference: float | None
    baseline: float | None
    floor: float | None
    verdict: str
    ratio: float | None
    ratio_interval: tuple[float, float] | None
    blocks: tuple[float, ...]
    axes: Mapping[str, int]
    error_ratio: float | None
    verified_calls: int
    calls: int
    inputs: str
    clock: str
    integrity: str
    integrity_detail: str
    remarks: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the status is PASSED; a gate may have failed the item all the same."""
        return self.status == PASSED

    @property
    def green(self) -> bool:
        """Whether its item passed, as far as the report says."""
        return self.passed and self.verdict != SLOWER and not self.failure

    @property
    def outcome(self) -> str:
        """The status; for an item that failed although its status is PASSED, the gate's verdict."""
        return self.status if self.green or not self.passed else self.verdict or "FAILED"

    @property
    def speedup(self) -> float | None:
        """Reference latency over latency, of a workload that passed and was timed."""
        if not self.passed or self.latency is None or self.reference is None:
            return None
        return self.reference / self.latency

    @property
    def spread(self) -> float:
        """Width of the interval as a share of the latency; 0 where there is none."""
        if self.interval is None or self.latency is None:
            return 0.0
        return (self.interval[1] - self.interval[0]) / self.latency


@dataclass(frozen=True)
class Solution:
    """A solution as its file names it."""

    name: str
    author: str
    definition: str
    language: str
    solution_hash: str
    path: str


@dataclass(frozen=True)
class Unjudged:
    """A workload without a verdict, and why."""

    definition: str
    solution: str
    label: str
    reason: str


@dataclass(frozen=True)
class Search:
    """What came of judging further shapes; ``failing`` has a sentence per kind of failure."""

    definition: str
    solution: str
    status: str
    wanted: int
    judged: int
    failing: tuple[str, ...]


@dataclass(frozen=True)
class Suite:
    """What the gate says of a solution over all its workloads; ``margin`` is the slow-down that is allowed there."""

    definition: str
    solution: str
    baseline: str
    workloads: int
    margin: float
    verdict: str
    ratio: float
    ratio_interval: tuple[float, float] | None

    @property
    def fails(self) -> bool:
        """Whether the run failed for it."""
        return self.verdict == SLOWER

    @property
    def shown_ratio(self) -> str:
        """The ratio with its interval, as in ``1.051 [1.043, 1.060]``."""
        return f"{self.ratio:.3f}" + (
            "" if self.ratio_interval is None else " [{:.3f}, {:.3f}]".format(*self.ratio_interval)
        )


@dataclass(frozen=True)
class Run:
    """Everything that is shown."""

    results: tuple[Result, ...]
    solutions: tuple[Solution, ...]
    unjudged: tuple[Unjudged, ...]
    searches: tuple[Search, ...]
    suites: tuple[Suite, ...]
    environment: Json
    config: Json
    finished: str
    margin: float

    @property
    def gated(self) -> bool:
        """Whether a gate compared anything with a baseline."""
        return any(result.verdict or result.ratio is not None for result in self.results)

    def by_definition(self) -> dict[str, list[Result]]:
        """The results of each definition, in the order of the report."""
        groups: defaultdict[str, list[Result]] = defaultdict(list)
        for result in self.results:
            groups[result.definition].append(result)
        return dict(groups)
