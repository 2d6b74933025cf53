"""Every ``--fib-*`` flag with its ini twin, read once into a frozen :class:`Settings`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from pytest_fib.errors import SettingsError

if TYPE_CHECKING:
    import pytest

    from pytest_fib.judge.config import Limits, Sampling, Tolerance

Profile = Literal["default", "quick", "mlsys26"]
T = TypeVar("T")

GIB = 1 << 30


class _Kind(NamedTuple):
    """How a value is read (ValueError when it cannot be) and what it must be, in words."""

    parse: Callable[[str], Any]
    meaning: str


def _count(minimum: int) -> _Kind:
    def parse(text: str) -> int:
        return _accept(int(text), int(text) >= minimum)

    return _Kind(parse, f"a whole number of at least {minimum}")


def _number(accepts: Callable[[float], bool], meaning: str) -> _Kind:
    def parse(text: str) -> float:
        return _accept(float(text), math.isfinite(float(text)) and accepts(float(text)))

    return _Kind(parse, meaning)


def _choice(*names: str) -> _Kind:
    return _Kind(lambda text: _accept(text, text in names), "one of " + ", ".join(names))


def _accept(value: T, acceptable: bool) -> T:
    if not acceptable:
        raise ValueError
    return value


_TEXT = _Kind(str, "a text")
_DEVICE = _Kind(
    lambda text: _accept(text, re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", text) is not None),
    "auto, cpu, cuda or cuda:N",
)
_POSITIVE = _number(lambda x: x > 0, "a number above 0")
_NOT_NEGATIVE = _number(lambda x: x >= 0, "a number of at least 0")
_RATIO = _number(lambda x: 0 < x <= 1, "a number above 0 and at most 1")


@dataclass(frozen=True)
class _Option:
    """One flag; ``name`` is its field in :class:`Settings` and, with ``fib_`` before it, the ini twin."""

    name: str
    metavar: str
    help: str
    kind: _Kind = _TEXT

    @property
    def flag(self) -> str:
        return "--fib-" + self.name.replace("_", "-")

    @property
    def ini(self) -> str:
        return "fib_" + self.name


_VALUES = (
    _Option("device", "DEVICE", "auto, cpu, cuda or cuda:N (default: auto)", _DEVICE),
    _Option(
        "profile",
        "NAME",
        "default; quick: warm-up 2, iterations 20, trials 1; mlsys26: the contest's counts and tolerances "
        "per track (default: default)",
        _choice("default", "quick", "mlsys26"),
    ),
    _Option("warmup_runs", "N", "calls before the timed ones (default: 10)", _count(0)),
    _Option("iterations", "N", "timed calls per trial (default: 30)", _count(1)),
    _Option("trials", "N", "trials, each in a fresh candidate (default: 5)", _count(1)),
    _Option("rtol", "X", "relative tolerance (default: the op type's rule)", _NOT_NEGATIVE),
    _Option("atol", "X", "absolute tolerance (default: the op type's rule)", _NOT_NEGATIVE),
    _Option(
        "required_matched_ratio",
        "X",
        "share of the elements that must be within tolerance (default: the op type's rule)",
        _RATIO,
    ),
    _Option(
        "tolerance",
        "RULE",
        "flashinfer: an element fails if abs AND rel are out; allclose: |x-y| <= atol + rtol*|y| "
        "(default: flashinfer)",
        _choice("flashinfer", "allclose"),
    ),
    _Option("seed", "N", "predictable inputs made from N (default: secret random inputs)", _count(0)),
    _Option("timeout", "S", "seconds that a candidate may take (default: 300)", _POSITIVE),
    _Option("build_timeout", "S", "seconds that a build may take (default: 300)", _POSITIVE),
    _Option("memory", "GB", "gigabytes that a candidate may use (default: 16)", _POSITIVE),
    _Option(
        "isolation",
        "UNIT",
        "workload: a fresh candidate per workload; solution: one per solution (default: workload)",
        _choice("workload", "solution"),
    ),
)

_PATHS = (
    _Option("report", "FILE", "write the run as one JSON document (default: none)"),
    _Option("traces", "DIR", "append official traces below DIR (default: none)"),
)

_SWITCHES = (
    _Option("no_timing", "", "judge correctness only (default: off)"),
    _Option("require_device", "", "a device that is not there is a failure, not a skip (default: off)"),
    _Option("synthesize_missing", "", "make structured stand-ins for missing blobs (default: off)"),
)

_SOLUTION = _Option(
    "solution",
    "PATH",
    "judge this solution: a JSON file or a starter-kit folder; write --fib-solution=PATH; repeatable "
    "(default: ini fib_solutions, else none)",
)
_TRACESET = _Option(
    "traceset",
    "DIR",
    "dataset root with definitions/ and workloads/; repeatable (default: ini fib_tracesets, else "
    "$FIB_DATASET_PATH, else tracesets/* below the rootdir, else the set in the package)",
)

PATH_FLAGS = tuple(option.flag for option in (_SOLUTION, _TRACESET, *_PATHS))
"""The flags whose values are paths, which pytest mistakes for test paths before plugins are loaded."""

VALUE_FLAGS = PATH_FLAGS + tuple(option.flag for option in _VALUES)
"""The flags that take a value."""


def add_options(parser: pytest.Parser) -> None:
    """Declare every flag and ini option."""
    group = parser.getgroup("fib", "pytest-fib: kernel workloads as tests")
    for option in (_SOLUTION, _TRACESET):
        group.addoption(option.flag, action="append", metavar=option.metavar, help=option.help)
    parser.addini("fib_solutions", "solutions to judge: files, folders or globs", type="paths", default=[])
    parser.addini("fib_tracesets", "dataset roots", type="paths", default=[])
    for option in _VALUES + _PATHS:
        group.addoption(option.flag, metavar=option.metavar, help=option.help)
        parser.addini(option.ini, option.help, default=None)
    for option in _SWITCHES:
        group.addoption(option.flag, action="store_true", default=None, help=option.help)
        parser.addini(option.ini, option.help, type="bool", default=False)


def any_given(args: Iterable[str]) -> bool:
    """Whether a command line holds a flag of this plugin."""
    return any(arg.startswith("--fib-") for arg in args)


def names_solutions(config: pytest.Config) -> bool:
    """Whether a flag or the ini names a solution, that is, whether the plugin has anything to do."""
    return bool(config.getoption("fib_solution", None) or config.getini("fib_solutions"))


@dataclass(frozen=True)
class Settings:
    """The settings of one run; None means "not said", and the default applies.

    ``solutions`` are paths as the flags give them, or paths and globs from the ini when
    ``solutions_from_flag`` is false. ``timeout`` and ``build_timeout`` are seconds, ``memory`` is GiB.
    ``repeated`` are the flags, as given, that another run needs to judge in the same way.
    """

    solutions: tuple[Path, ...] = ()
    solutions_from_flag: bool = False
    tracesets: tuple[Path, ...] = ()
    tracesets_from_flag: bool = False
    device: str = "auto"
    profile: Profile = "default"
    warmup_runs: int | None = None
    iterations: int | None = None
    trials: int | None = None
    rtol: float | None = None
    atol: float | None = None
    required_matched_ratio: float | None = None
    tolerance: Literal["flashinfer", "allclose"] | None = None
    seed: int | None = None
    timeout: float = 300.0
    build_timeout: float = 300.0
    memory: float = 16.0
    isolation: Literal["workload", "solution"] = "workload"
    no_timing: bool = False
    report: Path | None = None
    traces: Path | None = None
    require_device: bool = False
    synthesize_missing: bool = False
    repeated: tuple[str, ...] = ()

    @classmethod
    def from_config(cls, config: pytest.Config) -> Settings:
        """Read flags and ini; raises SettingsError for a value that makes no sense."""
        here = config.invocation_params.dir
        values: dict[str, Any] = {}
        for option in _VALUES:
            _put(values, option, config, option.kind)
        for option in _PATHS:
            base = here if config.getoption(option.ini) is not None else _ini_folder(config)
            _put(values, option, config, _Kind(base.joinpath, "a path"))
        for option in _SWITCHES:
            flag = config.getoption(option.ini)
            values[option.name] = config.getini(option.ini) if flag is None else flag
        for option, plural in ((_SOLUTION, "solutions"), (_TRACESET, "tracesets")):
            given = config.getoption(option.ini)
            paths = [here / path for path in given] if given else config.getini("fib_" + plural)
            values[plural] = tuple(dict.fromkeys(paths))
            values[plural + "_from_flag"] = bool(given)
        return cls(**values, repeated=tuple(_repeated(config)))

    def sampling_for(self, definition: str, op_type: str) -> Sampling:
        """How often solutions of this definition are called."""
        from pytest_fib.judge.config import Sampling

        counts = (self.warmup_runs, self.iterations, self.trials)
        warmup_runs, iterations, trials = (
            default if given is None else given
            for given, default in zip(counts, _profile_counts(self.profile, definition), strict=True)
        )
        exact = self.profile == "mlsys26" or any(given is not None for given in counts)
        budget_s = None if exact else Sampling().budget_s
        return Sampling(warmup_runs, iterations, trials, budget_s, timing=not self.no_timing)

    def tolerance_for(self, definition: str, op_type: str) -> Tolerance:
        """What overrides the op type's rule for this definition."""
        from pytest_fib.judge.config import Tolerance

        contest = self.profile == "mlsys26" and op_type == "moe"
        rtol, atol, ratio = (0.3, 1.0, 0.9) if contest else (None, None, None)
        return Tolerance(
            rule=self.tolerance,
            rtol=rtol if self.rtol is None else self.rtol,
            atol=atol if self.atol is None else self.atol,
            required_matched_ratio=(
                ratio if self.required_matched_ratio is None else self.required_matched_ratio
            ),
        )

    def limits(self) -> Limits:
        """What a candidate may use."""
        from pytest_fib.judge.config import Limits

        return Limits(self.timeout, self.build_timeout, int(self.memory * GIB))

    def resolved(self) -> dict[str, Any]:
        """Every setting, defaults filled in, as a value that JSON can hold; None: as the op type's rule says."""
        names = (field.name for field in fields(self) if field.name != "repeated")
        values = {name: _plain(getattr(self, name)) for name in names}
        counts = zip(("warmup_runs", "iterations", "trials"), _profile_counts(self.profile, ""), strict=True)
        defaults = {**dict(counts), "tolerance": "flashinfer"}
        return {**values, **{name: value for name, value in defaults.items() if values[name] is None}}


def _profile_counts(profile: Profile, definition: str) -> tuple[int, int, int]:
    """Warm-up runs, iterations and trials of a profile, for one definition."""
    if profile == "quick":
        return 2, 20, 1
    if profile == "mlsys26":
        return (1, 5, 3) if definition.startswith("gdn_prefill") else (10, 50, 3)
    return 10, 30, 5


def _put(values: dict[str, Any], option: _Option, config: pytest.Config, kind: _Kind) -> None:
    given = config.getoption(option.ini)
    source = option.flag
    if given is None:
        given, source = config.getini(option.ini), f"ini option {option.ini}"
    if given is None or given == "":
        return
    try:
        values[option.name] = kind.parse(str(given))
    except ValueError:
        raise SettingsError(f"{source} must be {kind.meaning}, not {given!r}") from None


def _repeated(config: pytest.Config) -> Iterator[str]:
    for value in config.getoption(_TRACESET.ini) or ():
        yield f"{_TRACESET.flag}={value}"
    for option in _VALUES:
        value = config.getoption(option.ini)
        if value is not None:
            yield f"{option.flag}={value}"
    for option in _SWITCHES:
        if config.getoption(option.ini):
            yield option.flag


def _ini_folder(config: pytest.Config) -> Path:
    return config.inipath.parent if config.inipath else config.invocation_params.dir


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value
