"""``fib``: everything that is not running trusted tests."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import pytest

from pytest_fib import __version__
from pytest_fib.report.terminal import for_encoding

RUN_HELP = """\
Judge solutions that you do not trust: pytest starts with a rootdir and an ini of our own and loads no conftest,
whatever lies in the current folder or beside the solutions. Name a dataset with --fib-traceset=DIR or
$FIB_DATASET_PATH; without one, the set in the package is used. Everything from the first option on goes to pytest.
"""

SELFTEST_HELP = """\
Judge known attacks and honest kernels with this machine, this sandbox and this judge; the exit status is 1 if one of
them comes out wrong. It takes some seconds and wants a machine without other work.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status, pytest's own for ``fib run``."""
    parser = argparse.ArgumentParser(prog="fib", description="Judge GPU kernels; see also: pytest --help")
    parser.add_argument("--version", action="version", version=f"pytest-fib {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run_help = "judge solutions that are not trusted"
    usage = "fib run SOLUTION... [pytest options]"
    commands.add_parser("run", help=run_help, description=RUN_HELP, usage=usage)
    commands.add_parser("selftest", help="judge known attacks and honest kernels", description=SELFTEST_HELP)
    words = sys.argv[1:] if argv is None else list(argv)
    if words[:1] == ["run"] and not {"-h", "--help"} & set(words[1:2]):
        return run_solutions(words[1:])  # argparse would take pytest's options for its own
    parser.parse_args(words)  # leaves by itself for --help, --version and what it does not know
    return selftest()


def selftest() -> int:
    """Judge known attacks and honest kernels on this machine; returns 0 if all came out right, else 1."""
    from pytest_fib.judge.session import JudgeSession
    from pytest_fib.selftest import run_selftest

    wrong = run_selftest(
        JudgeSession, lambda line: print(for_encoding(line, sys.stdout.encoding), flush=True)
    )
    if wrong:
        print(f"ERROR: {wrong}", file=sys.stderr)
    return 1 if wrong else 0


def run_solutions(arguments: Sequence[str]) -> int:
    """Start pytest on untrusted solutions; everything from the first option on goes to pytest."""
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


if __name__ == "__main__":
    sys.exit(main())
