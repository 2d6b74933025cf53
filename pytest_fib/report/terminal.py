"""What the terminal says of a run below its table: remarks, what the reader should know, one summary line."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from pytest_fib.data.layers import in_words, missing_layers
from pytest_fib.data.text import escape
from pytest_fib.report.record import BuildRecord, Record, has_passed, stopped_by_gate
from pytest_fib.report.scores import means_text
from pytest_fib.report.text import Line, plural

_REMARK_LIMIT = 10
_NAMES = 3  # of solutions, in one line
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?!\w)")  # and not the digits of a name


def remark_lines(records: Iterable[Record]) -> list[Line]:
    """Return each remark once, with the number of workloads that it was made on; only numbers may differ.

    Where several solutions were judged, each line names those that it is about.
    """
    alike: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    solutions: set[str] = set()
    for measurement in (record["measurement"] for record in records):
        if measurement is not None:
            solutions.add(measurement["solution"])
            for pattern, remark in {_NUMBER.sub("#", text): text for text in measurement["remarks"]}.items():
                alike[pattern].append((measurement["solution"], remark))
    most = sorted(alike.values(), key=len, reverse=True)
    lines = [
        Line(_remark(remarks, named=len(solutions) > 1), {"yellow": True}) for remarks in most[:_REMARK_LIMIT]
    ]
    if len(most) > _REMARK_LIMIT:
        lines.append(Line(f"… {len(most) - _REMARK_LIMIT} more remarks", {"yellow": True}))
    return lines


def _remark(alike: Sequence[tuple[str, str]], named: bool) -> str:
    on = f"remark on {plural(len(alike), 'workload')}"
    if named:
        names = list(dict.fromkeys(solution for solution, _ in alike))
        more = [f"{len(names) - _NAMES} more"] if len(names) > _NAMES else []
        on += f" of {', '.join([*(escape(name, 60) for name in names[:_NAMES]), *more])}"
    others = len({remark for _, remark in alike}) > 1
    return f"{on}{', the first' if others else ''}: {escape(alike[0][1], 400)}"


def build_remark_lines(records: Iterable[Record]) -> list[Line]:
    """Return what is remarked of each solution that was built."""
    return [
        Line(f"remark on {escape(build['solution'], 60)}: {escape(remark, 400)}", {"yellow": True})
        for build in (record["build"] for record in records)
        if build is not None
        for remark in build["remarks"]
    ]


def seed_line(records: Iterable[Record]) -> Line | None:
    """Say which seed made the inputs predictable, if one did."""
    seeds = {record["measurement"]["seed"] for record in records if record["measurement"] is not None} - {
        None
    }
    if not seeds:
        return None
    return Line(
        f"inputs are predictable: seed {', '.join(map(str, sorted(seeds, key=str)))}", {"yellow": True}
    )


def sandbox_line(records: Iterable[Record]) -> Line | None:
    """Say which layers of the sandbox were missing around a candidate, if some were."""
    missing: dict[str, str] = {}
    for record in records:
        missing.update(missing_layers(record["sandbox"]))
    if not missing:
        return None
    return Line(
        f"fib: sandbox incomplete: {in_words(missing)}; docs/trust.md says what that means", {"yellow": True}
    )


def fuzz_line(records: Iterable[Record]) -> Line | None:
    """Say which searches had no time for all the shapes that were asked for, if some had not."""
    short = [
        f"{escape(fuzz['solution'], 60)} on {escape(fuzz['definition'], 120)}: {fuzz['judged']} of {fuzz['wanted']}"
        for fuzz in (record["fuzz"] for record in records)
        if fuzz is not None and fuzz["out_of_time"] and not fuzz["failing"]
    ]
    if not short:
        return None
    return Line(f"fib: no time for all further shapes: {'; '.join(short)}", {"yellow": True})


def summary_line(records: Sequence[Record]) -> Line:
    """Return counts and the two means of the speedup over everything that passed."""
    judged = [record for record in records if record["measurement"] is not None]
    passed = sum(map(has_passed, judged))
    unjudged = sum(record["unjudged_failure"] for record in records)
    fuzzed = [record["fuzz"] for record in records if record["fuzz"] is not None]
    builds = [record["build"] for record in records if record["build"] is not None]
    failed = len(judged) - passed
    skipped = len(records) - len(judged) - len(fuzzed) - len(builds) - unjudged
    others = ((failed, "failed"), (unjudged, "failed without a verdict"), (skipped, "skipped"))
    slower = sum(map(stopped_by_gate, judged))
    gated = [f"{slower} of them not through the gate"] if slower else []
    done = [_built(builds)] if builds else [f"{passed} passed"]
    counts = [*done, *gated, *(f"{count} {word}" for count, word in others if count)]
    text = "fib: " + ", ".join(counts)
    means = means_text(records)
    if means:
        text += f"; speedup over the reference: {means}"
    broken = sum(fuzz["status"] != "PASSED" for fuzz in fuzzed)
    if fuzzed:
        text += f"; {plural(sum(fuzz['judged'] for fuzz in fuzzed), 'further shape')}, "
        text += f"on which {broken} of {plural(len(fuzzed), 'solution')} failed"
    red, green = failed or slower or unjudged or broken, passed or fuzzed or builds
    return Line(text, {"bold": True, **({"red": True} if red else {"green": True} if green else {})})


def _built(builds: Sequence[BuildRecord]) -> str:
    """Say how many solutions were built, and how many kernels of Triton with them."""
    kernels = sum(len(build["kernels"]) for build in builds)
    architectures = sorted({build["architecture"] for build in builds if build["kernels"]})
    if not kernels:
        return f"{len(builds)} built"
    what = f"{plural(kernels, 'Triton kernel')} for compute capability {escape(', '.join(architectures), 60)}"
    return f"{len(builds)} built with {what}"
