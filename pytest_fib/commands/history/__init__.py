"""``fib history``: latencies of many runs, and where they stepped."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fib.report.text import plural

if TYPE_CHECKING:
    from pytest_fib.cli import Subparsers

HELP = """\
Keep what reports of --fib-report say in an SQLite file, and show how latencies went from run to run.
"""
_FILE = "fib-history.sqlite"


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser, with one for ``add`` and one for ``show``."""
    parser = subparsers.add_parser(
        "history", help="keep reports, and show where latencies stepped", description=HELP
    )
    parts = parser.add_subparsers(dest="part", required=True, metavar="add|show")
    add = parts.add_parser("add", help="add reports; one that is there already is left out")
    add.add_argument(
        "reports", metavar="REPORT.json", nargs="+", help="files that --fib-report wrote, or folders of such"
    )
    show = parts.add_parser("show", help="show a table of latencies over runs")
    show.add_argument(
        "names", metavar="NAME", nargs="*", help="definitions or solutions, by name or glob (default: all)"
    )
    show.add_argument(
        "--last", type=int, default=100, metavar="N", help="of each the last N runs (default: 100)"
    )
    show.add_argument(
        "--false-alarms",
        type=float,
        default=0.01,
        metavar="P",
        help="share of rows without a change in which a step may be seen all the same (default: 0.01)",
    )
    for part in (add, show):
        part.add_argument(
            "--db", type=Path, default=Path(_FILE), metavar="PATH", help=f"the file (default: {_FILE})"
        )


def run(namespace: argparse.Namespace) -> int:
    """Add or show; returns 0, 1 if a file cannot be read or written, or 2 for wrong usage."""
    from pytest_fib.commands._output import fail
    from pytest_fib.errors import DataError, SettingsError

    try:
        if namespace.part == "add":
            _add(namespace)
        else:
            _show(namespace)
    except SettingsError as error:
        return fail(str(error))
    except DataError as error:
        fail(str(error))
        return 1
    return 0


def _add(namespace: argparse.Namespace) -> None:
    from pytest_fib.commands._output import place, write
    from pytest_fib.commands.history.store import History
    from pytest_fib.data.results import read_report_bytes

    paths = [path for word in namespace.reports for path in _files(Path(word))]
    read = [(path, *read_report_bytes(path)) for path in paths]  # all can be read, or none is added
    with History(namespace.db, create=True) as history:
        added = [history.add(report, raw, path) for path, report, raw in read]
        known = f", {added.count(False)} already there" if not all(added) else ""
        total = plural(history.runs(), "run")
        write(f"{plural(sum(added), 'report')} added to {place(namespace.db)}{known}, {total} in all")


def _files(path: Path) -> list[Path]:
    return sorted(path.glob("*.json")) if path.is_dir() else [path]


def _show(namespace: argparse.Namespace) -> None:
    from pytest_fib.commands._output import terminal_width, write
    from pytest_fib.commands.history.page import pages
    from pytest_fib.commands.history.store import History
    from pytest_fib.errors import SettingsError

    if not 0.001 <= namespace.false_alarms <= 0.5:
        raise SettingsError("--false-alarms should be from 0.001 to 0.5")
    if namespace.last < 1:
        raise SettingsError("--last should be at least 1")
    with History(namespace.db) as history:
        series = history.series(namespace.names, namespace.last)
    for line in pages(series, namespace.false_alarms, terminal_width()):
        write(line)
