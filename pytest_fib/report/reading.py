"""A report document as those who show it see it. It may come from a file: what does not fit is left out."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from pytest_fib.measure.scores import arithmetic_mean, geometric_mean, win_rate

Json = Mapping[str, Any]

PASSED = "PASSED"
SLOWER = "SLOWER"
DEFAULT_MARGIN = 0.02


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
class Run:
    """Everything that is shown."""

    results: tuple[Result, ...]
    solutions: tuple[Solution, ...]
    unjudged: tuple[Unjudged, ...]
    searches: tuple[Search, ...]
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


def verdicts(results: Sequence[Result]) -> dict[str, int]:
    """Return how often the gate said what, the worst first."""
    counts = Counter(result.verdict for result in results if result.verdict)
    order = (SLOWER, "AMBIGUOUS", "FASTER", "SAME")
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


def read_run(document: Json) -> Run:
    """Return what can be shown of a report document."""
    config = _mapping(document.get("config"))
    traces = _Traces(_mappings(document.get("traces")))
    return Run(
        results=tuple(_result(entry, traces) for entry in _mappings(document.get("measurements"))),
        solutions=tuple(_solution(entry) for entry in _mappings(document.get("solutions"))),
        unjudged=tuple(_unjudged(entry) for entry in _mappings(document.get("skipped"))),
        searches=tuple(_search(entry) for entry in _mappings(document.get("fuzz"))),
        environment=_mapping(document.get("environment")),
        config=config,
        finished=traces.latest,
        margin=_positive(config.get("max_slowdown")) or DEFAULT_MARGIN,
    )


class _Traces:
    """The official traces, found again for a measurement: both lists have the order of the items."""

    def __init__(self, traces: Sequence[Json]) -> None:
        self._known: defaultdict[tuple[str, str, str], list[Json]] = defaultdict(list)
        self.latest = ""
        for trace in traces:
            uuid = _string(_mapping(trace.get("workload")).get("uuid"))
            self._known[_string(trace.get("definition")), uuid, _string(trace.get("solution"))].append(trace)
            timestamp = _string(_mapping(trace.get("evaluation")).get("timestamp"))
            self.latest = max(self.latest, timestamp)

    def take(self, entry: Json) -> Json:
        """Return the trace of a measurement, once; empty where there is none."""
        if entry.get("status") == PASSED and entry.get("latency_ms") is None:
            return {}  # a pass without timing leaves no trace
        key = tuple(_string(entry.get(name)) for name in ("definition", "workload", "solution"))
        found = self._known.get((key[0], key[1], key[2]))
        return found.pop(0) if found else {}


def _result(entry: Json, traces: _Traces) -> Result:
    trace = traces.take(entry)
    evaluation = _mapping(trace.get("evaluation"))
    latency, ratio = _positive(entry.get("latency_ms")), _positive(entry.get("ratio"))
    gate = _mapping(entry.get("gate"))
    baseline = _positive(gate.get("baseline_latency_ms"))
    if baseline is None and latency is not None and ratio is not None:
        baseline = latency / ratio
    return Result(
        definition=_string(entry.get("definition")),
        solution=_string(entry.get("solution")),
        solution_hash=_string(entry.get("solution_hash")),
        workload=_string(entry.get("workload")),
        label=_label(entry),
        status=_string(entry.get("status")) or "?",
        failure=_string(entry.get("failure"))
        or _string(evaluation.get("log")) * (entry.get("status") != PASSED),
        latency=latency,
        interval=_pair(entry.get("latency_ci95_ms")),
        trials=_split(entry.get("samples_ms"), entry.get("samples_per_trial")),
        reference=_positive(_mapping(evaluation.get("performance")).get("reference_latency_ms")),
        baseline=baseline,
        floor=_positive(entry.get("floor_ms")),
        verdict=_string(entry.get("verdict")),
        ratio=ratio,
        ratio_interval=_pair(entry.get("ratio_ci")),
        blocks=tuple(ratio for stage in _mappings(gate.get("stages")) for ratio in _ratios(stage)),
        axes=_axes(_mapping(trace.get("workload")).get("axes")),
        error_ratio=_number(entry.get("error_ratio")),
        verified_calls=_count(entry.get("verified_calls")),
        calls=_count(entry.get("calls")),
        inputs=_string(entry.get("inputs")),
        clock=_string(entry.get("clock")),
        integrity=_string(entry.get("integrity")),
        integrity_detail=_string(entry.get("integrity_detail")),
        remarks=_strings(entry.get("remarks")),
    )


def _label(entry: Json) -> str:
    """The workload's part of the item's id, else its uuid."""
    nodeid = _string(entry.get("nodeid"))
    return nodeid.rpartition("::")[2] or _string(entry.get("workload"))


def _solution(entry: Json) -> Solution:
    names = ("name", "author", "definition", "language", "hash", "path")
    return Solution(*(_string(entry.get(name)) for name in names))


def _unjudged(entry: Json) -> Unjudged:
    definition, solution = _string(entry.get("definition")), _string(entry.get("solution"))
    return Unjudged(definition, solution, _label(entry), _string(entry.get("reason")))


def _search(entry: Json) -> Search:
    return Search(
        definition=_string(entry.get("definition")),
        solution=_string(entry.get("solution")),
        status=_string(entry.get("status")),
        wanted=_count(entry.get("wanted")),
        judged=_count(entry.get("judged")),
        failing=tuple(map(_shape, _mappings(entry.get("failing")))),
    )


def _shape(entry: Json) -> str:
    axes = ", ".join(f"{name}={size}" for name, size in _axes(entry.get("axes")).items())
    return f"{_string(entry.get('status'))} at {axes}"


def _split(samples: object, lengths: object) -> tuple[tuple[float, ...], ...]:
    """Samples by trial; one trial where the lengths do not say how to split them."""
    values = _list(samples)
    given = [_count(length) for length in _list(lengths)]
    starts = [0, *accumulate(given)]
    if starts[-1] != len(values):
        starts = [0, len(values)]
    trials = (map(_positive, values[start:end]) for start, end in pairwise(starts))
    known = (tuple(value for value in trial if value is not None) for trial in trials)
    return tuple(trial for trial in known if trial)


def _ratios(stage: Json) -> list[float]:
    pairs = zip(_list(stage.get("candidate_ms")), _list(stage.get("baseline_ms")), strict=False)
    known = [(_positive(candidate), _positive(baseline)) for candidate, baseline in pairs]
    return [candidate / baseline for candidate, baseline in known if candidate and baseline]


def _axes(value: object) -> dict[str, int]:
    return {name: size for name, size in _mapping(value).items() if isinstance(size, int) and size >= 0}


def _pair(value: object) -> tuple[float, float] | None:
    ends = [_positive(end) for end in _list(value)]
    if len(ends) != 2 or ends[0] is None or ends[1] is None or ends[0] > ends[1]:
        return None
    return ends[0], ends[1]


def _positive(value: object) -> float | None:
    """A number that a logarithm can take and that a quotient of two of its kind does not overflow."""
    found = _number(value)
    return found if found is not None and 1e-100 < found < 1e100 else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62 else 0


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _strings(value: object) -> tuple[str, ...]:
    return tuple(entry for entry in _list(value) if isinstance(entry, str))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: object) -> Json:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: object) -> list[Json]:
    return list(_only_mappings(_list(value)))


def _only_mappings(values: Sequence[object]) -> Iterator[Json]:
    for value in values:
        if isinstance(value, Mapping):
            yield value
