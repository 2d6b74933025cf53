"""``fib html``: the page of a report that was written before."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fib.commands import _output
from pytest_fib.data.text import escape

if TYPE_CHECKING:
    from pytest_fib.cli import Subparsers

_LIMIT = 256 << 20
HELP = (
    "Write a report of --fib-report=FILE as one HTML page that needs nothing else, as --fib-html=FILE does."
)


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser."""
    parser = subparsers.add_parser("html", help="write a report as one HTML page", description=HELP)
    parser.add_argument("report", type=Path, metavar="REPORT", help="what --fib-report=FILE wrote")
    parser.add_argument("page", type=Path, metavar="PAGE", help="the page to write")


def run(namespace: argparse.Namespace) -> int:
    """Write the page; returns 0, or 2 where the report cannot be read or the page not be written."""
    from pytest_fib.errors import FibError
    from pytest_fib.report.files import check_target, write_text
    from pytest_fib.report.html.page import render

    try:
        check_target(namespace.page, "PAGE")
        write_text(namespace.page, render(_document(namespace.report)))
    except FibError as error:
        return _output.fail(str(error))
    except OSError as error:
        return _output.fail(f"{escape(str(namespace.page))} could not be written: {error.strerror}")
    return 0


def _document(path: Path) -> dict[str, Any]:
    """The document in a file; raises DataError."""
    from pytest_fib.data.files import naming, parse_json, read_text
    from pytest_fib.errors import DataError
    from pytest_fib.report.document import SCHEMA

    with naming(path):
        document = parse_json(read_text(path, _LIMIT))
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise DataError(f"is no report: its 'schema' is not '{SCHEMA}'; name a file of --fib-report=FILE")
        return document
