"""Every ``--fib-*`` flag with its ini twin; :mod:`pytest_fib.settings` reads them once into a frozen value.

This module is loaded at every start of pytest: it declares and decides whether there is anything to do.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    import pytest


T = TypeVar("T")


class Kind(NamedTuple):
    """How a value is read (ValueError when it cannot be) and what it must be, in words."""

    parse: Callable[[str], Any]
    meaning: str


def _count(minimum: int) -> Kind:
    def parse(text: str) -> int:
        return _accept(int(text), int(text) >= minimum)

    return Kind(parse, f"a whole number of at least {minimum}")


def _number(accepts: Callable[[float], bool], meaning: str) -> Kind:
    def parse(text: str) -> float:
        return _accept(float(text), math.isfinite(float(text)) and accepts(float(text)))

    return Kind(parse, meaning)


def _choice(*names: str) -> Kind:
    return Kind(lambda text: _accept(text, text in names), "one of " + ", ".join(names))


def _accept(value: T, acceptable: bool) -> T:
    if not acceptable:
        raise ValueError
    return value


_TEXT = Kind(str, "a text")
_DEVICE = Kind(
    lambda text: _accept(text, re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", text) is not None),
    "auto, cpu, cuda or cuda:N",
)
_POSITIVE = _number(lambda x: x > 0, "a number above 0")
_NOT_NEGATIVE = _number(lambda x: x >= 0, "a number of at least 0")
_RATIO = _number(lambda x: 0 < x <= 1, "a number above 0 and at most 1")


def _slowdown(text: str) -> float:
    """Return ``2%`` or ``1.02`` as 0.02; ValueError for what is neither."""
    share = float(text[:-1]) / 100 if text.endswith("%") else float(text) - 1
    return _accept(round(share, 12), 0 <= share <= 10)


class Option(NamedTuple):
    """One flag; ``name`` is its field in the settings and, with ``fib_`` before it, the ini twin."""

    name: str
    metavar: str
    help: str
    kind: Kind = _TEXT

    @property
    def flag(self) -> str:
        """The flag on the command line."""
        return "--fib-" + self.name.replace("_", "-")

    @property
    def ini(self) -> str:
        """The ini twin, which is also where pytest keeps the flag's value."""
        return "fib_" + self.name


VALUES = (
    Option("device", "DEVICE", "auto, cpu, cuda or cuda:N (default: auto)", _DEVICE),
    Option(
        "profile",
        "NAME",
        "default; quick: warm-up 2, iterations 20, trials 1; mlsys26: the contest's counts and tolerances "
        "per track (default: default)",
        _choice("default", "quick", "mlsys26"),
    ),
    Option("warmup_runs", "N", "calls before the timed ones (default: 10)", _count(0)),
    Option("iterations", "N", "timed calls per trial (default: 30)", _count(1)),
    Option("trials", "N", "trials, each in a fresh candidate (default: 5)", _count(1)),
    Option("rtol", "X", "relative tolerance (default: the op type's rule)", _NOT_NEGATIVE),
    Option("atol", "X", "absolute tolerance (default: the op type's rule)", _NOT_NEGATIVE),
    Option(
        "required_matched_ratio",
        "X",
        "share of the elements that must be within tolerance (default: the op type's rule)",
        _RATIO,
    ),
    Option(
        "tolerance",
        "RULE",
        "flashinfer: an element fails if abs AND rel are out; allclose: |x-y| <= atol + rtol*|y| "
        "(default: flashinfer)",
        _choice("flashinfer", "allclose"),
    ),
    Option("seed", "N", "predictable inputs made from N (default: secret random inputs)", _count(0)),
    Option("timeout", "S", "seconds that a candidate may take (default: 300)", _POSITIVE),
    Option("build_timeout", "S", "seconds that a build may take (default: 300)", _POSITIVE),
    Option("memory", "GB", "gigabytes that a candidate may use (default: 16)", _POSITIVE),
    Option(
        "isolation",
        "UNIT",
        "workload: a fresh candidate per workload; solution: one per solution (default: workload)",
        _choice("workload", "solution"),
    ),
    Option(
        "max_slowdown",
        "X",
        "how much slower than its baseline a solution may be: a factor like 1.02, or a percentage (default: 1.02)",
        Kind(_slowdown, "a percentage like 2% or a factor like 1.02, at most 11"),
    ),
    Option(
        "gate",
        "MODE",
        "warn: AMBIGUOUS is a line in the summary; strict: it is a failure (default: warn)",
        _choice("warn", "strict"),
    ),
    Option("fuzz", "N", "judge N further shapes per definition and solution (default: 0)", _count(0)),
)

PATHS = (
    Option("report", "FILE", "write the run as one JSON document (default: none)"),
    Option("traces", "DIR", "append official traces below DIR (default: none)"),
    Option("html", "FILE", "write the run as one HTML page that needs nothing else (default: none)"),
)

SWITCHES = (
    Option("no_timing", "", "judge correctness only (default: off)"),
    Option("require_device", "", "a device that is not there is a failure, not a skip (default: off)"),
    Option("require_sandbox", "", "a layer of the sandbox that is missing ends the run (default: off)"),
    Option(
        "selftest",
        "",
        "judge known attacks and honest kernels first, and go on only if all come out right (default: off)",
    ),
    Option(
        "strict",
        "",
        "remarks on numerics, other input distributions and unpublished shapes are failures (default: off)",
    ),
    Option("aa", "", "let each solution be its own baseline and show the noise of the gate (default: off)"),
    Option("build_only", "", "compile every solution and run none; needs no device (default: off)"),
    Option("synthesize_missing", "", "make structured stand-ins for missing blobs (default: off)"),
)

SOLUTION = Option(
    "solution",
    "PATH",
    "judge this solution: a JSON file or a starter-kit folder; write --fib-solution=PATH; repeatable "
    "(default: ini fib_solutions, else none)",
)
TRACESET = Option(
    "traceset",
    "DIR",
    "dataset root with definitions/ and workloads/; repeatable (default: ini fib_tracesets, else "
    "$FIB_DATASET_PATH, else tracesets/* below the rootdir, else the set in the package)",
)
BASELINE = Option(
    "baseline",
    "PATH",
    "fail what is slower than this solution, which is run beside it, or than the numbers of these reports or traces; "
    "write --fib-baseline=PATH; repeatable, one solution per definition (default: none)",
)

PATH_FLAGS = tuple(option.flag for option in (SOLUTION, TRACESET, BASELINE, *PATHS))
"""The flags whose values are paths, which pytest mistakes for test paths before plugins are loaded."""

VALUE_FLAGS = PATH_FLAGS + tuple(option.flag for option in VALUES)
"""The flags that take a value."""


RULES_INI = "fib_rules"
"""The ini option without a flag: how definitions are judged."""


def add_options(parser: pytest.Parser) -> None:
    """Declare every flag and ini option."""
    group = parser.getgroup("fib", "pytest-fib: kernel workloads as tests")
    for option in (SOLUTION, TRACESET, BASELINE):
        group.addoption(option.flag, action="append", metavar=option.metavar, help=option.help)
    parser.addini("fib_solutions", "solutions to judge: files, folders or globs", type="paths", default=[])
    parser.addini("fib_tracesets", "dataset roots", type="paths", default=[])
    parser.addini("fib_baseline", "baselines: solutions, reports or traces", type="paths", default=[])
    parser.addini(
        RULES_INI,
        "judging rules, one per line: 'OP_TYPE or DEFINITION (a glob): RULE[, KEY=VALUE]...'",
        type="linelist",
        default=[],
    )
    for option in VALUES + PATHS:
        group.addoption(option.flag, metavar=option.metavar, help=option.help)
        parser.addini(option.ini, option.help, default=None)
    for option in SWITCHES:
        group.addoption(option.flag, action="store_true", default=None, help=option.help)
        parser.addini(option.ini, option.help, type="bool", default=False)


def any_given(args: Iterable[str]) -> bool:
    """Whether a command line holds a flag of this plugin."""
    return any(arg.startswith("--fib-") for arg in args)


def names_solutions(config: pytest.Config) -> bool:
    """Whether a flag or the ini names a solution, that is, whether the plugin has anything to do."""
    return bool(config.getoption("fib_solution", None) or config.getini("fib_solutions"))
