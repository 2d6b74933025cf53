"""``fib show``: a definition, workloads, a solution or traces, for people."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_fib.cli import Subparsers

HELP = """\
Show a file (definition, workloads, solution, traces), a starter-kit folder, a dataset, one line of a workload file
(FILE:LINE), or what has a name: a definition, a solution, or a workload by its uuid or the beginning of it.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser."""
    from pytest_fib.commands._options import add_traceset_option

    parser = subparsers.add_parser(
        "show", help="show a definition, workload, solution or trace", description=HELP
    )
    parser.add_argument("targets", metavar="PATH|NAME", nargs="+", help="what to show")
    add_traceset_option(parser)


def run(namespace: argparse.Namespace) -> int:
    """Print what was asked for; returns 0, 1 if something cannot be read, or 2 if there is no such thing."""
    import os

    from pytest_fib.commands._library import Library
    from pytest_fib.commands._output import fail, terminal_width, write
    from pytest_fib.commands.show.finding import NotFound, pages
    from pytest_fib.errors import DataError, SettingsError

    try:
        library = Library(namespace.fib_traceset, os.environ)
        for target in namespace.targets:
            for page in pages(target, library, terminal_width()):
                for line in [*page, ""]:
                    write(line)
    except (NotFound, SettingsError) as error:
        return fail(str(error))
    except DataError as error:
        fail(str(error))
        return 1
    return 0
