"""``fib validate``: datasets, definitions, workloads, solutions and traces, read as a test run reads them."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fib.report.text import plural

if TYPE_CHECKING:
    from pytest_fib.cli import Subparsers

HELP = """\
Check files without running anything: a dataset's folder, definitions, workloads, solutions (JSON files or starter-kit
folders) and traces. One line per problem; what is tolerated here and not by FlashInfer-Bench is a warning. The exit
status is 1 if there is a problem.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser."""
    from pytest_fib.commands._options import add_traceset_option

    parser = subparsers.add_parser("validate", help="check datasets and solutions", description=HELP)
    parser.add_argument("paths", metavar="PATH", nargs="+", help="a file or folder")
    add_traceset_option(parser)
    parser.add_argument("--strict", action="store_true", help="warnings are problems")


def run(namespace: argparse.Namespace) -> int:
    """Print what is wrong with the paths; returns 0 if nothing is, 1 if something is, 2 if a path is not there."""
    from pytest_fib.commands._library import Library
    from pytest_fib.commands._output import fail, write
    from pytest_fib.commands.validate.checks import Checker
    from pytest_fib.data.files import shown
    from pytest_fib.errors import SettingsError

    paths = [Path(path) for path in namespace.paths]
    for path in paths:
        if not os.path.lexists(path):
            return fail(f"{shown(path)} is not there; correct the path")
    folders = [str(path) for path in paths if (path / "definitions").is_dir()]
    try:
        checker = Checker(Library([*namespace.fib_traceset, *folders], os.environ))
    except SettingsError as error:
        return fail(str(error))
    checker.check(paths)
    for finding in checker.findings:
        write(str(finding))
    problems, warnings = (checker.findings.count(remarks=remarks) for remarks in (False, True))
    write(_summary(checker.counts, problems, warnings))
    return 1 if problems or (namespace.strict and warnings) else 0


def _summary(counts: Counter[str], problems: int, warnings: int) -> str:
    kinds = [plural(counts[kind], kind) for kind in ("definition", "workload", "solution", "trace")]
    found = f"{plural(problems, 'problem')}, {plural(warnings, 'warning')}"
    return f"fib validate: {', '.join(kinds)}: {found}"
