"""Is a candidate slower than its baseline? From the logarithms of block ratios to a verdict.

A block is a fresh process of each of the two, which take turns with the same inputs; its ratio is the median
latency of the candidate divided by that of the baseline. Blocks are independent, samples within one are not, so
blocks are what is counted.

How many blocks a stage has is decided by the scatter of its first seven. Where that is small by chance, there
are few blocks and an interval that is too short; where it is large, the others correct it. So the *t* interval of all
blocks alone would be wrong in up to 6.5 % of cases instead of 5 % (looking after every block: the same). The interval
here takes the scatter of the first seven for the least that it may be, which Stein's procedure takes alone; 4.1 to
5.2 % are left. A second stage goes by the same rule, with at least as many blocks as the first asked for, whose data
it does not use: a single bad block among seven would otherwise hide what the first saw clearly.

Sources: Kalibera & Jones, "Rigorous benchmarking in reasonable time", ISMM 2013 (repetition at the level that
varies); Bulej et al., "Duet benchmarking", ICPE 2020 (interleaving); Schuirmann, "Two one-sided tests", 1987; Stein,
"A two-sample test for a linear hypothesis whose power is independent of the variance", 1945 (the number of blocks).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_fib.measure.interval import student_t_quantile

Verdict = Literal["FASTER", "SAME", "SLOWER", "AMBIGUOUS"]

LEAST_BLOCKS, MOST_BLOCKS = 7, 25
FIRST_ALPHA, SECOND_ALPHA, SUITE_ALPHA = 0.05, 0.01, 0.01
LEAST_RUNS = 5
"""Recorded runs below which numbers are no baseline."""

_BEYOND = math.log(1.05 / 1.02)  # how far beyond the margin a slow-down is that should not be missed
_PLANNED_POWER = 0.99
_SHOWN_POWER = 0.95
_UNSTEADY = 2.0


@dataclass(frozen=True)
class Finding:
    """What some log-ratios say.

    Attributes
    ----------
    verdict
        Whether the interval lies beyond the margin, within it, or neither.
    centre, error
        Mean of the log-ratios and its standard error.
    low, high
        One-sided bounds of the true log-ratio, each of which is wrong with probability alpha.
    degrees
        Degrees of freedom behind ``error``.
    """

    verdict: Verdict
    centre: float
    error: float
    low: float
    high: float
    degrees: float

    @property
    def ratio(self) -> float:
        """Candidate latency divided by baseline latency."""
        return math.exp(self.centre)

    @property
    def ratio_ci(self) -> tuple[float, float]:
        """The interval of the ratio that both bounds make."""
        return math.exp(self.low), math.exp(self.high)


def log_ratios(candidate: Sequence[float], baseline: Sequence[float]) -> list[float]:
    """Return log(candidate / baseline) of each block; latencies are positive and in one unit."""
    return [math.log(ours) - math.log(theirs) for ours, theirs in zip(candidate, baseline, strict=True)]


def find(ratios: Sequence[float], margin: float, alpha: float = FIRST_ALPHA) -> Finding:
    """Return what the log-ratios of at least two blocks say about slow-downs beyond ``margin`` (0.02: 2 %)."""
    return _found(ratios, statistics.stdev(ratios), margin, alpha)


def scatter_of(ratios: Sequence[float]) -> float:
    """Return the standard deviation of log-ratios whose number the first seven decided; never below that of these."""
    return max(statistics.stdev(ratios), statistics.stdev(ratios[:LEAST_BLOCKS]))


def find_first(ratios: Sequence[float], margin: float) -> Finding:
    """Return what a first stage says, whose number of blocks the scatter of the first seven decided."""
    return _found(ratios, scatter_of(ratios), margin, FIRST_ALPHA)


def find_second(ratios: Sequence[float], margin: float) -> Finding:
    """Return what a second stage says, of whose blocks the scatter of the first seven asks for more or not."""
    return _found(ratios, scatter_of(ratios), margin, SECOND_ALPHA)


def confirmed(first: Finding, second: Finding | None) -> Verdict:
    """Return the verdict of both stages; ``second`` is there where the first said SLOWER.

    Only both together say SLOWER. Where the second does not, the first was chosen for being extreme, so the second
    alone is believed, and it may say SAME. ValueError if a second is needed and not there.
    """
    if first.verdict != "SLOWER":
        return first.verdict
    if second is None:
        raise ValueError("a workload that is flagged has to be measured again")
    return second.verdict if second.verdict in ("SLOWER", "SAME") else "AMBIGUOUS"


def suite_margin(margin: float) -> float:
    """Return the slow-down that is allowed over all workloads: 1 % less than for one, or half of it."""
    return max(margin / 2, margin - 0.01)


def find_of_suite(workloads: Sequence[Finding], margin: float) -> Finding:
    """Return what the mean over workloads says; they are the ones that matter, not a sample of others.

    Errors add up as variances, with the degrees of freedom of Welch and Satterthwaite. ``workloads`` are the findings
    of first stages: a second one is made only of what looked slow.
    """
    count = len(workloads)
    variances = [(finding.error / count) ** 2 for finding in workloads]
    total = math.fsum(variances)
    least = min(finding.degrees for finding in workloads)
    degrees = least
    if total > 0:
        parts = (
            (variance / total) ** 2 / finding.degrees
            for variance, finding in zip(variances, workloads, strict=True)
        )
        degrees = max(least, 1 / math.fsum(parts))
    centre = math.fsum(finding.centre for finding in workloads) / count
    return _finding(centre, math.sqrt(total), degrees, margin, SUITE_ALPHA)


def find_of_numbers(latency: float, runs: Sequence[float], margin: float) -> Finding | None:
    """Return what a new latency says against those of earlier runs, by a prediction interval on the logarithms.

    None with fewer than ``LEAST_RUNS`` runs: how much runs differ is not known then. The ratio is that to the
    geometric mean of the runs.
    """
    if len(runs) < LEAST_RUNS:
        return None
    logs = [math.log(value) for value in runs]
    error = statistics.stdev(logs) * math.sqrt(1 + 1 / len(logs))
    return _finding(math.log(latency) - statistics.fmean(logs), error, len(logs) - 1, margin, FIRST_ALPHA)


def power(effect: float, scatter: float, blocks: int, margin: float) -> float:
    """Return with what probability both stages, of ``blocks`` each, say SLOWER.

    Parameters
    ----------
    effect
        The true slow-down (0.05: 5 %).
    scatter
        The standard deviation of a block's log-ratio.
    blocks
        Of each stage.
    margin
        The slow-down that is allowed.
    """
    from scipy.special import nctdtr

    distance = math.log1p(effect) - math.log1p(margin)
    if scatter <= 0:
        return 1.0 if distance > 0 else 0.0
    shift = distance * math.sqrt(blocks) / scatter
    if shift > 30:  # far beyond what the function below computes, and certain
        return 1.0
    found = 1.0
    for alpha in (FIRST_ALPHA, SECOND_ALPHA):
        found *= 1 - float(nctdtr(blocks - 1, shift, student_t_quantile(1 - alpha, blocks - 1)))
    return min(1.0, max(0.0, found))


def smallest_detectable(scatter: float, blocks: int, margin: float) -> float:
    """Return the slow-down (0.05: 5 %) that both stages find with 95 % probability."""
    low, high = math.log1p(margin), math.log1p(margin) + 20 * scatter
    for _ in range(40):
        middle = (low + high) / 2
        if power(math.expm1(middle), scatter, blocks, margin) < _SHOWN_POWER:
            low = middle
        else:
            high = middle
    return math.expm1(high)


def blocks_for(scatter: float, margin: float) -> int:
    """Return how many blocks a stage needs to find 5 % at a margin of 2 %, or as far beyond another: 7 to 25."""
    effect = math.expm1(math.log1p(margin) + _BEYOND)
    for blocks in range(LEAST_BLOCKS, MOST_BLOCKS):
        if power(effect, scatter, blocks, margin) >= _PLANNED_POWER:
            return blocks
    return MOST_BLOCKS


def is_unsteady(candidate: Sequence[float], baseline: Sequence[float]) -> bool:
    """Whether the blocks of the candidate scatter far more than those of the baseline.

    That is so where the middle half of the candidate's blocks is spread, on the logarithms, over more than twice as
    much as all of the baseline's but its lowest and its highest: about five times the standard deviation. Single bad
    blocks are the machine's, and kernels whose processes fall into two kinds by chance (memory layout) have both
    kinds on both sides. With fewer than ``MOST_BLOCKS`` blocks nothing is said.
    """
    return min(len(candidate), len(baseline)) >= MOST_BLOCKS and looks_unsteady(candidate, baseline)


def looks_unsteady(candidate: Sequence[float], baseline: Sequence[float]) -> bool:
    """Whether the blocks so far scatter so differently that 25 should be made, to tell."""
    low, _, high = statistics.quantiles([math.log(value) for value in candidate], n=4)
    _, lowest, *_, highest, _ = sorted(math.log(value) for value in baseline)
    return high - low > _UNSTEADY * (highest - lowest)


def _found(ratios: Sequence[float], scatter: float, margin: float, alpha: float) -> Finding:
    count = len(ratios)
    return _finding(statistics.fmean(ratios), scatter / math.sqrt(count), count - 1, margin, alpha)


def _finding(centre: float, error: float, degrees: float, margin: float, alpha: float) -> Finding:
    half = student_t_quantile(1 - alpha, degrees) * error
    low, high = centre - half, centre + half
    return Finding(_verdict(low, high, math.log1p(margin)), centre, error, low, high, degrees)


def _verdict(low: float, high: float, allowed: float) -> Verdict:
    if low > allowed:
        return "SLOWER"
    if high < -allowed:
        return "FASTER"
    return "SAME" if -allowed <= low and high <= allowed else "AMBIGUOUS"
