"""A report document as those who show it see it. It may come from a file: what does not fit is left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate, pairwise

from pytest_fib.report.run import PASSED, Json, Result, Run, Search, Solution, Suite, Unjudged
from pytest_fib.report.tolerant import count, listed, mapping, mappings, number, positive, string, strings

DEFAULT_MARGIN = 0.02


def read_run(document: Json) -> Run:
    """Return what can be shown of a report document."""
    config = mapping(document.get("config"))
    traces = _Traces(mappings(document.get("traces")))
    return Run(
        results=tuple(_result(entry, traces) for entry in mappings(document.get("measurements"))),
        solutions=tuple(_solution(entry) for entry in mappings(document.get("solutions"))),
        unjudged=tuple(_unjudged(entry) for entry in mappings(document.get("skipped"))),
        searches=tuple(_search(entry) for entry in mappings(document.get("fuzz"))),
        suites=tuple(
            suite for suite in map(_suite, mappings(document.get("suite_gate"))) if suite is not None
        ),
        environment=mapping(document.get("environment")),
        config=config,
        finished=traces.latest,
        margin=positive(config.get("max_slowdown")) or DEFAULT_MARGIN,
    )


class _Traces:
    """The official traces, found again for a measurement: both lists have the order of the items."""

    def __init__(self, traces: Sequence[Json]) -> None:
        self._known: defaultdict[tuple[str, str, str], list[Json]] = defaultdict(list)
        self.latest = ""
        for trace in traces:
            uuid = string(mapping(trace.get("workload")).get("uuid"))
            self._known[string(trace.get("definition")), uuid, string(trace.get("solution"))].append(trace)
            timestamp = string(mapping(trace.get("evaluation")).get("timestamp"))
            self.latest = max(self.latest, timestamp)

    def take(self, entry: Json) -> Json:
        """Return the trace of a measurement, once; empty where there is none."""
        if entry.get("status") == PASSED and entry.get("latency_ms") is None:
            return {}  # a pass without timing leaves no trace
        key = tuple(string(entry.get(name)) for name in ("definition", "workload", "solution"))
        found = self._known.get((key[0], key[1], key[2]))
        return found.pop(0) if found else {}


def _result(entry: Json, traces: _Traces) -> Result:
    trace = traces.take(entry)
    evaluation = mapping(trace.get("evaluation"))
    latency, ratio = positive(entry.get("latency_ms")), positive(entry.get("ratio"))
    gate = mapping(entry.get("gate"))
    baseline = positive(gate.get("baseline_latency_ms"))
    if baseline is None and latency is not None and ratio is not None:
        baseline = latency / ratio
    return Result(
        definition=string(entry.get("definition")),
        solution=string(entry.get("solution")),
        solution_hash=string(entry.get("solution_hash")),
        workload=string(entry.get("workload")),
        label=_label(entry),
        status=string(entry.get("status")) or "?",
        failure=string(entry.get("failure"))
        or string(evaluation.get("log")) * (entry.get("status") != PASSED),
        latency=latency,
        interval=_pair(entry.get("latency_ci95_ms")),
        trials=_split(entry.get("samples_ms"), entry.get("samples_per_trial")),
        reference=positive(mapping(evaluation.get("performance")).get("reference_latency_ms")),
        baseline=baseline,
        floor=positive(entry.get("floor_ms")),
        verdict="UNSTEADY" if gate.get("unsteady") is True else string(entry.get("verdict")),
        ratio=ratio,
        ratio_interval=_pair(entry.get("ratio_ci")),
        blocks=tuple(ratio for stage in mappings(gate.get("stages")) for ratio in _ratios(stage)),
        axes=_axes(mapping(trace.get("workload")).get("axes")),
        error_ratio=number(entry.get("error_ratio")),
        verified_calls=count(entry.get("verified_calls")),
        calls=count(entry.get("calls")),
        inputs=string(entry.get("inputs")),
        clock=string(entry.get("clock")),
        integrity=string(entry.get("integrity")),
        integrity_detail=string(entry.get("integrity_detail")),
        remarks=strings(entry.get("remarks")),
    )


def _label(entry: Json) -> str:
    """The workload's part of the item's id, else its uuid."""
    nodeid = string(entry.get("nodeid"))
    return nodeid.rpartition("::")[2] or string(entry.get("workload"))


def _solution(entry: Json) -> Solution:
    names = ("name", "author", "definition", "language", "hash", "path")
    return Solution(*(string(entry.get(name)) for name in names))


def _unjudged(entry: Json) -> Unjudged:
    definition, solution = string(entry.get("definition")), string(entry.get("solution"))
    return Unjudged(definition, solution, _label(entry), string(entry.get("reason")))


def _suite(entry: Json) -> Suite | None:
    ratio, margin = positive(entry.get("ratio")), number(entry.get("margin"))
    if ratio is None or margin is None:
        return None
    return Suite(
        definition=string(entry.get("definition")),
        solution=string(entry.get("solution")),
        baseline=string(entry.get("baseline")),
        workloads=count(entry.get("workloads")),
        margin=margin,
        verdict=string(entry.get("verdict")),
        ratio=ratio,
        ratio_interval=_pair(entry.get("ratio_ci")),
    )


def _search(entry: Json) -> Search:
    return Search(
        definition=string(entry.get("definition")),
        solution=string(entry.get("solution")),
        status=string(entry.get("status")),
        wanted=count(entry.get("wanted")),
        judged=count(entry.get("judged")),
        failing=tuple(map(_shape, mappings(entry.get("failing")))),
    )


def _shape(entry: Json) -> str:
    axes = ", ".join(f"{name}={size}" for name, size in _axes(entry.get("axes")).items())
    return f"{string(entry.get('status'))} at {axes}"


def _split(samples: object, lengths: object) -> tuple[tuple[float, ...], ...]:
    """Samples by trial; one trial where the lengths do not say how to split them."""
    values = listed(samples)
    given = [count(length) for length in listed(lengths)]
    starts = [0, *accumulate(given)]
    if starts[-1] != len(values):
        starts = [0, len(values)]
    trials = (map(positive, values[start:end]) for start, end in pairwise(starts))
    known = (tuple(value for value in trial if value is not None) for trial in trials)
    return tuple(trial for trial in known if trial)


def _ratios(stage: Json) -> list[float]:
    pairs = zip(listed(stage.get("candidate_ms")), listed(stage.get("baseline_ms")), strict=False)
    known = [(positive(candidate), positive(baseline)) for candidate, baseline in pairs]
    return [candidate / baseline for candidate, baseline in known if candidate and baseline]


def _axes(value: object) -> dict[str, int]:
    return {name: size for name, size in mapping(value).items() if isinstance(size, int) and size >= 0}


def _pair(value: object) -> tuple[float, float] | None:
    ends = [positive(end) for end in listed(value)]
    if len(ends) != 2 or ends[0] is None or ends[1] is None or ends[0] > ends[1]:
        return None
    return ends[0], ends[1]
