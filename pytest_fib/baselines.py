"""What solutions are compared with: other solutions, which run beside them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from pytest_fib.data.files import shown
from pytest_fib.data.readers import read_solution
from pytest_fib.data.solution import LoadedSolution
from pytest_fib.data.text import escape
from pytest_fib.errors import DataError, SettingsError
from pytest_fib.settings import Settings


def check_gate(settings: Settings) -> None:
    """Raise SettingsError where the gate's settings make no sense together."""
    if settings.aa and settings.baseline:
        raise SettingsError("--fib-aa makes each solution its own baseline; leave --fib-baseline out")
    if not (settings.aa or settings.baseline):
        return
    wanted = "--fib-aa" if settings.aa else "--fib-baseline"
    if settings.seed is not None:
        raise SettingsError(
            f"{wanted} needs secret inputs, and --fib-seed makes them predictable; leave one of them out"
        )
    if settings.no_timing:
        raise SettingsError(
            f"{wanted} compares latencies, and --fib-no-timing measures none; leave one of them out"
        )


def find_baselines(settings: Settings, definitions: Collection[str]) -> dict[str, LoadedSolution]:
    """Return the baseline of each definition that has one.

    Raises
    ------
    SettingsError
        A baseline cannot be read, two are of one definition, or one that a flag names is of none of ``definitions``.
    """
    found: dict[str, LoadedSolution] = {}
    for path in settings.baseline:
        loaded = _read(path)
        name = loaded.solution.definition
        if name in found:
            raise SettingsError(
                f"{shown(found[name].path)} and {shown(path)} are both baselines of '{escape(name, 120)}'; name one"
            )
        if name not in definitions and settings.baseline_from_flag:
            raise SettingsError(
                f"--fib-baseline: {shown(path)} is of the definition '{escape(name, 120)}', of which no solution is "
                "judged; name a baseline of the same definition"
            )
        found[name] = loaded
    return found


def _read(path: Path) -> LoadedSolution:
    try:
        return read_solution(path)
    except DataError as error:
        raise SettingsError(f"--fib-baseline: {error}") from None
