"""The settings of one run: what flags and ini say, read once into a frozen value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_fib.data.text import show
from pytest_fib.errors import SettingsError
from pytest_fib.options import BASELINE, PATHS, RULES_INI, SOLUTION, SWITCHES, TRACESET, VALUES, Kind, Option
from pytest_fib.profiles import PROFILES, Profile, Track, track_of
from pytest_fib.rule_lines import RuleLine, RuleLineError, parse_lines

if TYPE_CHECKING:
    import pytest

    from pytest_fib.judge.config import Limits, Sampling, Tolerance

GIB = 1 << 30


@dataclass(frozen=True)
class Settings:
    """The settings of one run; None means "not said", and the default applies.

    ``solutions`` are paths as the flags give them, or paths and globs from the ini when
    ``solutions_from_flag`` is false. ``timeout`` and ``build_timeout`` are seconds, ``memory`` is GiB.
    ``max_slowdown`` is the margin of the gate (0.02: 2 %).
    ``repeated`` are the flags, as given, that another run needs to judge a workload in the same way.
    """

    solutions: tuple[Path, ...] = ()
    solutions_from_flag: bool = False
    tracesets: tuple[Path, ...] = ()
    tracesets_from_flag: bool = False
    baseline: tuple[Path, ...] = ()
    baseline_from_flag: bool = False
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
    max_slowdown: float = 0.02
    gate: Literal["warn", "strict"] = "warn"
    fuzz: int = 0
    no_timing: bool = False
    report: Path | None = None
    traces: Path | None = None
    html: Path | None = None
    require_device: bool = False
    require_sandbox: bool = False
    selftest: bool = False
    strict: bool = False
    aa: bool = False
    build_only: bool = False
    synthesize_missing: bool = False
    rules: tuple[RuleLine, ...] = ()
    repeated: tuple[str, ...] = ()

    @classmethod
    def from_config(cls, config: pytest.Config) -> Settings:
        """Read flags and ini; raises SettingsError for a value that makes no sense."""
        here = config.invocation_params.dir
        values: dict[str, Any] = {}
        for option in VALUES:
            _put(values, option, config, option.kind)
        for option in PATHS:
            base = here if config.getoption(option.ini) is not None else _ini_folder(config)
            _put(values, option, config, Kind(base.joinpath, "a path"))
        for option in SWITCHES:
            flag = config.getoption(option.ini)
            values[option.name] = config.getini(option.ini) if flag is None else flag
        lists = ((SOLUTION, "solutions"), (TRACESET, "tracesets"), (BASELINE, "baseline"))
        for option, name in lists:
            given = config.getoption(option.ini)
            paths = [here / path for path in given] if given else config.getini("fib_" + name)
            values[name] = tuple(dict.fromkeys(paths))
            values[name + "_from_flag"] = bool(given)
        return cls(**values, rules=_rules(config), repeated=tuple(_repeated(config)))

    def sampling_for(self, definition: str, op_type: str) -> Sampling:
        """How often solutions of this definition are called."""
        from pytest_fib.judge.config import Sampling

        track = self._track(track_of(self._counting(), definition, op_type))
        given = (self.warmup_runs, self.iterations, self.trials)
        exact = self.profile == "mlsys26" or any(count is not None for count in given)
        budget_s = None if exact else Sampling().budget_s
        counts = (track.warmup_runs, track.iterations, track.trials)
        return Sampling(*counts, budget_s, timing=not self.no_timing)

    def tolerance_for(self, definition: str, op_type: str) -> Tolerance:
        """What overrides the op type's rule for this definition."""
        from pytest_fib.judge.config import Tolerance

        track = self._track(track_of(self._counting(), definition, op_type))
        return Tolerance(self.tolerance, track.rtol, track.atol, track.required_matched_ratio)

    def _counting(self) -> Profile:
        """The profile whose counts hold where none are given.

        Trials differ by the process that they are made in, so one process for a whole solution makes one trial.
        """
        return "quick" if self.profile == "default" and self.isolation == "solution" else self.profile

    def _track(self, track: Track) -> Track:
        """Return a line of the profile with what flags and ini say in place of its own."""
        given = {field.name: getattr(self, field.name, None) for field in fields(track)}
        return replace(track, **{name: value for name, value in given.items() if value is not None})

    def limits(self) -> Limits:
        """What a candidate may use."""
        from pytest_fib.judge.config import Limits

        return Limits(self.timeout, self.build_timeout, int(self.memory * GIB))

    def resolved(self) -> dict[str, Any]:
        """Every setting, defaults filled in, as a value that JSON can hold; None: as the op type's rule says."""
        names = (field.name for field in fields(self) if field.name != "repeated")
        values = {name: _plain(getattr(self, name)) for name in names}
        tracks = [asdict(self._track(track)) for track in PROFILES[self._counting()]]
        others = tracks[-1]
        defaults = {name: others[name] for name in ("warmup_runs", "iterations", "trials")}
        defaults["tolerance"] = "flashinfer"
        values |= {name: value for name, value in defaults.items() if values[name] is None}
        return {**values, "tracks": tracks}


def _put(values: dict[str, Any], option: Option, config: pytest.Config, kind: Kind) -> None:
    given = config.getoption(option.ini)
    source = option.flag
    if given is None:
        given, source = config.getini(option.ini), f"ini option {option.ini}"
    if given is None or given == "":
        return
    try:
        values[option.name] = kind.parse(str(given))
    except ValueError:
        raise SettingsError(f"{source} must be {kind.meaning}, not {show(given)}") from None


def _rules(config: pytest.Config) -> tuple[RuleLine, ...]:
    try:
        return parse_lines(config.getini(RULES_INI))
    except RuleLineError as error:
        raise SettingsError(f"ini option {RULES_INI} has the line {show(error.line)}: {error}") from None


def _repeated(config: pytest.Config) -> Iterator[str]:
    for option in (TRACESET, BASELINE):
        for value in config.getoption(option.ini) or ():
            yield f"{option.flag}={value}"
    for option in VALUES:
        value = config.getoption(option.ini)
        if value is not None and option.name != "fuzz":
            yield f"{option.flag}={value}"
    for option in SWITCHES:
        if config.getoption(option.ini):
            yield option.flag


def _ini_folder(config: pytest.Config) -> Path:
    return config.inipath.parent if config.inipath else config.invocation_params.dir


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, RuleLine):
        return {name: item for name, item in asdict(value).items() if item not in (None, ())}
    return str(value) if isinstance(value, Path) else value
