"""``fib run``: pytest on solutions that nobody vouches for."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_fib.cli import Subparsers

HELP = """\
Judge solutions that you do not trust: pytest starts with a rootdir and an ini of our own and loads no conftest,
whatever lies in the current folder or beside the solutions. Name a dataset with --fib-traceset=DIR or
$FIB_DATASET_PATH; without one, the set in the package is used. Everything from the first option on goes to pytest.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser, for which nothing is an option: they are pytest's."""
    parser = subparsers.add_parser(
        "run",
        help="judge solutions that are not trusted",
        description=HELP,
        usage="fib run SOLUTION... [pytest options]",
        prefix_chars="\0",
        add_help=False,
    )
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.set_defaults(help_text=parser.format_help)


def run(namespace: argparse.Namespace) -> int:
    """Start pytest on untrusted solutions; everything from the first option on goes to pytest."""
    import pytest

    arguments: list[str] = namespace.arguments
    if arguments[:1] in (["-h"], ["--help"]):
        print(namespace.help_text())
        return 0
    solutions = list(takewhile(lambda argument: not argument.startswith("-"), arguments))
    if not solutions:
        print("ERROR: name at least one solution: fib run SOLUTION... [pytest options]", file=sys.stderr)
        return pytest.ExitCode.USAGE_ERROR
    home = _home()
    ini = home / "pytest.ini"
    ini.write_text("[pytest]\n", encoding="utf-8")
    flags = [f"--fib-solution={os.path.abspath(solution)}" for solution in solutions]
    start = ["-c", str(ini), f"--rootdir={home}", "--noconftest"]
    return pytest.main([*start, *flags, *arguments[len(solutions) :]])


def _home() -> Path:
    """A private folder for rootdir, ini and pytest's cache; kept across runs where the home folder allows it."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    home = Path(base) / "pytest-fib" / "run"
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="pytest-fib-run-"))
    return home
