"""A leaderboard's arithmetic: speedups of several solutions on the same workloads, scores, ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pytest_fib.measure.estimate import Estimate, mean, rank_ranges
from pytest_fib.measure.scores import win_rate

Failures = Literal["solution", "workload"]
Key = Literal["arithmetic", "geometric"]

NOTHING = Estimate(0.0, (0.0, 0.0))


@dataclass(frozen=True)
class Standing:
    """How one competitor does; ``ranks`` is the best and the worst rank that it can claim.

    ``passed`` of ``workloads`` were right. ``ranks`` is None where not every workload was judged.
    """

    name: str
    arithmetic: Estimate
    geometric: Estimate
    win_rate: float
    passed: int
    workloads: int
    ranks: tuple[int, int] | None = None

    def by(self, key: Key) -> Estimate:
        """Return the score that ranks."""
        return self.arithmetic if key == "arithmetic" else self.geometric


def standing(
    name: str, speedups: Mapping[str, Estimate | None], workloads: Sequence[str], failures: Failures
) -> Standing:
    """Return how a competitor does, not ranked yet.

    Parameters
    ----------
    speedups
        By workload; None where it failed. Workloads that were not judged are not there.
    workloads
        Those that count; at least one.
    failures
        What one failure costs: ``"solution"``: all means are 0, as FlashInfer-Bench scores a solution;
        ``"workload"``: that workload has the speedup 0.
    """
    judged = [speedups[workload] for workload in workloads if workload in speedups]
    passed = [speedup for speedup in judged if speedup is not None]
    failed = len(judged) - len(passed)
    arithmetic = geometric = NOTHING
    if passed and not (failed and failures == "solution"):
        arithmetic = mean([speedup or NOTHING for speedup in judged])
        geometric = NOTHING if failed else mean([speedup.log() for speedup in passed]).exp()
    wins = win_rate([speedup.value for speedup in passed], len(workloads))
    return Standing(name, arithmetic, geometric, wins, len(passed), len(workloads))


def ranked(standings: Sequence[Standing], complete: Sequence[bool], key: Key) -> list[Standing]:
    """Return the standings, best first, with ranks; those that are not ``complete`` come last and have none."""
    chosen = [each for each, whole in zip(standings, complete, strict=True) if whole]
    ranges = rank_ranges([each.by(key) for each in chosen])
    board = [replace(each, ranks=ranks) for each, ranks in zip(chosen, ranges, strict=True)]
    board += [each for each, whole in zip(standings, complete, strict=True) if not whole]
    return sorted(board, key=lambda each: (each.ranks is None, -each.by(key).value, each.name))


def together(name: str, standings: Sequence[Standing | None]) -> Standing:
    """Return how a competitor does on several definitions: means of its scores, 0 where it has no solution."""
    there = [each for each in standings if each is not None]
    share = sum(each.win_rate for each in there) / len(standings)
    return Standing(
        name,
        mean([each.arithmetic if each else NOTHING for each in standings]),
        mean([each.geometric if each else NOTHING for each in standings]),
        share,
        sum(each.passed for each in there),
        sum(each.workloads for each in there),
    )
