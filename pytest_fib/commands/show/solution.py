"""The page of a solution."""

from __future__ import annotations

from pytest_fib.commands._library import Library
from pytest_fib.commands._output import place, table
from pytest_fib.commands.show.definition import code, facts
from pytest_fib.data.solution import LoadedSolution
from pytest_fib.data.text import escape
from pytest_fib.report.text import plural
from pytest_fib.report.units import format_bytes

_STYLES = {
    None: "as the signature says",
    True: "outputs passed as last arguments",
    False: "returns its outputs",
}


def solution_page(loaded: LoadedSolution, library: Library, width: int) -> list[str]:
    """Return how a solution is built and called, its files, and the text of the one with the entry point."""
    solution, spec = loaded.solution, loaded.solution.spec
    definition = library.definition_or_none(solution.definition, loaded.path)
    about = {
        "definition": escape(solution.definition, 120) + ("" if definition else " (not found)"),
        "author": escape(solution.author, 120),
        "file": place(loaded.path),
        "language": escape(spec.language) + (f" ({spec.binding})" if spec.binding else ""),
        "entry point": escape(spec.entry_point),
        "style": _STYLES[spec.destination_passing_style],
        "hardware": ", ".join(escape(name, 60) for name in spec.target_hardware),
        "dependencies": ", ".join(escape(name, 60) for name in spec.dependencies),
        "hash": solution.content_hash,
        "about": escape(solution.description or "", 1000),
    }
    lines = [escape(solution.name), *facts(about, width)]
    for note in loaded.notes:
        lines += facts({"remark": escape(note, 400)}, width)
    rows = [
        [
            escape(source.path, 120),
            plural(len(source.content.splitlines()), "line"),
            format_bytes(len(source.content.encode("utf-8", "surrogatepass"))),
        ]
        for source in solution.sources
    ]
    lines += ["", "sources", *table(rows, width, right=(1, 2))]
    for source in solution.sources:
        if source.path == solution.entry_file:
            lines += ["", escape(source.path, 120), *code(source.content, width)]
    return lines
