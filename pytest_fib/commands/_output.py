"""What commands print."""

from __future__ import annotations

import sys

from pytest_fib.report.terminal import for_encoding

USAGE_ERROR = 2


def write(line: str) -> None:
    """Print a line as the stream can show it."""
    print(for_encoding(line, sys.stdout.encoding))


def fail(sentence: str) -> int:
    """Print why the command cannot begin; returns the exit status for wrong usage."""
    print(for_encoding(f"ERROR: {sentence}", sys.stderr.encoding), file=sys.stderr)
    return USAGE_ERROR
