"""How the solutions of a run do, definition by definition."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_fib.measure.scores import arithmetic_mean, geometric_mean, win_rate
from pytest_fib.report.run import SLOWER, Result, Run, Solution


@dataclass(frozen=True)
class Standing:
    """How one solution does on one definition; means and win rate are None where nothing was timed."""

    definition: str
    solution: str
    about: Solution | None
    judged: int
    passed: int
    geometric_mean: float | None
    arithmetic_mean: float | None
    win_rate: float | None
    verdicts: Mapping[str, int]


def standings(run: Run) -> list[Standing]:
    """Return the standing of each solution on each definition."""
    return [
        _standing(run, definition, name, found)
        for definition, results in run.by_definition().items()
        for name, found in by_solution(results).items()
    ]


def by_solution(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Return the results of each solution by what tells it apart: its name, with its hash where names are shared."""
    hashes: defaultdict[str, set[str]] = defaultdict(set)
    for result in results:
        hashes[result.solution].add(result.solution_hash)
    groups: defaultdict[str, list[Result]] = defaultdict(list)
    for result in results:
        shared = len(hashes[result.solution]) > 1
        groups[f"{result.solution} {result.solution_hash[:8]}" if shared else result.solution].append(result)
    return dict(groups)


def verdicts(results: Sequence[Result]) -> dict[str, int]:
    """Return how often the gate said what, the worst first."""
    counts = Counter(result.verdict for result in results if result.verdict)
    order = (SLOWER, "UNSTEADY", "AMBIGUOUS", "FASTER", "SAME")
    names = sorted(counts, key=lambda name: (order.index(name) if name in order else len(order), name))
    return {name: counts[name] for name in names}


def _standing(run: Run, definition: str, name: str, results: Sequence[Result]) -> Standing:
    speedups = [result.speedup for result in results if result.speedup is not None]
    timed = any(result.latency is not None for result in results)
    found = (solution for solution in run.solutions if solution.solution_hash == results[0].solution_hash)
    return Standing(
        definition=definition,
        solution=name,
        about=next(found, None),
        judged=len(results),
        passed=sum(result.passed for result in results),
        geometric_mean=geometric_mean(speedups) if speedups else None,
        arithmetic_mean=arithmetic_mean(speedups) if speedups else None,
        win_rate=win_rate(speedups, len(results)) if timed else None,
        verdicts=verdicts(results),
    )
