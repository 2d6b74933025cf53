"""The settings of one run: what flags and ini say, read once into a frozen value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_fib.data.text import show
from pytest_fib.errors import SettingsError
from pytest_fib.options import PATHS, SOLUTION, SWITCHES, TRACESET, VALUES, Kind, Option

if TYPE_CHECKING:
    import pytest

    from pytest_fib.judge.config import Limits, Sampling, Tolerance

Profile = Literal["default", "quick", "mlsys26"]

GIB = 1 << 30


@dataclass(frozen=True)
class Settings:
    """The settings of one run; None means "not said", and the default applies.

    ``solutions`` are paths as the flags give them, or paths and globs from the ini when
    ``solutions_from_flag`` is false. ``timeout`` and ``build_timeout`` are seconds, ``memory`` is GiB.
    ``repeated`` are the flags, as given, that another run needs to judge a workload in the same way.
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
    fuzz: int = 0
    no_timing: bool = False
    report: Path | None = None
    traces: Path | None = None
    require_device: bool = False
    require_sandbox: bool = False
    selftest: bool = False
    strict: bool = False
    synthesize_missing: bool = False
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
        for option, plural in ((SOLUTION, "solutions"), (TRACESET, "tracesets")):
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


def _repeated(config: pytest.Config) -> Iterator[str]:
    for value in config.getoption(TRACESET.ini) or ():
        yield f"{TRACESET.flag}={value}"
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
    return str(value) if isinstance(value, Path) else value
