"""``fib selftest``: known attacks and honest kernels, judged on this machine."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from pytest_fib.report.text import for_encoding

if TYPE_CHECKING:
    from pytest_fib.cli import Subparsers

HELP = """\
Judge known attacks and honest kernels with this machine, this sandbox and this judge; the exit status is 1 if one of
them comes out wrong. It takes some seconds and wants a machine without other work.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser."""
    subparsers.add_parser("selftest", help="judge known attacks and honest kernels", description=HELP)


def run(namespace: argparse.Namespace) -> int:
    """Judge known attacks and honest kernels on this machine; returns 0 if all came out right, else 1."""
    from pytest_fib.judge.session import JudgeSession
    from pytest_fib.selftest import run_selftest

    wrong = run_selftest(
        JudgeSession, lambda line: print(for_encoding(line, sys.stdout.encoding), flush=True)
    )
    if wrong:
        print(f"ERROR: {wrong}", file=sys.stderr)
    return 1 if wrong else 0
