"""The page: one text that holds its style, its script and its figures, and asks nothing of any network.

A browser that honours the page's own policy runs only our script and loads nothing, whatever a name in the data says.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from itertools import islice
from typing import Any

from pytest_fib.report.html import curves, failures, floor, forest, sizes, spread, tables
from pytest_fib.report.html.budget import PAGE_LIMIT, fit, note_left_out, size
from pytest_fib.report.html.markup import Markup, joined, tag, text, void
from pytest_fib.report.reading import read_run
from pytest_fib.report.run import Run
from pytest_fib.report.standings import verdicts
from pytest_fib.report.text import plural

_REPORT_HAS_ALL = "the report has all"
_SPREADS = 24
_RESERVE = 2_000

# Bytes for each part; the table of results gets what is left but for the samples, and these what is left then.
_FOREST, _SCORES, _CURVES, _SIZES, _FLOOR = 26_000, 24_000, 18_000, 40_000, 24_000
_SPREAD, _FAILURES, _REASONS, _FACTS, _SUITES = 50_000, 36_000, 6_000, 12_000, 6_000


def render(document: Mapping[str, Any]) -> str:
    """Return the page for a report document, below 300 KB. Nothing in the document is trusted."""
    run = read_run(document)
    before = joined([_header(run), *_before_results(run)])
    figures, facts = joined(_figures(run)), joined(_facts(run))
    room = PAGE_LIMIT - _RESERVE - sum(map(size, (before, figures, facts, _shell(run, Markup("")))))
    table = tables.results_table(run, room - _SPREAD) if run.results else tag("p", "No workload was judged.")
    samples = joined(_samples(run, room - size(table)))
    return _shell(run, joined([before, _section("Results", table), figures, samples, facts]))


def _before_results(run: Run) -> Iterator[Markup]:
    if run.gated:
        yield _gate(run)
    if run.results:
        about = f"{_ABOUT_SCORES} {_ABOUT_PASSED}" if run.gated else _ABOUT_SCORES
        yield _section("Scores", tables.scores(run, _SCORES), about=about)
    yield _section("Failures", failures.failures(run, _FAILURES))
    if run.unjudged:
        yield _section("Not judged", failures.unjudged(run, _REASONS))
    if any(result.remarks for result in run.results):
        yield _section("Remarks", failures.remarks(run, _REASONS))


def _figures(run: Run) -> Iterator[Markup]:
    groups = run.by_definition()
    yield from _gallery("Latency and problem size", _ABOUT_SIZES, sizes.figures(groups), _SIZES)
    yield from _gallery("fast_p", _ABOUT_CURVES, curves.figures(groups), _CURVES)
    yield from _gallery("Roofline", _ABOUT_FLOOR, floor.figures(run.results), _FLOOR)


def _facts(run: Run) -> Iterator[Markup]:
    yield _section("Trust", tables.facts(_trust(run), _REASONS))
    yield _section("Environment", tables.facts(run.environment, _FACTS))
    yield _section("Solutions", tables.facts(_solutions(run), _FACTS))
    yield _section("Settings", tables.facts(run.config, _FACTS))


_ABOUT_SCORES = (
    "Speedups are over the definition's reference. Means are over what passed and was timed; the win rate is the "
    "share of all judged workloads that passed and were faster than the reference."
)
_ABOUT_PASSED = "Passed is who was right; what the gate said of them is beside it."
_ABOUT_SIZES = (
    "Both axes are logarithmic. With several axes that vary, size is the one that latency follows best, or their "
    "product."
)
_ABOUT_CURVES = (
    "The share of all judged workloads that passed with a speedup above p; further right is better."
)
_ABOUT_FLOOR = (
    "The roofline in units of time: on the line “floor” a kernel would be as fast as the device's measured peaks "
    "allow; below it nothing can be."
)
_ABOUT_SPREAD = (
    "First the share of calls that took at most so long, then every sample in the order of measuring and the "
    "median of each trial; a slope or a step is drift. The outermost percent lies at the edge. "
    "Where a gate ran, the ratio in each of its blocks follows, those of a second stage behind the first."
)
_ABOUT_GATE = "A workload is SLOWER where the whole interval lies beyond the margin."


def _gate(run: Run) -> Markup:
    about = f"{tables.in_words(verdicts(run.results))}. {_ABOUT_GATE}"
    compared = forest.compared(run.results)
    for most in (forest.ROW_LIMIT, forest.ROW_LIMIT // 2, forest.ROW_LIMIT // 10):
        rows = forest.ends(compared, most)
        figure = forest.plot(rows, run.margin) if rows else Markup("")
        if size(figure) <= _FOREST:
            break
    left_out = len(compared) - len(rows)
    note = note_left_out(left_out, "workload", "those between the slowest and the fastest")
    over_all = tables.suites(run.suites, _SUITES) if run.suites else Markup("")
    return _section("Gate", over_all, figure, note, about=about)


def _gallery(title: str, about: str, figures: Sequence[Markup], limit: int) -> Iterator[Markup]:
    """A section of figures, as many as fit; nothing if there are none."""
    if figures:
        kept, left_out = fit(figures, limit)
        gallery = tag("div", *kept, class_="gallery")
        yield _section(title, gallery, note_left_out(left_out, "figure", _REPORT_HAS_ALL), about=about)


def _samples(run: Run, limit: int) -> Iterator[Markup]:
    """The samples of the most telling workloads."""
    workloads = spread.most_telling(run.by_definition())
    if workloads:
        kept, left_out = fit(islice(spread.figures(workloads), _SPREADS), limit)
        left_out += max(0, len(workloads) - _SPREADS)
        why = "first come those that a gate did not clear, then those whose trials differed most"
        note = note_left_out(left_out, "workload", why)
        yield _section("Samples", tag("div", *kept, class_="gallery"), note, about=_ABOUT_SPREAD)


def _header(run: Run) -> Markup:
    tiles = [(str(sum(result.green for result in run.results)), "passed", "good")]
    failed = [result for result in run.results if not result.green]
    statuses = Counter(result.outcome for result in failed)
    tiles += [(str(count), status, "bad") for status, count in statuses.most_common(8)]
    shapes = sum(search.status != "PASSED" for search in run.searches)
    tiles += [(str(shapes), "failed on further shapes", "bad")] if shapes else []
    slower = sum(suite.fails for suite in run.suites)
    tiles += [(str(slower), "SLOWER over all workloads", "bad")] if slower else []
    tiles += [(str(len(run.unjudged)), "not judged", "open")] if run.unjudged else []
    shown = [tag("li", tag("b", count), " ", name, class_=class_) for count, name, class_ in tiles]
    hardware = run.environment.get("hardware")
    about = " · ".join(part for part in (hardware, _moment(run.finished)) if isinstance(part, str) and part)
    return tag(
        "header", tag("h1", _title(run)), tag("p", about, class_="note"), tag("ul", *shown, class_="tiles")
    )


def _moment(timestamp: str) -> str:
    """Return a time to the minute, as people write it; what is no time as it is."""
    try:
        moment = datetime.fromisoformat(timestamp)
    except ValueError:
        return timestamp
    return f"{moment:%Y-%m-%d %H:%M} {moment.tzname() or ''}".rstrip()


def _title(run: Run) -> str:
    passed = sum(result.green for result in run.results)
    return f"pytest-fib: {passed} of {plural(len(run.results), 'workload')} passed"


def _trust(run: Run) -> dict[str, Any]:
    """What a reader must know before believing a number, over all results."""
    results = run.results
    known = [result.verified_calls for result in results if result.passed]
    return {
        "inputs": dict(Counter(result.inputs or "not known" for result in results)),
        "integrity": dict(Counter(result.integrity or "not known" for result in results)),
        "clock": dict(Counter(result.clock or "not timed" for result in results)),
        "fewest verified calls of a pass": min(known, default=None),
        "sandbox": run.environment.get("sandbox"),
    }


def _solutions(run: Run) -> dict[str, Any]:
    return {
        f"{index}": {
            "name": solution.name,
            "author": solution.author,
            "definition": solution.definition,
            "language": solution.language,
            "hash": solution.solution_hash,
            "path": solution.path,
        }
        for index, solution in enumerate(run.solutions, 1)
    }


def _section(title: str, *children: Markup, about: str = "") -> Markup:
    words = [tag("p", text(about, 1000), class_="about")] if about else []
    return tag("section", tag("h2", title), *words, *children)


def _shell(run: Run, body: Markup) -> str:
    style, script = _asset("style.css"), _asset("script.js")
    policy = f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {_digest(script)}"
    head = joined(
        [
            void("meta", charset="utf-8"),
            void("meta", http_equiv="Content-Security-Policy", content=policy),
            void("meta", name="viewport", content="width=device-width, initial-scale=1"),
            void("meta", name="color-scheme", content="light dark"),
            void("link", rel="icon", href="data:,"),
            tag("title", _title(run)),
            tag("style", style),
        ]
    )
    tip = tag("div", Markup(""), id="tip", hidden=True)
    content = joined([tag("head", head), tag("body", tag("main", body), tip, tag("script", script))])
    return f"<!doctype html>\n{tag('html', content, lang='en')}\n"


def _asset(name: str) -> Markup:
    return Markup(files("pytest_fib.report.html").joinpath(name).read_text(encoding="utf-8"))


def _digest(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
