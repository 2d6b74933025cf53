"""``fib``: everything that is not running trusted tests. The commands are in :mod:`pytest_fib.commands`."""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from pytest_fib import __version__, commands

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


class Command(Protocol):
    """What a module in :mod:`pytest_fib.commands` has."""

    def add_parser(self, subparsers: Subparsers) -> object:
        """Add the parser of the command, named like the module."""

    def run(self, namespace: argparse.Namespace) -> int:
        """Run the command and return the exit status."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 2 for wrong usage, pytest's own for ``fib run``."""
    found = load_commands()
    parser = argparse.ArgumentParser(
        prog="fib", description="Judge GPU kernels; see also: pytest --help", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"pytest-fib {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in found.values():
        command.add_parser(subparsers)
    namespace = parser.parse_args(argv)
    try:
        status = found[namespace.command].run(namespace)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def load_commands() -> dict[str, Command]:
    """Return every command by its name, sorted."""
    names = sorted(module.name for module in pkgutil.iter_modules(commands.__path__))
    return {name: _load(name) for name in names if not name.startswith("_")}


def _load(name: str) -> Command:
    module: Command = importlib.import_module(f"{commands.__name__}.{name}")
    return module


if __name__ == "__main__":
    sys.exit(main())
