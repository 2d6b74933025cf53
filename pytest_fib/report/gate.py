"""What the gate says: cells, lines, failure texts, and the verdict over all workloads of a solution."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_fib.data.text import escape
from pytest_fib.measure import gate
from pytest_fib.report.record import GateRecord, Measurement, Record
from pytest_fib.report.units import MISSING, format_latency

_LISTED = 3


@dataclass(frozen=True)
class SuiteVerdict:
    """What the mean over the workloads of one solution says against its baseline."""

    definition: str
    solution: str
    baseline: str
    margin: float
    workloads: int
    finding: gate.Finding

    @property
    def fails(self) -> bool:
        """Whether the solution is slower on the whole."""
        return self.finding.verdict == "SLOWER"

    @property
    def text(self) -> str:
        """The failure message."""
        return (
            f"SLOWER over all: {escape(self.solution, 60)} on {escape(self.definition, 120)}, mean over "
            f"{self.workloads} workloads\n  {ratio_text(self.finding.ratio, self.finding.ratio_ci)} as long as the "
            f"baseline {escape(self.baseline, 60)}; allowed over all is {1 + self.margin:.4g}, less than for "
            "a single workload"
        )


def suite_rows(records: Iterable[Record]) -> list[dict[str, object]]:
    """Return the verdicts over all workloads of a solution as the report has them."""
    return [
        {
            "definition": verdict.definition,
            "solution": verdict.solution,
            "baseline": verdict.baseline,
            "workloads": verdict.workloads,
            "margin": verdict.margin,
            "verdict": verdict.finding.verdict,
            "ratio": verdict.finding.ratio,
            "ratio_ci": list(verdict.finding.ratio_ci),
        }
        for verdict in suite_verdicts(records)
    ]


def suite_verdicts(records: Iterable[Record]) -> list[SuiteVerdict]:
    """Return a verdict for every solution that ran beside its baseline on at least two workloads."""
    groups: dict[tuple[str, str], list[tuple[Measurement, GateRecord]]] = {}
    for measurement, found in _compared(records):
        if found["scatter"] is not None:
            key = (measurement["definition"], measurement["solution_hash"])
            groups.setdefault(key, []).append((measurement, found))
    return [_suite_verdict(group) for group in groups.values() if len(group) > 1]


def cell(measurement: Measurement) -> str:
    """Return ratio and verdict of a workload for the table."""
    if measurement["gate"] is None:
        return MISSING
    if measurement["verdict"] is None or measurement["ratio"] is None:
        return "not gated"
    return f"{measurement['ratio']:.3f}x {measurement['verdict']}"


def gate_lines(records: Sequence[Record]) -> list[str]:
    """Return how often the gate said what, and why it said nothing, where a baseline was named."""
    gated = [
        (measurement, measurement["gate"])
        for measurement in (record["measurement"] for record in records)
        if measurement is not None and measurement["gate"] is not None
    ]
    if not gated:
        return []
    counts = Counter(measurement["verdict"] or "not gated" for measurement, _ in gated)
    shown = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    lines = [f"fib: gate: {shown}"]
    unclear = [measurement for measurement, _ in gated if measurement["verdict"] == "AMBIGUOUS"]
    lines += [f"fib: AMBIGUOUS: {_ambiguous(measurement)}" for measurement in unclear[:_LISTED]]
    if len(unclear) > _LISTED:
        lines.append(f"fib: … {len(unclear) - _LISTED} more are AMBIGUOUS")
    reasons = Counter(found["reason"] for measurement, found in gated if measurement["verdict"] is None)
    lines += [
        f"fib: not gated ({count}): {escape(reason, 400)}" for reason, count in reasons.most_common(_LISTED)
    ]
    return lines


def aa_lines(records: Sequence[Record]) -> list[str]:
    """Return the noise floor that a run showed in which every solution was its own baseline."""
    compared = [found for _, found in _compared(records) if found["scatter"] is not None]
    if not compared:
        return []
    firsts = [_first_finding(found) for found in compared]
    scatters = [found["scatter"] or 0.0 for found in compared]
    detectable = [found["detectable"] or 0.0 for found in compared]
    final = sum(measurement["verdict"] == "SLOWER" for measurement, _ in _compared(records))
    flagged = sum(finding.verdict == "SLOWER" for finding in firsts)
    at_zero = sum(finding.low > 0 for finding in firsts)
    return [
        f"fib: A/A over {len(compared)} comparisons: false alarms {final}; flagged by the first stage {flagged} "
        f"(at margin 0: {at_zero}, {at_zero / len(compared):.1%}; 5% are expected)",
        f"fib: noise floor (scatter of a block's ratio): median {statistics.median(scatters):.2%}, "
        f"worst {max(scatters):.2%}; smallest detectable slow-down: median {statistics.median(detectable):.1%}, "
        f"worst {max(detectable):.1%}",
    ]


def ratio_text(ratio: float, interval: Sequence[float]) -> str:
    """Return a ratio with its interval, as in ``1.051 (1.043 to 1.060) times``."""
    return f"{ratio:.3f} ({interval[0]:.3f} to {interval[1]:.3f}) times"


def _compared(records: Iterable[Record]) -> list[tuple[Measurement, GateRecord]]:
    measurements = (record["measurement"] for record in records)
    return [
        (measurement, measurement["gate"])
        for measurement in measurements
        if measurement is not None and measurement["gate"] is not None and measurement["verdict"] is not None
    ]


def _first_finding(found: GateRecord) -> gate.Finding:
    stage = found["stages"][0]
    return gate.find_first(gate.log_ratios(stage["candidate_ms"], stage["baseline_ms"]), found["margin"])


def _suite_verdict(group: Sequence[tuple[Measurement, GateRecord]]) -> SuiteVerdict:
    measurement, found = group[0]
    margin = gate.suite_margin(found["margin"])
    finding = gate.find_of_suite([_first_finding(each) for _, each in group], margin)
    return SuiteVerdict(
        measurement["definition"], measurement["solution"], found["baseline"], margin, len(group), finding
    )


def _ambiguous(measurement: Measurement) -> str:
    found = measurement["gate"]
    assert found is not None
    where = (
        f"{escape(measurement['solution'], 60)} on {escape(measurement['nodeid'].rpartition('::')[2], 120)}"
    )
    ratio, interval = measurement["ratio"], measurement["ratio_ci"]
    said = ratio_text(ratio, interval) if ratio is not None and interval is not None else MISSING
    detectable = found["detectable"]
    least = "" if detectable is None else f"; the noise hides what is below {detectable:.1%}"
    baseline = f"{escape(found['baseline'], 60)} ({format_latency(found['baseline_latency_ms'])})"
    return f"{where}: {said} as long as {baseline}{least}"
