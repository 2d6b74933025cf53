"""What went wrong, with its text: failed workloads, failed searches for further shapes, and what was not judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pytest_fib.report.failure import log_text
from pytest_fib.report.html.budget import fit, note_left_out
from pytest_fib.report.html.markup import Markup, joined, tag, text
from pytest_fib.report.run import Result, Run
from pytest_fib.report.text import plural, shorten

_TEXT_LIMIT = 6000
"""Bytes of one text, so that there is room for others."""

_OPEN = 3


def failures(run: Run, limit: int) -> Markup:
    """Return every failure that fits into ``limit`` bytes, the first few unfolded."""
    kept, left_out = fit(_pieces(run), limit)
    if not kept and not left_out:
        return tag("p", "Nothing failed.")
    return joined([*kept, note_left_out(left_out, "failure", "the report and the terminal have all")])


def unjudged(run: Run, limit: int) -> Markup:
    """Return the reasons why something was not judged, each once, and how often."""
    reasons = Counter(entry.reason for entry in run.unjudged)
    items = (
        tag("li", f"{plural(count, 'workload')}: ", text(reason, 600))
        for reason, count in reasons.most_common()
    )
    kept, left_out = fit(items, limit)
    return joined([tag("ul", *kept), note_left_out(left_out, "reason", "the report has all")])


def remarks(run: Run, limit: int) -> Markup:
    """Return each remark once, and how often it was made."""
    counts = Counter(remark for result in run.results for remark in result.remarks)
    items = (
        tag("li", f"{plural(count, 'workload')}: ", text(remark, 600))
        for remark, count in counts.most_common()
    )
    kept, left_out = fit(items, limit)
    return joined([tag("ul", *kept), note_left_out(left_out, "remark", "the report has all")])


def _pieces(run: Run) -> Iterator[Markup]:
    shown = 0
    for result in run.results:
        if not result.green:
            yield _failed(result, unfolded=shown < _OPEN)
            shown += 1
    for search in run.searches:
        if search.status != "PASSED":
            about = (
                f"{search.solution} on {search.definition}: {plural(search.judged, 'further shape')} judged"
            )
            yield _folded(search.status, about, "\n".join(search.failing), unfolded=shown < _OPEN)
            shown += 1


def _failed(result: Result, *, unfolded: bool) -> Markup:
    about = f"{shorten(result.solution, 60)} on {shorten(result.definition, 60)}, {shorten(result.label, 80)}"
    parts = [f"integrity: {result.integrity_detail}" if result.integrity_detail else "", result.failure]
    return _folded(result.outcome, about, "\n".join(part for part in parts if part), unfolded=unfolded)


def _folded(name: str, about: str, words: str, *, unfolded: bool) -> Markup:
    summary = tag("summary", tag("b", "✗ ", shorten(name, 40), class_="bad"), " ", about)
    return tag("details", summary, tag("pre", _block(words)), open=unfolded)


def _block(words: str) -> Markup:
    """A text of several lines, escaped line by line; the lines that do not fit are counted."""
    lines = [text(line, 500) for line in log_text(words).split("\n")]
    kept, left_out = fit((Markup(f"{line}\n") for line in lines), _TEXT_LIMIT)
    return joined([*kept, text(f"[{plural(left_out, 'line')} left out]") if left_out else Markup("")])
