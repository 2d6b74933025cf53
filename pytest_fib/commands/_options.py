"""Options that several commands have."""

from __future__ import annotations

import argparse


def add_traceset_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--fib-traceset``."""
    parser.add_argument(
        "--fib-traceset",
        metavar="DIR",
        action="append",
        default=[],
        help="dataset in which definitions are looked up; repeatable (default: as in a test run)",
    )
